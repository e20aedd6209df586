/** Passes open descriptors from one process to another over a unix socket: SCM_RIGHTS of sendmsg(2) and recvmsg(2), unix(7). */
import { ptr } from "bun:ffi";
import { libc } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SCM_RIGHTS = 1;
const POLLIN = 1;
const MAC = process.platform === "darwin";
const SOL_SOCKET = MAC ? 0xffff : 1;
/** Sizes of struct msghdr, and of struct cmsghdr before its data. */
const MSGHDR = MAC ? 48 : 56;
const CMSGHDR = MAC ? 12 : 16;

/** Memory that stays where it is: that of a small array made by length moves when its `buffer` is first asked for. */
function memory(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

function socketAddress(path: string): Uint8Array {
  const name = Buffer.from(path);
  if (name.length > (MAC ? 103 : 107)) throw new Error(`socket path too long: ${path}`);
  const address = memory(2 + name.length + 1);
  if (MAC) address.set([address.length, AF_UNIX]);
  else address.set([AF_UNIX, 0]);
  address.set(name, 2);
  return address;
}

/** A msghdr with one byte of data and room for `count` descriptors; the parts must stay alive during the call. */
function message(count: number): { readonly header: Uint8Array; readonly control: DataView; readonly parts: readonly Uint8Array[] } {
  const data = memory(1);
  const control = memory(Math.ceil((CMSGHDR + 4 * count) / 8) * 8);
  const vector = memory(16);
  const vectorView = new DataView(vector.buffer);
  vectorView.setBigUint64(0, BigInt(ptr(data)), true);
  vectorView.setBigUint64(8, 1n, true);
  const header = memory(MSGHDR);
  const view = new DataView(header.buffer);
  view.setBigUint64(16, BigInt(ptr(vector)), true);
  view.setUint32(24, 1, true);
  view.setBigUint64(32, BigInt(ptr(control)), true);
  view.setUint32(40, control.length, true);
  return { header, control: new DataView(control.buffer), parts: [data, vector, control] };
}

/** Give these descriptors to the process at the other end of this unix socket, with one byte. @throws when they cannot be sent */
export function passDescriptors(socket: number, descriptors: readonly number[]): void {
  const { header, control, parts } = message(descriptors.length);
  const length = CMSGHDR + 4 * descriptors.length;
  if (MAC) control.setUint32(0, length, true);
  else control.setBigUint64(0, BigInt(length), true);
  control.setInt32(CMSGHDR - 8, SOL_SOCKET, true);
  control.setInt32(CMSGHDR - 4, SCM_RIGHTS, true);
  for (const [index, descriptor] of descriptors.entries()) control.setInt32(CMSGHDR + 4 * index, descriptor, true);
  const sent = Number(libc().sendmsg(socket, ptr(header), 0));
  if (sent !== 1 || parts.length === 0) throw new Error("descriptors cannot be sent");
}

/**
 * Ask the process that listens at `path` for descriptors (see passDescriptors).
 * @param request what it is told, in a few words
 * @param timeout ms; the wait blocks this process
 * @throws when nobody listens there, or nothing, or not `count` descriptors, came
 */
export function requestDescriptors(path: string, request: string, count: number, timeout: number): number[] {
  const c = libc();
  const socket = c.socket(AF_UNIX, SOCK_STREAM, 0);
  const address = socketAddress(path);
  try {
    if (socket < 0 || c.connect(socket, ptr(address), address.length) !== 0) throw new Error(`cannot connect to ${path}`);
    const words = Buffer.from(request);
    if (Number(c.send(socket, ptr(words), BigInt(words.length), 0)) !== words.length) throw new Error(`cannot ask at ${path}`);
    waitFor(socket, timeout);
    const { header, control, parts } = message(count);
    const received = Number(c.recvmsg(socket, ptr(header), 0));
    const length = MAC ? control.getUint32(0, true) : Number(control.getBigUint64(0, true));
    if (received !== 1 || parts.length === 0 || length !== CMSGHDR + 4 * count || control.getInt32(CMSGHDR - 4, true) !== SCM_RIGHTS) throw new Error("no descriptors came");
    return Array.from({ length: count }, (_, index) => control.getInt32(CMSGHDR + 4 * index, true));
  } finally {
    if (socket >= 0) c.close(socket);
  }
}

function waitFor(descriptor: number, timeout: number): void {
  const entry = memory(8);
  const view = new DataView(entry.buffer);
  view.setInt32(0, descriptor, true);
  view.setInt16(4, POLLIN, true);
  if (libc().poll(ptr(entry), 1, timeout) !== 1) throw new Error(`nothing came within ${timeout} ms`);
}
