/**
 * One end of an HTTP/2 connection that a client or a back end holds. It looks closely at each frame that comes (`h2-judge.ts`), gives credit as its habits say, and
 * writes what its streams have to say under the other side's windows, in frames that it cuts as it likes.
 */
import type { NetSocket } from "../../src/net/network.ts";
import * as frames from "../support/h2-frames.ts";
import type { Field } from "../support/h2-hpack.ts";
import type { Dice } from "../support/random.ts";
import { H2Judge, type H2Stream, type Role } from "./h2-judge.ts";
import { HpackWriter } from "./h2-hpack-writer.ts";
import { Peer } from "./peer.ts";
import type { SimSocket } from "./socket.ts";
import type { Actor, World } from "./world.ts";

/** How somebody speaks HTTP/2. */
export interface H2Habits {
  /** What it lets the other side send on a stream; 0: nothing before it says so for each. */
  readonly initialWindow: number;
  readonly maxStreams: number | undefined;
  /** Up to so many ms go by before what came is given back to windows. */
  readonly creditPause: number;
  /** Chance that a stream's window stays shut for `withheldFor` ms when it is used up. */
  readonly withholds: number;
  readonly withheldFor: number;
  /** So often its settings change, and a PING is sent. */
  readonly changes: number;
  readonly pings: number;
  /** The most that it puts into a frame of data. */
  readonly frameBytes: number;
  /** Chances that a header block is cut, and that a frame is padded. */
  readonly splits: number;
  readonly pads: number;
  /** What it writes goes out in pieces with pauses up to so many ms; 0: at once. */
  readonly dribbles: number;
}

/** A part of a body, to be sent after a pause in ms. */
interface Piece {
  readonly bytes: Buffer;
  readonly pause: number;
}

/** How a stream ends. */
interface Last {
  readonly trailers: readonly Field[] | undefined;
  /** False: its end is not said. */
  readonly ends: boolean;
  readonly after: (() => void) | undefined;
}

/** What a stream has still to say. */
class Saying {
  readonly pieces: Piece[] = [];
  /** Of the first one, so many bytes are sent. */
  offset = 0;
  pausing = false;
  /** Behind the pieces; undefined: more may come. */
  last: Last | undefined = undefined;
}

/** Windows that are smaller are opened for each stream on its own. */
const SMALL_WINDOW = 300;
/** Bytes that wait for the socket. */
const MOST_UNWRITTEN = 16_384;
const MOST_PADDING = 40;
/** Settings change, and PINGs are sent, within so many ms. */
const ACTIVE = 600;
const TABLE_SIZES = [0, 100, 4_096, 10_000];

export abstract class H2Endpoint extends Peer {
  protected readonly dice: Dice;
  protected readonly habits: H2Habits;
  protected readonly judge: H2Judge;
  protected sim: SimSocket | undefined = undefined;
  private readonly writer: HpackWriter;
  private readonly sayings = new Map<H2Stream, Saying>();
  private gathered: Buffer[] = [];
  /** Gathered, or told to be written. */
  private unwritten = 0;
  private flushing = false;
  private readonly offers: (readonly [setting: number, value: number])[] = [];
  private uncredited = 0;
  private crediting = false;

  constructor(world: World, actor: Actor, dice: Dice, habits: H2Habits, role: Role) {
    super(world, actor);
    this.dice = dice;
    this.habits = habits;
    this.writer = new HpackWriter(dice);
    this.judge = new H2Judge(role, {
      head: (stream, fields, ends) => this.head(stream, fields, ends),
      data: (stream, bytes, charged, ends) => {
        this.took(stream, charged);
        if (!stream.resetByUs) this.data(stream, bytes, ends);
      },
      reset: (stream, code) => {
        this.sayings.delete(stream);
        this.streamReset(stream, code);
      },
      goAway: (last, code) => this.goneAway(last, code),
      settings: () => {
        this.send(frames.settingsAck());
        this.greeted();
        this.pumpAll();
      },
      ping: (payload) => this.send(frames.ping(payload, frames.Flag.ACK)),
      windowOpened: () => this.pumpAll(),
      note: (what, amount) => this.world.note(what, this.sim?.id ?? 0, amount, () => `#${this.sim?.id} ${this.actor.name}`),
    });
  }

  // What the two sides do differently.
  protected abstract head(stream: H2Stream, fields: readonly Field[], ends: boolean): void;
  protected abstract data(stream: H2Stream, bytes: Buffer, ends: boolean): void;
  protected abstract streamReset(stream: H2Stream, code: number): void;
  protected abstract goneAway(last: number, code: number): void;
  /** The other side's SETTINGS came. */
  protected abstract greeted(): void;

  override onOpen(socket: NetSocket): void {
    this.sim = socket as SimSocket;
    super.onOpen(socket);
  }

  onData(chunk: Buffer): void {
    this.judge.feed(chunk);
  }

  /** Say this with the first settings. */
  protected offer(setting: number, value: number): void {
    this.offers.push([setting, value]);
  }

  /** Say hello. @param preface what comes before it @param maxStreams the habit, unless it is something else now */
  protected greet(preface: Buffer | undefined, maxStreams = this.habits.maxStreams): void {
    const { dice, habits } = this;
    if (preface !== undefined) this.send(preface);
    this.set(habits.initialWindow, maxStreams, dice.chance(0.2) ? dice.one(TABLE_SIZES) : undefined);
    if (dice.chance(0.5)) this.openConnection(dice.below(1_000_000));
    for (let i = 0; i < habits.changes; i++) this.soon(() => this.set(dice.chance(0.3) ? dice.below(2_000) : dice.below(100_000), habits.maxStreams === undefined ? undefined : 1 + dice.below(habits.maxStreams), dice.chance(0.3) ? dice.one(TABLE_SIZES) : undefined));
    for (let i = 0; i < habits.pings; i++) this.soon(() => this.ping());
  }

  private soon(run: () => void): void {
    this.world.after(this.dice.random() * ACTIVE, this.actor, () => {
      if (this.mayWrite) run();
    });
  }

  /** The connection is there, and nothing has ended it on this side. */
  protected get mayWrite(): boolean {
    return this.socket !== undefined;
  }

  private ping(): void {
    const payload = Buffer.alloc(8);
    payload.writeUInt32BE(this.dice.below(2 ** 32), 4);
    this.judge.pinged(payload);
    this.send(frames.ping(payload.toString("latin1")));
  }

  private set(initialWindow: number, maxStreams: number | undefined, tableSize: number | undefined): void {
    const entries: (readonly [number, number])[] = [[frames.Setting.INITIAL_WINDOW_SIZE, initialWindow]];
    entries.push(...this.offers.splice(0));
    if (maxStreams !== undefined) entries.push([frames.Setting.MAX_CONCURRENT_STREAMS, maxStreams]);
    if (tableSize !== undefined) entries.push([frames.Setting.HEADER_TABLE_SIZE, tableSize]);
    this.judge.sets(entries);
    this.send(frames.settings(...entries));
    for (const stream of this.judge.streams.values()) if (stream.isOpen) this.openIfSmall(stream);
  }

  /** So that a stream whose window begins shut, or shrank, goes on at last. */
  protected openIfSmall(stream: H2Stream): void {
    if (this.judge.announcedWindow >= SMALL_WINDOW && stream.receiveWindow >= SMALL_WINDOW) return;
    const amount = SMALL_WINDOW + Math.max(0, -stream.receiveWindow) + this.dice.below(20_000);
    this.world.after(this.dice.random() * this.habits.creditPause, this.actor, () => this.credit(stream, amount));
  }

  /** Bytes came: give them back some time. */
  private took(stream: H2Stream, length: number): void {
    const { dice, habits, world, actor } = this;
    this.uncredited += length;
    if (!this.crediting && this.uncredited > 0) {
      this.crediting = true;
      world.after(dice.random() * habits.creditPause, actor, () => {
        this.crediting = false;
        const { uncredited } = this;
        this.uncredited = 0;
        this.openConnection(uncredited);
      });
    }
    stream.uncredited += length;
    if (stream.crediting || length === 0) return;
    stream.crediting = true;
    const withheld = dice.chance(habits.withholds) ? habits.withheldFor : 0;
    world.after(withheld + dice.random() * habits.creditPause, actor, () => {
      stream.crediting = false;
      const { uncredited } = stream;
      stream.uncredited = 0;
      this.credit(stream, uncredited);
    });
  }

  private openConnection(amount: number): void {
    if (!this.mayWrite || amount === 0) return;
    this.judge.receiveWindow += amount;
    this.send(frames.windowUpdate(0, amount));
  }

  private credit(stream: H2Stream, amount: number): void {
    if (!this.mayWrite || stream.gotEnd || stream.isReset) return;
    stream.receiveWindow += amount;
    this.send(frames.windowUpdate(stream.id, amount));
  }

  // Writing.

  /** What is sent within a moment leaves together. */
  protected send(bytes: Buffer): void {
    this.gathered.push(bytes);
    this.unwritten += bytes.length;
    if (this.flushing) return;
    this.flushing = true;
    this.world.after(this.dice.random() * 0.05, this.actor, () => this.flush());
  }

  private flush(): void {
    this.flushing = false;
    const bytes = Buffer.concat(this.gathered);
    this.gathered = [];
    if (!this.mayWrite) return;
    const { dribbles } = this.habits;
    // Pauses do not pile up.
    if (dribbles === 0 || this.isBusy) this.tell({ bytes });
    else this.tell(...this.dice.pieces(bytes, 4).map((piece) => ({ bytes: piece, pause: this.dice.random() * dribbles })));
    this.tell({
      act: () => {
        this.unwritten -= bytes.length;
        this.pumpAll();
      },
    });
  }

  /** Do this when all that was sent before is written. */
  protected afterAll(act: () => void): void {
    if (this.flushing) this.flush();
    this.tell({ act });
  }

  protected sendHead(stream: H2Stream, fields: readonly Field[], ends: boolean): void {
    const { dice, habits } = this;
    const block = this.writer.block(fields);
    const parts = dice.chance(habits.splits) ? dice.pieces(block, 5) : [block];
    const options: frames.FrameOptions = {
      endStream: ends,
      endHeaders: parts.length === 1,
      ...(dice.chance(habits.pads) ? { pad: dice.below(MOST_PADDING) } : {}),
      ...(this.judge.role === "client" && dice.chance(0.1) ? { priority: { on: 0 } } : {}),
    };
    this.send(frames.headers(stream.id, parts[0]!, options));
    for (const [index, part] of parts.slice(1).entries()) this.send(frames.continuation(stream.id, part, index === parts.length - 2));
    if (ends) stream.sentEnd = true;
  }

  /** Say this on a stream, as its windows let. */
  protected say(stream: H2Stream, bytes: Buffer, pause: number): void {
    this.sayingOf(stream).pieces.push({ bytes, pause });
    this.pumpAll();
  }

  /** … and nothing else. @param after is called when that is sent */
  protected sayLast(stream: H2Stream, trailers: readonly Field[] | undefined, after?: () => void): void {
    this.sayingOf(stream).last = { trailers, ends: true, after };
    this.pumpAll();
  }

  /** … and break off there. */
  protected sayNoMore(stream: H2Stream, after: () => void): void {
    this.sayingOf(stream).last = { trailers: undefined, ends: false, after };
    this.pumpAll();
  }

  private sayingOf(stream: H2Stream): Saying {
    let saying = this.sayings.get(stream);
    if (saying === undefined) this.sayings.set(stream, (saying = new Saying()));
    return saying;
  }

  /** What is said of windows and streams is not to wait behind too much data. */
  private get isFull(): boolean {
    return this.unwritten > MOST_UNWRITTEN;
  }

  /** A frame of each stream in turn, as far as there is room. */
  private pumpAll(): void {
    for (let some = this.sayings.size > 0; some && !this.isFull; ) {
      some = false;
      for (const [stream, saying] of [...this.sayings]) if (this.pump(stream, saying)) some = true;
    }
  }

  /** Send one frame of it. False: it has to wait, or has said its last. */
  private pump(stream: H2Stream, saying: Saying): boolean {
    const { judge, dice, habits } = this;
    if (saying.pausing || this.isFull || !this.mayWrite || this.sayings.get(stream) !== saying) return false;
    const piece = saying.pieces[0];
    if (piece === undefined) {
      if (saying.last !== undefined) this.finish(stream, saying.last);
      return false;
    }
    if (piece.pause > 0) {
      saying.pieces[0] = { bytes: piece.bytes, pause: 0 };
      saying.pausing = true;
      this.world.after(piece.pause, this.actor, () => {
        saying.pausing = false;
        this.pumpAll();
      });
      return false;
    }
    const room = Math.min(habits.frameBytes, judge.sendWindow, stream.sendWindow);
    const left = piece.bytes.length - saying.offset;
    const length = Math.min(left, room);
    if (length <= 0 && left > 0) return false;
    const pad = dice.chance(habits.pads) ? Math.min(dice.below(MOST_PADDING), room - length - 1) : -1;
    const isLast = length === left && saying.pieces.length === 1 && saying.last?.ends === true && saying.last.trailers === undefined && dice.chance(0.5);
    this.send(frames.data(stream.id, piece.bytes.subarray(saying.offset, saying.offset + length), { endStream: isLast, ...(pad >= 0 ? { pad } : {}) }));
    const charged = length + (pad >= 0 ? pad + 1 : 0);
    judge.sendWindow -= charged;
    stream.sendWindow -= charged;
    saying.offset += length;
    // Others first, from now on.
    this.sayings.delete(stream);
    if (isLast) {
      stream.sentEnd = true;
      saying.last?.after?.();
      return false;
    }
    this.sayings.set(stream, saying);
    if (length === left) {
      saying.pieces.shift();
      saying.offset = 0;
    }
    return true;
  }

  private finish(stream: H2Stream, { trailers, ends, after }: Last): void {
    this.sayings.delete(stream);
    if (trailers !== undefined) this.sendHead(stream, trailers, true);
    else if (ends) {
      this.send(frames.data(stream.id, ""));
      stream.sentEnd = true;
    }
    after?.();
  }

  protected resetStream(stream: H2Stream, code: number): void {
    this.sayings.delete(stream);
    if (stream.isReset || (stream.sentEnd && stream.gotEnd)) return;
    stream.resetByUs = true;
    this.send(frames.rstStream(stream.id, code));
  }
}
