/**
 * A simulated stream socket: what the kernel and Bun make of a TCP connection, with short reads and writes, delays and resets.
 *
 * How ends are told follows what Bun's sockets were seen to do: a close that we ask for is told at once; two FINs close a socket without a
 * word from us; a reset is told though reading is stopped, after the bytes that came before it; and a reset that a write runs into first
 * looks like a FIN.
 */
import type { NetSocket, SocketOwner } from "../../src/net/network.ts";
import type { Actor, World } from "./world.ts";

/** Whose sockets they are. */
export interface Holder extends Actor {
  readonly address: string;
  openSockets: number;
  readonly sockets: Set<SimSocket>;
}

/** How the network treats one connection. */
export interface Wire {
  /** One way, in ms. */
  readonly latency: number;
  /** Added to it at random for each segment. */
  readonly jitter: number;
  /** Bytes under way and unread, in one direction. */
  readonly capacity: number;
  /** The most that one read gives. */
  readonly readSize: number;
  /** Chances that a read gives only a few bytes, and that a write takes only a part. */
  readonly shortReads: number;
  readonly shortWrites: number;
}

interface Segment {
  readonly bytes: Buffer;
  readonly at: number;
}

/** A short read gives at most so many bytes; the trace shows so many. */
const FEW = 24;
const SHOWN = 72;
/** How often a process is busy when something arrives, and how long at most, in ms. */
const BUSY = 0.2;
const BUSY_TIME = 0.5;
const RESET = "ECONNRESET";

/** For people. */
function shown(bytes: Uint8Array): string {
  return JSON.stringify(Buffer.from(bytes.subarray(0, SHOWN)).toString("latin1").replaceAll(/[^\r\n\x20-\x7e]/g, "."));
}

function codedError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

export class SimSocket implements NetSocket {
  data: SocketOwner;
  readonly id: number;
  holder: Holder;
  readonly wire: Wire;
  peer!: SimSocket;
  closed = false;
  finSent = false;
  /** Set by whoever watches what leaves: told of each write that takes something, with all that was to be written. */
  onWrite: ((bytes: Uint8Array, offset: number, length: number) => void) | undefined = undefined;
  /** It was cut by a fault, not by one of its ends. */
  harmed = false;
  /** Its process was killed while it was open. */
  orphaned = false;
  readonly alpnProtocol = null;
  readonly localAddress: string;
  readonly localPort: number;
  remoteAddress = "";
  remotePort = 0;
  private readonly world: World;
  private segments: Segment[] = [];
  /** Bytes in `segments`. */
  private held = 0;
  /** When the last of what was sent to it arrives. */
  private lastAt = 0;
  private finAt = Infinity;
  private finRead = false;
  private resetAt = Infinity;
  /** A write ran into the reset. */
  private resetSeen = false;
  private reading = true;
  /** One read may still come though reading was stopped. */
  private grace = false;
  private wantsDrain = false;
  private wakeAt = Infinity;
  /** Nothing arrives before then. */
  private stalledUntil = 0;

  constructor(world: World, holder: Holder, id: number, wire: Wire, owner: SocketOwner, local: { readonly address: string; readonly port: number }) {
    this.world = world;
    this.holder = holder;
    this.id = id;
    this.wire = wire;
    this.data = owner;
    this.localAddress = local.address;
    this.localPort = local.port;
    holder.sockets.add(this);
  }

  private note(what: string, amount = 0, bytes?: Uint8Array): void {
    this.world.note(what, this.id, amount, () => `#${this.id} ${this.holder.name}→${this.peer.holder.name}`, () => (bytes === undefined ? "" : ` ${shown(bytes)}`));
  }

  /** What the world throws at a socket, in the turn of the process that holds it. */
  private hear(tell: (owner: SocketOwner) => void): void {
    tell(this.data);
  }

  /** It waited for this. */
  acceptedBy(holder: Holder, accept: () => SocketOwner): void {
    if (this.closed) return;
    this.holder.sockets.delete(this);
    this.holder = holder;
    holder.sockets.add(this);
    holder.openSockets++;
    this.note("is accepted");
    const owner = accept();
    this.data = owner;
    this.reading = true;
    owner.onOpen(this);
    this.wakeAt = Infinity;
    this.wakeForNext();
  }

  /** Nobody has accepted it yet. */
  await(): this {
    this.reading = false;
    return this;
  }

  /** Look at what has arrived, at this time or when it was to be looked at anyway. */
  private wake(at: number): void {
    if (at >= this.wakeAt || this.closed) return;
    this.wakeAt = at;
    // A process that is busy looks a little later.
    const late = this.world.dice.chance(BUSY) ? this.world.dice.random() * BUSY_TIME : 0;
    this.world.after(Math.max(0, at - this.world.now) + late, this.holder, () => {
      if (this.wakeAt !== at) return;
      this.wakeAt = Infinity;
      this.poll();
    });
  }

  private wakeForNext(): void {
    const due = Math.min(this.resetAt, this.segments[0]?.at ?? (this.finRead ? Infinity : this.finAt));
    if (due < Infinity) this.wake(Math.max(due, this.world.now + 0.001 + this.world.dice.random() * 0.02));
  }

  private poll(): void {
    if (this.closed) return;
    const { now, dice } = this.world;
    const broken = this.resetAt <= now;
    // A reset that is known is no news any more.
    if (!this.reading && (!broken || this.resetSeen)) {
      if (!this.grace) return;
      this.grace = false;
    }
    if (dice.chance(0.02)) this.hear((owner) => owner.onDrain());
    if (this.closed) return;
    const chunk = this.read();
    if (chunk !== undefined) {
      this.note("reads", chunk.length, chunk);
      const stopped = !this.reading;
      this.hear((owner) => owner.onData(chunk));
      // Of what came before a reset, a socket that does not read gets one read's worth.
      if (stopped && broken) this.gone(codedError(RESET));
      this.wakeForNext();
      return;
    }
    if (broken) {
      this.note("is reset");
      if (this.resetSeen && !this.finRead && !this.finSent) {
        this.finRead = true;
        this.hear((owner) => owner.onEnd());
      }
      this.gone(this.resetSeen ? undefined : codedError(RESET));
    } else if (this.segments.length === 0 && this.finAt <= now && !this.finRead) {
      this.finRead = true;
      this.note("reads FIN");
      if (this.finSent) this.gone(undefined);
      else this.hear((owner) => owner.onEnd());
    } else this.wakeForNext();
  }

  private read(): Buffer | undefined {
    const { now, dice } = this.world;
    const { segments, wire } = this;
    let most = dice.chance(wire.shortReads) ? 1 + dice.below(FEW) : wire.readSize;
    let length = 0;
    let whole = 0;
    while (whole < segments.length && segments[whole]!.at <= now && length + segments[whole]!.bytes.length <= most) length += segments[whole++]!.bytes.length;
    const rest = segments[whole];
    const part = rest !== undefined && rest.at <= now ? most - length : 0;
    if (length + part === 0) return undefined;
    const chunk = Buffer.allocUnsafeSlow(length + part);
    most = 0;
    for (let i = 0; i < whole; i++) most += segments[i]!.bytes.copy(chunk, most);
    if (part > 0) {
      rest!.bytes.copy(chunk, most, 0, part);
      segments[whole] = { bytes: rest!.bytes.subarray(part), at: rest!.at };
    }
    if (whole > 0) segments.splice(0, whole);
    this.held -= chunk.length;
    this.peer.roomMade();
    return chunk;
  }

  /** What was sent and not taken may go on. */
  private roomMade(): void {
    if (!this.wantsDrain || this.closed) return;
    this.world.after(this.wire.latency, this.holder, () => {
      if (this.closed || !this.wantsDrain) return;
      this.wantsDrain = false;
      this.hear((owner) => owner.onDrain());
    });
  }

  private arrival(): number {
    const { peer, world, wire } = this;
    peer.lastAt = Math.max(peer.lastAt, peer.stalledUntil, world.now + wire.latency + world.dice.random() * wire.jitter);
    return peer.lastAt;
  }

  write(bytes: Uint8Array, offset: number, length: number): number {
    if (this.closed || this.finSent) return -1;
    const { peer, world, wire } = this;
    if (this.resetAt <= world.now) {
      this.resetSeen = true;
      return -1;
    }
    let taken = Math.min(length, wire.capacity - peer.held);
    const short = taken > 0 && world.dice.chance(wire.shortWrites);
    if (short) taken = world.dice.below(taken);
    if (taken < length) {
      this.wantsDrain = true;
      if (short || peer.closed) this.roomMade();
    }
    if (taken > 0) {
      this.onWrite?.(bytes, offset, length);
      if (peer.closed) this.resetBy(world.now + 2 * wire.latency);
      // Nothing arrives behind what a reset may have taken away.
      else if (peer.resetAt === Infinity) {
        peer.segments.push({ bytes: Buffer.from(bytes.subarray(offset, offset + taken)), at: this.arrival() });
        peer.held += taken;
        peer.wake(peer.segments[0]!.at);
      }
    }
    this.note("writes", taken, this.world.traced ? bytes.subarray(offset, offset + taken) : undefined);
    return taken;
  }

  pause(): void {
    this.grace = this.reading && this.world.dice.chance(0.3);
    this.reading = false;
  }

  resume(): void {
    this.reading = true;
    this.wakeForNext();
  }

  shutdown(): void {
    if (this.closed || this.finSent) return;
    this.sendFin();
    if (this.finRead) this.world.after(0.01, this.holder, () => this.gone(undefined));
  }

  private sendFin(): void {
    this.note("sends FIN");
    this.finSent = true;
    this.peer.finAt = this.arrival();
    if (this.peer.segments.length === 0) this.peer.wake(this.peer.finAt);
  }

  end(): void {
    if (this.closed) return;
    this.leave();
    this.data.onClose(undefined);
  }

  terminate(): void {
    if (this.closed) return;
    this.note("resets");
    this.letGo();
    this.resetPeer(this.world.now + this.wire.latency);
    this.data.onClose(undefined);
  }

  /** The system closes it: with a FIN, or with a reset where bytes wait that nobody will read. */
  leave(): void {
    if (this.closed) return;
    if (!this.finSent) this.sendFin();
    const unread = this.segments.at(-1);
    this.letGo();
    if (unread !== undefined) this.resetPeer(Math.max(unread.at, this.world.now) + this.wire.latency);
  }

  /** Its process was killed. */
  orphan(): void {
    this.orphaned = true;
    this.leave();
  }

  /** Cut on the way: neither end knows why. */
  harm(): void {
    this.harmed = true;
    this.peer.harmed = true;
    this.note("is cut on the way");
    this.resetPeer(this.world.now);
    this.peer.resetPeer(this.world.now);
  }

  /** What is sent to it arrives only after so many ms. */
  stall(milliseconds: number): void {
    this.note("gets nothing for", milliseconds);
    this.stalledUntil = this.world.now + milliseconds;
    this.segments = this.segments.map(({ bytes, at }) => ({ bytes, at: Math.max(at, this.stalledUntil) }));
    this.lastAt = Math.max(this.lastAt, this.stalledUntil);
    if (this.finAt < Infinity) this.finAt = Math.max(this.finAt, this.lastAt);
  }

  /** What is under way to the peer may be lost. */
  private resetPeer(at: number): void {
    const { peer, world } = this;
    if (peer.closed) return;
    const { segments } = peer;
    const kept = world.dice.below(segments.length + 1);
    for (const { bytes } of segments.splice(kept)) peer.held -= bytes.length;
    peer.finAt = Infinity;
    peer.resetBy(Math.max(at, segments.at(-1)?.at ?? 0));
  }

  private resetBy(at: number): void {
    this.resetAt = Math.min(this.resetAt, Math.max(at, this.stalledUntil));
    this.wake(this.resetAt);
  }

  private letGo(): void {
    this.closed = true;
    this.holder.openSockets--;
    this.holder.sockets.delete(this);
  }

  private gone(error: Error | undefined): void {
    if (this.closed) return;
    this.letGo();
    this.data.onClose(error);
  }
}
