/**
 * The one seam between the data plane and the world: sockets and time.
 *
 * Bun's sockets satisfy `NetSocket` as they are (bun.ts), so the seam costs nothing in production;
 * a simulated network and clock can stand behind the same interface. No codec, pool or policy
 * imports Bun, reads the time or draws a random number in any other way.
 */
import type { Address, ListenAddress } from "../config/snapshot.ts";
import type { DatagramNetwork } from "./datagram.ts";
import type { Handshake, TlsClient, TlsContext, TlsContextOptions, TlsServer } from "./tls.ts";

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
  /** A connect failed; nothing else will be called. `code` is errno's name, as ECONNREFUSED, or that of a TLS failure; `reason` says more. */
  onConnectError(code: string, reason?: string): void;
}

/** Owns a connection while it is being secured. */
export interface HandshakeOwner extends SocketOwner {
  /** Once, before any data. After a failure the connection is of no use. */
  onHandshake(handshake: Handshake): void;
}

/** Opens a connection, to be secured before it is used. */
export interface ConnectOwner extends SocketOwner {
  /** Connected; the TLS handshake runs, and onOpen or onConnectError will say how it ended. Nothing may be done but to terminate. */
  onSecuring(socket: NetSocket): void;
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
  /** What ALPN chose; nothing without TLS. */
  readonly alpnProtocol: string | false | null;
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
  /** Accept like this from now on; who waits in the queue is not lost. Only on an inherited descriptor. */
  secure(tls: TlsServer | undefined): void;
  /** Accept nobody for a while: who comes waits in the system's queue. Only on an inherited descriptor; elsewhere it does nothing. */
  pause(): void;
  resume(): void;
}

export interface Network {
  readonly clock: Clock;
  /** Accepted and connected stream sockets that are not closed yet, and connects under way. */
  readonly openSockets: number;
  /**
   * Accept on `address`, or on the inherited descriptor `fd`. `accept` makes the owner of each new connection: with TLS a HandshakeOwner.
   * @param deferred clients speak first, and are wanted when they have
   */
  listen(address: ListenAddress, fd: number | undefined, accept: () => SocketOwner, tls?: TlsServer, deferred?: boolean): NetListener;
  /**
   * Connect; the owner hears onOpen, with TLS after a handshake with whom it should be, or onConnectError. Never throws.
   * @param preface what is said before all else, TLS too; at most 4 KiB
   */
  connect(address: Address, owner: ConnectOwner, tls?: TlsClient, preface?: Buffer): void;
  /** Speak TLS over an accepted socket, from its next byte on; `owner` takes it as it would a new one. */
  secure(socket: NetSocket, tls: TlsServer, owner: HandshakeOwner): void;
  /** Copy what has come to a paused socket into `into`, and leave it there. @returns bytes; 0: the peer has ended; -1: nothing has come yet */
  peek(socket: NetSocket, into: Buffer): number;
  /** Take away the first `length` bytes of what `peek` has put into `seen`. */
  take(socket: NetSocket, seen: Buffer, length: number): void;
  /** @throws Error that says what is wrong with certificate, key or ciphers */
  tlsContext(options: TlsContextOptions): TlsContext;
  readonly datagrams: DatagramNetwork;
  /** Once what has arrived by now is handled: gathers what many events produce. */
  soon(run: () => void): void;
  /** Uniform in [0, 1). */
  random(): number;
}

export interface Clock {
  /** Coarse monotonic milliseconds, refreshed every tick (20 ms) and never behind what `precise` has told: for deadlines. */
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
