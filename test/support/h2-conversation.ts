/**
 * What two ends of an HTTP/2 connection have said so far, seen by the client: streams, windows, settings, and the first thing that the
 * server did against the rules (RFC 9113). The client may break any rule; it is never judged here.
 */
import { contentOf, entriesOf, type Frame, FrameType, Flag, nameOfError, nameOfType, Setting } from "./h2-frames.ts";
import { type Field, HpackDecoder } from "./h2-hpack.ts";

const WINDOW = 65_535;
const MOST = 2 ** 31 - 1;
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// eslint-disable-next-line no-control-regex
const VALUE = /^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?$/;
/** RFC 9113 section 8.2.2. */
const FORBIDDEN = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]);

/** One stream as the client sees it. */
export class Stream {
  /** Interim heads (1xx). */
  readonly interim: Field[][] = [];
  /** The final head. */
  head: readonly Field[] | undefined;
  trailers: readonly Field[] = [];
  /** END_STREAM came. */
  ended = false;
  /** The client has reset it: what comes now may have been on the way. */
  abandoned = false;
  /** What the server may send, and what it takes. */
  receiveWindow: number;
  sendWindow: number;
  bytes = 0;
  private readonly parts: Buffer[] = [];

  constructor(receiveWindow: number, sendWindow: number) {
    this.receiveWindow = receiveWindow;
    this.sendWindow = sendWindow;
  }

  get status(): number {
    return Number(this.header(":status") ?? 0);
  }
  get body(): Buffer {
    return Buffer.concat(this.parts);
  }
  get text(): string {
    return this.body.toString("latin1");
  }

  /** The value of a field of the final head; several are joined by `, `. */
  header(name: string): string | undefined {
    const values = (this.head ?? []).filter(([key]) => key === name).map(([, value]) => value);
    return values.length === 0 ? undefined : values.join(", ");
  }

  /** @param keep false: only count it */
  add(part: Buffer, keep: boolean): void {
    this.bytes += part.length;
    if (keep && part.length > 0) this.parts.push(part);
  }
}

class Violation extends Error {}

function demand(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Violation(what);
}

interface Block {
  readonly stream: number;
  readonly endStream: boolean;
  readonly fragments: Buffer[];
}

export interface Goaway {
  readonly last: number;
  readonly code: number;
  readonly debug: string;
}

export class Conversation {
  readonly streams = new Map<number, Stream>();
  /** Codes of RST_STREAM by stream, also of streams that were never opened. */
  readonly resets = new Map<number, number>();
  readonly goaways: Goaway[] = [];
  /** Payloads of the PING acknowledgements that came. */
  readonly pongs: string[] = [];
  /** What the server has set, by identifier; absent: the default applies. */
  readonly peerSettings = new Map<number, number>();
  settingsFrames = 0;
  settingsAcks = 0;
  /** What the server did wrong, and when. */
  violation: string | undefined;
  /** Octets that the connection's windows allow. */
  receiveWindow = WINDOW;
  sendWindow = WINDOW;
  /** Every frame that came, in a word or two each. */
  readonly story: string[] = [];
  /** False: bodies are counted, not kept. */
  keepBodies = true;
  private readonly decoder = new HpackDecoder();
  private readonly unacknowledged: (readonly (readonly [number, number])[])[] = [];
  private readonly pings: string[] = [];
  private readonly mentioned = new Set<number>();
  private initialWindow = WINDOW;
  private frameLimit = 16_384;
  private block: Block | undefined;

  /** A frame that the client sends. */
  sent(frame: Frame): void {
    const { type, flags, payload } = frame;
    const id = frame.stream & MOST;
    this.mentioned.add(id);
    const stream = this.streams.get(id);
    if (type === FrameType.HEADERS && stream === undefined) this.streams.set(id, new Stream(this.initialWindow, this.peerSettings.get(Setting.INITIAL_WINDOW_SIZE) ?? WINDOW));
    else if (type === FrameType.RST_STREAM && stream !== undefined) stream.abandoned = true;
    else if (type === FrameType.SETTINGS && (flags & Flag.ACK) === 0) this.unacknowledged.push(entriesOf(frame));
    else if (type === FrameType.PING && (flags & Flag.ACK) === 0) this.pings.push(payload.toString("latin1"));
    else if (type === FrameType.DATA) {
      this.sendWindow -= payload.length;
      if (stream !== undefined) stream.sendWindow -= payload.length;
    } else if (type === FrameType.WINDOW_UPDATE && payload.length === 4) {
      const increment = payload.readUInt32BE() & MOST;
      if (id === 0) this.receiveWindow += increment;
      else if (stream !== undefined) stream.receiveWindow += increment;
    }
  }

  /** A frame that came. */
  received(frame: Frame): void {
    const told = this.story.length;
    this.story.push(`${nameOfType(frame.type)} ${frame.stream}`);
    try {
      this.story[told] += this.take(frame);
    } catch (error) {
      this.violation ??= `${error instanceof Error ? error.message : String(error)}, in ${nameOfType(frame.type)} ${frame.stream}`;
    }
  }

  /** @returns what is worth telling of it */
  private take(frame: Frame): string {
    const { type, flags, stream, payload } = frame;
    demand(this.settingsFrames > 0 || (type === FrameType.SETTINGS && (flags & Flag.ACK) === 0), "the first frame is not SETTINGS (section 3.4)");
    demand(payload.length <= this.frameLimit, `${payload.length} bytes in a frame (section 4.2)`);
    demand(this.block === undefined || (type === FrameType.CONTINUATION && stream === this.block.stream), "a header block is interrupted (section 4.3)");
    switch (type) {
      case FrameType.DATA:
        return this.takeData(frame);
      case FrameType.HEADERS:
        this.block = { stream, endStream: (flags & Flag.END_STREAM) !== 0, fragments: [contentOf(frame)] };
        return (flags & Flag.END_HEADERS) === 0 ? "" : this.takeBlock();
      case FrameType.CONTINUATION:
        demand(this.block !== undefined, "CONTINUATION of nothing (section 6.10)");
        this.block.fragments.push(payload);
        return (flags & Flag.END_HEADERS) === 0 ? "" : this.takeBlock();
      case FrameType.RST_STREAM: {
        demand(payload.length === 4, "its length (section 6.4)");
        demand(stream !== 0 && this.mentioned.has(stream), "a reset of an idle stream (section 6.4)");
        const code = payload.readUInt32BE();
        if (!this.resets.has(stream)) this.resets.set(stream, code);
        return ` ${nameOfError(code)}`;
      }
      case FrameType.SETTINGS:
        return this.takeSettings(frame);
      case FrameType.PING:
        demand(stream === 0 && payload.length === 8, "its stream or its length (section 6.7)");
        if ((flags & Flag.ACK) === 0) return "";
        demand(this.pings.shift() === payload.toString("latin1"), "an acknowledgement of no PING, or out of turn (section 6.7)");
        this.pongs.push(payload.toString("latin1"));
        return " ack";
      case FrameType.GOAWAY: {
        demand(stream === 0 && payload.length >= 8, "its stream or its length (section 6.8)");
        const goaway = { last: payload.readUInt32BE() & MOST, code: payload.readUInt32BE(4), debug: payload.toString("latin1", 8) };
        demand(goaway.last <= (this.goaways.at(-1)?.last ?? MOST), "its last stream goes up (section 6.8)");
        this.goaways.push(goaway);
        return ` ${nameOfError(goaway.code)} last=${goaway.last} ${JSON.stringify(goaway.debug)}`;
      }
      case FrameType.WINDOW_UPDATE:
        return this.takeWindowUpdate(frame);
      case FrameType.PUSH_PROMISE:
        throw new Violation("nobody wants pushes");
      default:
        return ` (${payload.length} bytes)`;
    }
  }

  private openStream(id: number): Stream {
    const stream = this.streams.get(id);
    demand(stream !== undefined, "on a stream that the client has not opened (section 5.1)");
    demand(!stream.ended, "after END_STREAM (section 5.1)");
    demand(!this.resets.has(id), "after RST_STREAM (section 5.4.2)");
    return stream;
  }

  private takeData(frame: Frame): string {
    const stream = this.openStream(frame.stream);
    const endStream = (frame.flags & Flag.END_STREAM) !== 0;
    demand(stream.head !== undefined, "before a final head (section 8.1)");
    this.receiveWindow -= frame.payload.length;
    stream.receiveWindow -= frame.payload.length;
    demand(this.receiveWindow >= 0 && (frame.payload.length === 0 || stream.receiveWindow >= 0 || stream.abandoned), "beyond its window (section 6.9.1)");
    stream.add(contentOf(frame), this.keepBodies);
    if (endStream) this.end(stream);
    return ` ${frame.payload.length}${endStream ? " END_STREAM" : ""}`;
  }

  private end(stream: Stream): void {
    stream.ended = true;
    const said = stream.header("content-length");
    demand(said === undefined || stream.bytes === 0 || Number(said) === stream.bytes, `${stream.bytes} bytes with content-length ${said} (section 8.1.1)`);
  }

  private takeBlock(): string {
    const { stream: id, endStream, fragments } = this.block!;
    this.block = undefined;
    // Also when the stream is not there: the table must stay the same on both sides.
    const fields = this.decoder.decode(Buffer.concat(fragments));
    const stream = this.openStream(id);
    for (const [name, value] of fields) {
      demand(NAME.test(name) || name === ":status", `field name ${JSON.stringify(name)} (section 8.2)`);
      demand(VALUE.test(value), `field value ${JSON.stringify([name, value])} (section 8.2.1)`);
      demand(!FORBIDDEN.has(name), `field ${name} (section 8.2.2)`);
    }
    const statuses = fields.filter(([name]) => name === ":status");
    if (stream.head === undefined) {
      demand(statuses.length === 1 && fields[0]![0] === ":status" && /^[1-5][0-9][0-9]$/.test(statuses[0]![1]), "not exactly one :status at the start (section 8.3.2)");
      const interim = statuses[0]![1].startsWith("1");
      demand(statuses[0]![1] !== "101" && !(interim && endStream), "an interim head that ends the stream, or 101 (section 8.6)");
      if (interim) stream.interim.push(fields);
      else stream.head = fields;
    } else {
      demand(statuses.length === 0 && endStream, "trailers with :status or without END_STREAM (section 8.1)");
      stream.trailers = fields;
    }
    if (endStream) this.end(stream);
    return ` ${statuses[0]?.[1] ?? "trailers"}${endStream ? " END_STREAM" : ""}`;
  }

  private takeSettings(frame: Frame): string {
    demand(frame.stream === 0 && frame.payload.length % 6 === 0, "its stream or its length (section 6.5)");
    if ((frame.flags & Flag.ACK) !== 0) {
      const ours = this.unacknowledged.shift();
      demand(ours !== undefined && frame.payload.length === 0, "an acknowledgement of nothing (section 6.5.3)");
      this.settingsAcks++;
      for (const [setting, value] of ours) this.apply(setting, value);
      return " ack";
    }
    this.settingsFrames++;
    for (const [setting, value] of entriesOf(frame)) {
      demand(setting !== Setting.ENABLE_PUSH || value === 0, "a server that enables push (section 6.5.2)");
      demand(setting !== Setting.MAX_FRAME_SIZE || (value >= 16_384 && value < 2 ** 24), `MAX_FRAME_SIZE ${value} (section 6.5.2)`);
      if (setting === Setting.INITIAL_WINDOW_SIZE) {
        demand(value <= MOST, `INITIAL_WINDOW_SIZE ${value} (section 6.5.2)`);
        for (const stream of this.streams.values()) stream.sendWindow += value - (this.peerSettings.get(setting) ?? WINDOW);
      }
      this.peerSettings.set(setting, value);
    }
    return ` ${JSON.stringify(entriesOf(frame))}`;
  }

  /** One of the client's settings is now in force at the server. */
  private apply(setting: number, value: number): void {
    if (setting === Setting.HEADER_TABLE_SIZE) this.decoder.setLimit(value);
    else if (setting === Setting.MAX_FRAME_SIZE) this.frameLimit = value;
    else if (setting === Setting.INITIAL_WINDOW_SIZE) {
      for (const stream of this.streams.values()) stream.receiveWindow += value - this.initialWindow;
      this.initialWindow = value;
    }
  }

  private takeWindowUpdate({ stream: id, payload }: Frame): string {
    demand(payload.length === 4 && payload.readUInt32BE() > 0, "its length or its increment (section 6.9)");
    const increment = payload.readUInt32BE();
    if (id === 0) this.sendWindow += increment;
    else {
      demand(this.mentioned.has(id), "on an idle stream (section 5.1)");
      const stream = this.streams.get(id);
      if (stream !== undefined) stream.sendWindow += increment;
      demand(stream === undefined || stream.sendWindow <= MOST, "a window above 2^31 - 1 (section 6.9.1)");
    }
    demand(this.sendWindow <= MOST, "a connection window above 2^31 - 1 (section 6.9.1)");
    return ` +${increment}`;
  }
}
