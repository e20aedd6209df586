/** The seam's part for datagrams (UDP, RFC 768): a socket that clients write to, and sockets connected to one peer each. */
import type { Address, ListenAddress } from "../config/snapshot.ts";

/** Hears of everything that arrives at a bound socket. */
export interface DatagramReceiver {
  /** From 0 bytes on; they belong to the receiver from now on. @param address textual IP address of the sender */
  onDatagram(bytes: Buffer, address: string, port: number): void;
}

/** Who is written to, in the form that the network likes best. */
export interface DatagramPeer {
  /** Textual IP address. */
  readonly address: string;
  readonly port: number;
}

export interface DatagramListener {
  /** The bound port. */
  readonly port: number;
  peer(address: string, port: number): DatagramPeer;
  /** False: the system did not take it, and it is lost. */
  send(bytes: Buffer, to: DatagramPeer): boolean;
  /** Receive nothing more; sending goes on until close(). */
  stop(): void;
  close(): void;
}

/** Owns a socket that is connected to one peer: it hears of that peer only. */
export interface DatagramOwner {
  /** Called within connect(), unless a name has to be resolved. */
  onReady(socket: DatagramSocket): void;
  /** From 0 bytes on; they belong to the owner from now on. */
  onReply(bytes: Buffer): void;
  /**
   * Before onReady: there will be no socket. After it: something that was sent did not arrive (ICMP); the socket stays open.
   * @param code errno's name, as ECONNREFUSED
   */
  onError(code: string): void;
}

export interface DatagramSocket {
  /** Undefined: it is on its way. Else errno's name: it was not sent, by its own fault (EMSGSIZE, EAGAIN) or because the peer is known not to be there. */
  send(bytes: Buffer): string | undefined;
  /** Nothing is heard of it any more. */
  close(): void;
}

export interface DatagramNetwork {
  /** Connected sockets that are not closed yet. */
  readonly openSockets: number;
  /** Receive at `address`, or on the inherited descriptor `fd`. @throws Error with errno's name as its code */
  listen(address: ListenAddress, fd: number | undefined, receiver: DatagramReceiver): DatagramListener;
  /** A socket with a port of its own. The owner hears onReady or onError. Never throws. */
  connect(address: Address, owner: DatagramOwner): void;
}
