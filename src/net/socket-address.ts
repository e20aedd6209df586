/** IP addresses as system calls take them: struct sockaddr_in of ip(7) and struct sockaddr_in6 of ipv6(7). */
import { ptr } from "bun:ffi";
import ipaddr from "ipaddr.js";
import { loadLibrary } from "./libc.ts";

const MAC = process.platform === "darwin";
export const AF_INET = 2;
export const AF_INET6 = MAC ? 30 : 10;
const SIZE_4 = 16;
const SIZE_6 = 28;
const DOT = 0x2e;
const ZERO = 0x30;

/** As an unsigned number; undefined: it is no IPv4 address. */
export function parseIPv4(text: string): number | undefined {
  let value = 0;
  let part = 0;
  let digits = 0;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (digits === 0) return undefined;
      value = value * 256 + part;
      part = 0;
      digits = 0;
      dots++;
    } else {
      part = part * 10 + code - ZERO;
      digits++;
      if (code < ZERO || code > ZERO + 9 || part > 255) return undefined;
    }
  }
  return dots === 3 && digits > 0 ? value * 256 + part : undefined;
}

/** One that is written over for each use: an array buffer for each client would keep the collector busy. */
export class IPv4SocketAddress {
  readonly pointer: ReturnType<typeof ptr>;
  readonly length = SIZE_4;
  private readonly view: DataView;

  constructor() {
    const bytes = header(SIZE_4, AF_INET, 0);
    this.view = new DataView(bytes.buffer);
    this.pointer = ptr(bytes);
  }

  set(address: number, port: number): void {
    this.view.setUint16(2, port, false);
    this.view.setUint32(4, address, false);
  }
}

/** @returns undefined when `host` is no IP address */
export function socketAddress(host: string, port: number): Uint8Array | undefined {
  const four = parseIPv4(host);
  if (four !== undefined) {
    const bytes = header(SIZE_4, AF_INET, port);
    new DataView(bytes.buffer).setUint32(4, four, false);
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
