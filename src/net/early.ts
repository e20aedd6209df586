/** What has come to a socket, looked at without the runtime, which reads all there is: some of it may be for another reader. */
import { ptr } from "bun:ffi";
import { libc } from "./libc.ts";
import type { NetSocket } from "./network.ts";

const MSG_PEEK = 2;
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
