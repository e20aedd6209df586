/**
 * The network seam in memory, for fuzzing: every event happens when `pump` is called, in the order in which it was caused, and time stands still
 * until `pass` moves it. What a bug of ours throws is thrown by `pump`.
 */
import type { Address, ListenAddress } from "../../src/config/snapshot.ts";
import type { DatagramNetwork } from "../../src/net/datagram.ts";
import type { Clock, ConnectOwner, NetListener, NetSocket, Network, SocketOwner } from "../../src/net/network.ts";

/** Events that one input may cause; more is a loop. */
const MOST_EVENTS = 200_000;

/** The other end of a socket: records what comes. */
export class Peer {
  readonly received: Buffer[] = [];
  /** How the product ended its side. */
  ended: "open" | "shutdown" | "closed" | "reset" = "open";
  private readonly socket: MemorySocket;

  constructor(socket: MemorySocket) {
    this.socket = socket;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.received);
  }

  send(bytes: Buffer): void {
    if (bytes.length > 0) this.socket.arrives(Buffer.from(bytes));
  }

  /** FIN. */
  end(): void {
    this.socket.peerEnds();
  }

  /** RST. */
  reset(): void {
    this.socket.peerResets();
  }
}

class MemorySocket implements NetSocket {
  data: SocketOwner;
  readonly peer = new Peer(this);
  readonly alpnProtocol = null;
  readonly remoteAddress = "127.0.0.1";
  readonly remotePort = 40_000;
  readonly localAddress = "127.0.0.1";
  readonly localPort = 80;
  private readonly network: MemoryNetwork;
  private readonly incoming: Buffer[] = [];
  private paused = false;
  private finComes = false;
  private finTold = false;
  private closed = false;
  onReceived: () => void = () => {};

  constructor(network: MemoryNetwork, owner: SocketOwner) {
    this.network = network;
    this.data = owner;
    network.openSockets++;
  }

  write(bytes: Uint8Array, offset: number, length: number): number {
    if (this.closed) return -1;
    // Now and then the system takes less than it is given.
    const taken = this.network.takes(length);
    this.peer.received.push(Buffer.from(bytes.subarray(offset, offset + taken)));
    this.network.later(() => this.onReceived());
    if (taken < length) this.network.later(() => this.closed || this.data.onDrain());
    return taken;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.network.later(() => this.read());
  }

  shutdown(): void {
    if (this.peer.ended === "open") this.peer.ended = "shutdown";
    this.network.later(() => this.onReceived());
  }

  end(): void {
    this.close("closed");
  }

  terminate(): void {
    this.close("reset");
  }

  private close(how: "closed" | "reset", error?: Error): void {
    if (this.closed) return;
    this.closed = true;
    this.peer.ended = how;
    this.network.openSockets--;
    this.network.later(() => this.data.onClose(error));
    this.network.later(() => this.onReceived());
  }

  arrives(bytes: Buffer): void {
    this.incoming.push(bytes);
    this.network.later(() => this.read());
  }

  peerEnds(): void {
    this.finComes = true;
    this.network.later(() => this.read());
  }

  peerResets(): void {
    this.close("reset", new Error("ECONNRESET"));
  }

  private read(): void {
    while (!this.paused && !this.closed && this.incoming.length > 0) this.data.onData(this.incoming.shift()!);
    if (this.finComes && !this.finTold && !this.paused && !this.closed && this.incoming.length === 0) {
      this.finTold = true;
      this.data.onEnd();
    }
  }
}

export class MemoryNetwork implements Network {
  openSockets = 0;
  /** What a target does with a connection: called with each, and again whenever something has come. */
  target: (peer: Peer, opened: boolean) => void = () => {};
  /** How much of a write is taken. */
  takes: (length: number) => number = (length) => length;
  private now = 1_000_000;
  private readonly queue: (() => unknown)[] = [];
  private readonly ticks = new Set<(now: number) => void>();
  private readonly listeners = new Map<number, () => SocketOwner>();

  readonly clock: Clock = memoryClock(this);
  readonly datagrams: DatagramNetwork = { openSockets: 0 } as DatagramNetwork;

  get time(): number {
    return this.now;
  }

  addTick(tick: (now: number) => void): () => void {
    this.ticks.add(tick);
    return () => void this.ticks.delete(tick);
  }

  later(run: () => unknown): void {
    this.queue.push(run);
  }

  soon(run: () => void): void {
    this.queue.push(run);
  }

  random(): number {
    return 0.5;
  }

  /** Let all that is under way happen. */
  pump(): void {
    for (let events = 0; this.queue.length > 0; events++) {
      if (events > MOST_EVENTS) throw new Error(`more than ${MOST_EVENTS} events of one input`);
      this.queue.shift()!();
    }
  }

  /** Let `milliseconds` go by. */
  pass(milliseconds: number): void {
    this.now += milliseconds;
    for (const tick of this.ticks) tick(this.now);
    this.pump();
  }

  /** A client. */
  dial(port: number): Peer {
    const accept = this.listeners.get(port);
    if (accept === undefined) throw new Error(`nobody listens on ${port}`);
    const owner = accept();
    const socket = new MemorySocket(this, owner);
    owner.onOpen(socket);
    return socket.peer;
  }

  listen(address: ListenAddress, _fd: number | undefined, accept: () => SocketOwner): NetListener {
    const port = address.kind === "tcp" ? address.port : 0;
    this.listeners.set(port, accept);
    const ignore = (): void => {};
    return { port, close: () => void this.listeners.delete(port), secure: ignore, pause: ignore, resume: ignore };
  }

  connect(_address: Address, owner: ConnectOwner): void {
    const socket = new MemorySocket(this, owner);
    this.later(() => {
      owner.onOpen(socket);
      this.target(socket.peer, true);
      socket.onReceived = () => this.target(socket.peer, false);
    });
  }

  secure(): never {
    throw new Error("no TLS in memory");
  }
  peek(): number {
    return -1;
  }
  take(): void {}
  tlsContext(): never {
    throw new Error("no TLS in memory");
  }
}

function memoryClock(network: MemoryNetwork): Clock {
  return {
    get now() {
      return network.time;
    },
    precise: () => network.time,
    wall: () => network.time,
    everyTick: (tick) => network.addTick(tick),
    after: () => () => {},
  };
}
