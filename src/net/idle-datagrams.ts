/**
 * UDP sockets between two uses: opening one and giving it to Bun takes a dozen calls, connecting it anew two. A socket that is disconnected
 * loses its port (Linux, connect(2) with AF_UNSPEC), so that each use has a port of its own, which nobody knows from before.
 */
import { ptr } from "bun:ffi";
import type { UdpCalls } from "./udp-calls.ts";

/** A descriptor that Bun reads. */
export interface Read<Reader> {
  readonly fd: number;
  readonly family: number;
  readonly reader: Reader;
}

/** So many are kept: a part of the files that are set aside for other things than clients. */
const MOST = 32;
/** Late datagrams that are thrown away before a socket is used again; with more it is closed. */
const MOST_LATE = 64;
/** A port is kept on disconnecting elsewhere. */
const REUSABLE = process.platform === "linux";
/** AF_UNSPEC, in struct sockaddr. */
const NOBODY = new Uint8Array(new ArrayBuffer(16));
const NOWHERE = new Uint8Array(new ArrayBuffer(1));

export class IdleDatagrams<Reader extends { close(): void }> {
  private readonly calls: UdpCalls;
  private readonly idle: Read<Reader>[] = [];
  /** Given back in this turn of the loop: what Bun has read for their last use may still come. */
  private readonly resting: Read<Reader>[] = [];

  constructor(calls: UdpCalls) {
    this.calls = calls;
  }

  put(socket: Read<Reader>): void {
    if (!REUSABLE || this.idle.length + this.resting.length >= MOST || this.calls.connect(socket.fd, ptr(NOBODY), NOBODY.length) !== 0) {
      socket.reader.close();
      return;
    }
    if (this.resting.push(socket) > 1) return;
    setImmediate(() => {
      this.idle.push(...this.resting);
      this.resting.length = 0;
    });
  }

  /** Not connected, and nothing waits in it. */
  take(family: number): Read<Reader> | undefined {
    const at = this.idle.findLastIndex((socket) => socket.family === family);
    if (at < 0) return undefined;
    const [socket] = this.idle.splice(at, 1);
    for (let late = 0; late < MOST_LATE; late++) {
      // Errors, too, come once.
      if (this.calls.recv(socket!.fd, ptr(NOWHERE), NOWHERE.length, 0) < 0 && this.calls.errno() === "EAGAIN") return socket;
    }
    socket!.reader.close();
    return undefined;
  }
}
