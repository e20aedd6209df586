/** IP addresses as system calls take them: struct sockaddr_in of ip(7) and struct sockaddr_in6 of ipv6(7). */
import { ptr } from "bun:ffi";
import ipaddr from "ipaddr.js";
import { loadLibrary } from "./libc.ts";

const MAC = process.platform === "darwin";
export const AF_INET = 2;
export const AF_INET6 = MAC ? 30 : 10;
const SIZE_4 = 16;
const SIZE_6 = 28;

/** @returns undefined when `host` is no IP address */
export function socketAddress(host: string, port: number): Uint8Array | undefined {
  if (!host.includes(":")) {
    const parts = host.split(".").map(Number);
    if (parts.length !== 4 || !parts.every((part) => part >= 0 && part <= 255)) return undefined;
    const bytes = header(SIZE_4, AF_INET, port);
    bytes.set(parts, 4);
    return bytes;
  }
  const [address, zone] = host.split("%", 2) as [string, string?];
  if (!ipaddr.IPv6.isValid(address)) return undefined;
  const bytes = header(SIZE_6, AF_INET6, port);
  bytes.set(ipaddr.IPv6.parse(address).toByteArray(), 8);
  if (zone !== undefined) new DataView(bytes.buffer).setUint32(24, interfaceIndex(zone), true);
  return bytes;
}

/** In memory that does not move: of a small array made by length it would when its `buffer` is first asked for. */
function header(size: number, family: number, port: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(size));
  const view = new DataView(bytes.buffer);
  if (MAC) bytes.set([size, family]);
  else view.setUint16(0, family, true);
  view.setUint16(2, port, false);
  return bytes;
}

let indexOf: ((name: ReturnType<typeof ptr>) => number) | undefined;

/** Of a link-local address: its interface, by number or by name. */
function interfaceIndex(zone: string): number {
  if (/^\d+$/.test(zone)) return Number(zone);
  indexOf ??= loadLibrary({ if_nametoindex: { args: ["ptr"], returns: "u32" } }).if_nametoindex;
  return indexOf(ptr(Buffer.from(`${zone}\0`)));
}
