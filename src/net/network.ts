/**
 * The one seam between the data plane and the world: sockets and time.
 *
 * Bun's sockets satisfy `NetSocket` as they are (bun.ts), so the seam costs nothing in production;
 * a simulated network and clock can stand behind the same interface. No codec, pool or policy
 * imports Bun, reads the time or draws a random number in any other way.
 */
import type { Address } from "../config/snapshot.ts";
import type { DatagramNetwork } from "./datagram.ts";

/** What owns a socket hears of it. One method call an event, nothing allocated. */
export interface SocketOwner {
  /** Connected (client side) or accepted. */
  onOpen(socket: NetSocket): void;
  /** Bytes arrived; the chunk belongs to the owner from now on. */
  onData(chunk: Buffer): void;
  /** A short write may be continued. */
  onDrain(): void;
  /** The peer sent FIN: nothing more will arrive; writing is still possible. */
  onEnd(): void;
  /** The socket is gone; nothing else will be called. `error` when it was not a clean close. */
  onClose(error: Error | undefined): void;
  /** A connect failed; nothing else will be called. `code` is errno's name, as ECONNREFUSED. */
  onConnectError(code: string): void;
}

/** A connected stream socket, half-open capable. */
export interface NetSocket {
  data: SocketOwner;
  /** Bytes taken by the kernel, from 0 up to length; -1 when the socket is closed. What was not taken is yours to keep until onDrain. */
  write(bytes: Uint8Array, offset: number, length: number): number;
  /** Stop reading. At most the bytes of one read may still arrive. */
  pause(): void;
  resume(): void;
  /** Send FIN; reading goes on. */
  shutdown(): void;
  /** Send FIN and close. */
  end(): void;
  /** Send RST and close. */
  terminate(): void;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

export interface NetListener {
  /** The bound port; 0 for unix sockets. */
  readonly port: number;
  /** Stop accepting; connections that were accepted go on. */
  close(): void;
  /** Accept nobody for a while: who comes waits in the system's queue. Only on an inherited descriptor; elsewhere it does nothing. */
  pause(): void;
  resume(): void;
}

export interface Network {
  readonly clock: Clock;
  /** Accepted and connected stream sockets that are not closed yet, and connects under way. */
  readonly openSockets: number;
  /** Accept on `address`, or on the inherited descriptor `fd`. `accept` makes the owner of each new connection. */
  listen(address: Address, fd: number | undefined, accept: () => SocketOwner): NetListener;
  /** Connect; the owner hears onOpen or onConnectError. Never throws. */
  connect(address: Address, owner: SocketOwner): void;
  readonly datagrams: DatagramNetwork;
  /** Uniform in [0, 1). */
  random(): number;
}

export interface Clock {
  /** Coarse monotonic milliseconds, refreshed every tick (20 ms): for deadlines. */
  readonly now: number;
  /** Exact monotonic milliseconds with fraction: for latencies. */
  precise(): number;
  /** Wall-clock milliseconds since 1970: for logs only. */
  wall(): number;
  /** Call `tick` about every 20 ms until the returned function is called. */
  everyTick(tick: (now: number) => void): () => void;
  /** One timer, off the hot path only (checks, back-off). Returns its cancel. */
  after(delay: number, run: () => void): () => void;
}
