/** What has come to a socket, looked at without the runtime, which reads all there is: some of it may be for another reader. */
import { ptr } from "bun:ffi";
import { libc } from "./libc.ts";
import type { NetSocket } from "./network.ts";

const MSG_PEEK = 2;
const IPPROTO_TCP = 6;
const TCP_DEFER_ACCEPT = 9;
/** How long the system waits for the first bytes of a client before it is accepted without, in s. */
const PATIENCE = 5;
const MSG_DONTWAIT = process.platform === "darwin" ? 0x80 : 0x40;

/** Copy what has come into `into`, and leave it where it is. @returns bytes; 0: the peer has ended; -1: nothing has come yet */
export function peek(socket: NetSocket, into: Buffer): number {
  return receive(socket, into, into.length, MSG_PEEK | MSG_DONTWAIT);
}

/** Take away the first `length` bytes of what was seen in `seen`. */
export function take(socket: NetSocket, seen: Buffer, length: number): void {
  const taken = receive(socket, seen, length, MSG_DONTWAIT);
  if (taken !== length) throw new Error(`${taken} bytes taken instead of the ${length} that were there`);
}

function receive(socket: NetSocket, into: Buffer, length: number, flags: number): number {
  // `fd` is not in the types.
  return Number(libc().recv((socket as unknown as { readonly fd: number }).fd, ptr(into), BigInt(length), flags));
}

/** From now on clients are accepted when their first bytes are there, or as ever. Where the system knows no such thing (it is Linux's), they are looked for. */
export function deferAccept(listener: number, deferred: boolean): void {
  if (process.platform !== "linux") return;
  const seconds = Buffer.alloc(4);
  seconds.writeInt32LE(deferred ? PATIENCE : 0);
  libc().setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, ptr(seconds), seconds.length);
}
