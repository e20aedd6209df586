/**
 * What an end of an HTTP/2 connection holds against the other one: each frame that comes, after RFC 9113, by codecs that share nothing with the product's. Windows,
 * settings, and who may still say what on which stream.
 */
import { contentOf, entriesOf, type Frame, FrameReader, FrameType, Flag, nameOfError, nameOfType, Setting } from "../support/h2-frames.ts";
import { type Field, HpackDecoder } from "../support/h2-hpack.ts";
import { Violation } from "./world.ts";

/** Which side does the judging. */
export type Role = "client" | "server";

const WINDOW = 65_535;
const MOST = 2 ** 31 - 1;
const FRAME_BYTES = 16_384;
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const NAME = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** RFC 9113 section 8.2.2. */
const FORBIDDEN = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]);
/** NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL: what a stream may end with though nobody did wrong. */
const BLAMELESS = new Set([0, 2, 7, 8]);

export class H2Stream {
  readonly id: number;
  /** What may be sent to the other side, and what it may send. */
  sendWindow: number;
  receiveWindow: number;
  sentEnd = false;
  gotEnd = false;
  resetByUs = false;
  resetByThem = false;
  /** We broke the rules on it: what is said of that is right. */
  guilty = false;
  uncredited = 0;
  crediting = false;

  constructor(id: number, sendWindow: number, receiveWindow: number) {
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  get isReset(): boolean {
    return this.resetByUs || this.resetByThem;
  }

  get isOpen(): boolean {
    return !this.isReset && !(this.sentEnd && this.gotEnd);
  }
}

export interface Judged {
  /** A head or trailers; a stream that was not there before is new. */
  head(stream: H2Stream, fields: readonly Field[], ends: boolean): void;
  /** @param charged bytes of its windows */
  data(stream: H2Stream, bytes: Buffer, charged: number, ends: boolean): void;
  reset(stream: H2Stream, code: number): void;
  goAway(last: number, code: number): void;
  settings(): void;
  ping(payload: string): void;
  windowOpened(): void;
  note(what: string, amount: number): void;
}

export class H2Judge {
  readonly role: Role;
  readonly streams = new Map<number, H2Stream>();
  sendWindow = WINDOW;
  receiveWindow = WINDOW;
  /** How many streams the other side lets us open. */
  peerMaxStreams = Infinity;
  /** It has said its SETTINGS. */
  settled = false;
  /** We broke the rules: whatever the other side does about it is right. */
  guilty = false;
  /** The last INITIAL_WINDOW_SIZE of ours, known to the other side or not. */
  announcedWindow = WINDOW;
  /** … and that is known. */
  private window = WINDOW;
  private maxStreams = Infinity;
  private peerWindow = WINDOW;
  private peerLast = MOST;
  private lastId = 0;
  private prefaceLeft: number;
  private readonly judged: Judged;
  private readonly reader = new FrameReader();
  private readonly decoder = new HpackDecoder();
  private readonly unacknowledged: (readonly (readonly [number, number])[])[] = [];
  private readonly pings: Buffer[] = [];
  private block: { readonly id: number; readonly ends: boolean; readonly fragments: Buffer[] } | undefined = undefined;

  constructor(role: Role, judged: Judged) {
    this.role = role;
    this.judged = judged;
    this.prefaceLeft = role === "server" ? PREFACE.length : 0;
  }

  private demand(condition: boolean, what: string): asserts condition {
    if (!condition) throw new Violation("HTTP/2 is spoken by its rules", what);
  }

  /** We say this. */
  sets(entries: readonly (readonly [number, number])[]): void {
    this.unacknowledged.push(entries);
    for (const [setting, value] of entries) if (setting === Setting.INITIAL_WINDOW_SIZE) this.announcedWindow = value;
  }

  pinged(payload: Buffer): void {
    this.pings.push(payload);
  }

  /** A stream begins. */
  open(id: number): H2Stream {
    const stream = new H2Stream(id, this.peerWindow, this.window);
    this.streams.set(id, stream);
    return stream;
  }

  get openStreams(): number {
    let open = 0;
    for (const stream of this.streams.values()) if (stream.isOpen) open++;
    return open;
  }

  feed(chunk: Buffer): void {
    let rest = chunk;
    if (this.prefaceLeft > 0) {
      const at = PREFACE.length - this.prefaceLeft;
      const part = chunk.subarray(0, this.prefaceLeft);
      this.demand(part.latin1Slice() === PREFACE.slice(at, at + part.length), "not the preface (section 3.4)");
      this.prefaceLeft -= part.length;
      rest = chunk.subarray(part.length);
    }
    for (const frame of this.reader.feed(rest)) this.take(frame);
  }

  private take(frame: Frame): void {
    const { type, flags, payload } = frame;
    const id = frame.stream;
    this.judged.note(`reads ${nameOfType(type)} ${flags} on ${id}`, payload.length);
    this.demand(this.settled || (type === FrameType.SETTINGS && (flags & Flag.ACK) === 0), "the first frame is not SETTINGS (section 3.4)");
    this.demand(payload.length <= FRAME_BYTES, `${payload.length} bytes in a frame (section 4.2)`);
    this.demand(this.block === undefined || (type === FrameType.CONTINUATION && id === this.block.id), "a header block is interrupted (section 4.3)");
    switch (type) {
      case FrameType.DATA:
        this.takeData(frame);
        return;
      case FrameType.HEADERS:
        this.block = { id, ends: (flags & Flag.END_STREAM) !== 0, fragments: [contentOf(frame)] };
        if ((flags & Flag.END_HEADERS) !== 0) this.takeBlock();
        return;
      case FrameType.CONTINUATION:
        this.demand(this.block !== undefined, "CONTINUATION of nothing (section 6.10)");
        this.block.fragments.push(payload);
        if ((flags & Flag.END_HEADERS) !== 0) this.takeBlock();
        return;
      case FrameType.RST_STREAM:
        this.demand(payload.length === 4, "RST_STREAM of a wrong length (section 6.4)");
        this.takeReset(id, payload.readUInt32BE());
        return;
      case FrameType.SETTINGS:
        this.takeSettings(frame);
        return;
      case FrameType.PING: {
        this.demand(id === 0 && payload.length === 8, "PING of a wrong length (section 6.7)");
        if ((flags & Flag.ACK) === 0) this.judged.ping(payload.latin1Slice());
        else this.demand(this.pings.shift()?.equals(payload) === true, "an acknowledgement of no PING, or out of turn (section 6.7)");
        return;
      }
      case FrameType.GOAWAY: {
        this.demand(id === 0 && payload.length >= 8, "GOAWAY of a wrong length (section 6.8)");
        const last = payload.readUInt32BE() & MOST;
        const code = payload.readUInt32BE(4);
        this.demand(last <= this.peerLast, "GOAWAY's last stream goes up (section 6.8)");
        this.peerLast = last;
        this.judged.note(`is told GOAWAY ${nameOfError(code)} ${payload.latin1Slice(8)} last`, last);
        this.judged.goAway(last, code);
        return;
      }
      case FrameType.WINDOW_UPDATE:
        this.takeWindowUpdate(frame);
        return;
      default:
        this.demand(false, `${nameOfType(type)}, which nobody wants`);
    }
  }

  /** One on which the other side may say something. */
  private speaking(id: number, what: string): H2Stream {
    const stream = this.streams.get(id);
    this.demand(stream !== undefined, `${what} on stream ${id}, which is not there (section 5.1)`);
    this.demand(!stream.gotEnd, `${what} on stream ${id} after END_STREAM (section 5.1)`);
    this.demand(!stream.resetByThem, `${what} on stream ${id} after RST_STREAM (section 5.4.2)`);
    return stream;
  }

  private takeData(frame: Frame): void {
    const { stream: id, payload, flags } = frame;
    const stream = this.speaking(id, "DATA");
    const ends = (flags & Flag.END_STREAM) !== 0;
    this.receiveWindow -= payload.length;
    stream.receiveWindow -= payload.length;
    this.demand(payload.length === 0 || (this.receiveWindow >= 0 && stream.receiveWindow >= 0), `DATA beyond the windows of stream ${id}: ${stream.receiveWindow}, of the connection ${this.receiveWindow} (section 6.9.1)`);
    if (ends) stream.gotEnd = true;
    this.judged.data(stream, contentOf(frame), payload.length, ends);
  }

  private takeBlock(): void {
    const { id, ends, fragments } = this.block!;
    this.block = undefined;
    const fields = this.decode(Buffer.concat(fragments));
    const known = this.streams.get(id);
    if (known === undefined) this.begins(id);
    const stream = known === undefined ? this.open(id) : this.speaking(id, "HEADERS");
    let regular = false;
    for (const [name] of fields) {
      this.demand(NAME.test(name) && !FORBIDDEN.has(name), `field ${JSON.stringify(name)} (section 8.2)`);
      this.demand(!(regular && name.startsWith(":")), `field ${name} behind others (section 8.3)`);
      regular ||= !name.startsWith(":");
    }
    if (ends) stream.gotEnd = true;
    if (!stream.resetByUs) this.judged.head(stream, fields, ends);
  }

  private decode(bytes: Buffer): Field[] {
    try {
      return this.decoder.decode(bytes);
    } catch (error) {
      throw new Violation("HTTP/2 is spoken by its rules", `HPACK: ${String(error)}`);
    }
  }

  /** Only clients begin streams. */
  private begins(id: number): void {
    this.demand(this.role === "server", `HEADERS on stream ${id}, which we have not opened (section 5.1)`);
    this.demand(id % 2 === 1 && id > this.lastId, `stream ${id} after ${this.lastId} (section 5.1.1)`);
    this.lastId = id;
    const open = this.openStreams;
    if (open >= this.maxStreams) throw new Violation("concurrency stays within what is allowed", `stream ${id} begins with ${open} open ones of ${this.maxStreams} (section 5.1.2)`);
  }

  private takeReset(id: number, code: number): void {
    const stream = this.streams.get(id);
    this.demand(stream !== undefined, `RST_STREAM on stream ${id}, which is not there (section 6.4)`);
    this.demand(!stream.resetByThem, `RST_STREAM on stream ${id} twice (section 5.4.2)`);
    stream.resetByThem = true;
    this.judged.note(`is told of ${id} ${nameOfError(code)}`, code);
    if (!this.guilty && !stream.guilty && !BLAMELESS.has(code)) throw new Violation("who keeps to the rules is not accused", `stream ${id} is reset with ${nameOfError(code)}`);
    if (!stream.resetByUs) this.judged.reset(stream, code);
  }

  private takeSettings(frame: Frame): void {
    const { flags, payload, stream: id } = frame;
    this.demand(id === 0 && payload.length % 6 === 0, "SETTINGS of a wrong length (section 6.5)");
    if ((flags & Flag.ACK) !== 0) {
      const ours = this.unacknowledged.shift();
      this.demand(ours !== undefined && payload.length === 0, "an acknowledgement of no SETTINGS (section 6.5.3)");
      for (const [setting, value] of ours) this.inForce(setting, value);
      return;
    }
    this.settled = true;
    for (const [setting, value] of entriesOf(frame)) {
      if (setting === Setting.MAX_CONCURRENT_STREAMS) this.peerMaxStreams = value;
      if (setting !== Setting.INITIAL_WINDOW_SIZE) continue;
      this.demand(value <= MOST, `INITIAL_WINDOW_SIZE ${value} (section 6.5.2)`);
      for (const stream of this.streams.values()) stream.sendWindow += value - this.peerWindow;
      this.peerWindow = value;
    }
    this.judged.settings();
  }

  /** The other side has acknowledged one of our settings. */
  private inForce(setting: number, value: number): void {
    if (setting === Setting.HEADER_TABLE_SIZE) this.decoder.setLimit(value);
    else if (setting === Setting.MAX_CONCURRENT_STREAMS) this.maxStreams = value;
    else if (setting === Setting.INITIAL_WINDOW_SIZE) {
      for (const stream of this.streams.values()) stream.receiveWindow += value - this.window;
      this.window = value;
    }
  }

  private takeWindowUpdate({ stream: id, payload }: Frame): void {
    this.demand(payload.length === 4 && payload.readUInt32BE() > 0, "WINDOW_UPDATE of a wrong length, or of 0 (section 6.9)");
    const increment = payload.readUInt32BE();
    if (id === 0) this.sendWindow += increment;
    else {
      const stream = this.streams.get(id);
      this.demand(stream !== undefined, `WINDOW_UPDATE on stream ${id}, which is not there (section 5.1)`);
      this.demand(!stream.resetByThem, `WINDOW_UPDATE on stream ${id} after RST_STREAM (section 5.4.2)`);
      stream.sendWindow += increment;
      this.demand(stream.sendWindow <= MOST, "a window above 2^31 - 1 (section 6.9.1)");
    }
    this.demand(this.sendWindow <= MOST, "a connection window above 2^31 - 1 (section 6.9.1)");
    this.judged.windowOpened();
  }
}
