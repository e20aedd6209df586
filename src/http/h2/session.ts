/**
 * One HTTP/2 connection, whichever side of it we are: frames in and out, settings, windows, header blocks, what a peer may cost (RFC 9113).
 * It knows streams by their ids and nothing of exchanges.
 */
import type { Meter } from "../../net/connection.ts";
import { release } from "../../net/release.ts";
import { type Column, TOTAL_H2_CONNECTIONS, TOTAL_H2_GOAWAYS_RECEIVED, TOTAL_H2_RESETS_RECEIVED, TOTAL_H2_STREAMS } from "../../scoreboard/scoreboard.ts";
import type { Services } from "../services.ts";
import { Budget } from "./budget.ts";
import { FrameReader, type FrameHandler } from "./frame-reader.ts";
import { ErrorCode, Flag, INITIAL_WINDOW, MAX_31, MAX_FRAME, readUint32, Setting, Type, type ErrorCodeValue } from "./frames.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import { SessionOutput } from "./session-output.ts";
import type { Stream } from "./stream.ts";

/** Our table for decoding; the default of the protocol, so that nothing need be agreed. */
const TABLE_SIZE = 4_096;
/** Entries in one SETTINGS frame. */
const MAX_SETTINGS = 32;
/** Frames without content in a row, as Envoy counts them. */
const MAX_EMPTY = 1;
/** Answers to PING and SETTINGS, resets, and requests that begin, while the peer does not read. */
const MAX_CONTROL = 1_000;

/** What a peer may ask of us, from the config. */
export interface SessionLimits {
  /** Window of each stream that the peer sends on, and of the whole connection. */
  readonly streamWindow: number;
  readonly connectionWindow: number;
  /** CONTINUATION frames in one header block. */
  readonly continuations: number;
  /** Frames that do nothing, or are odd: so many at once, and so many more each second. */
  readonly glitches: number;
  readonly glitchesPerSecond: number;
  readonly headerBytes: number;
  readonly headerCount: number;
  /** Streams that we reset, and whose frames may still arrive: so many are remembered. */
  readonly crossing: number;
}

export abstract class Session<S extends Stream = Stream> extends SessionOutput<S> implements FrameHandler {
  protected readonly limits: SessionLimits;
  private readonly decoder = new HpackDecoder(TABLE_SIZE);
  private readonly reader = new FrameReader(this);
  private readonly glitches: Budget;

  // What the peer said.
  peerMaxStreams = MAX_31;
  peerConnectProtocol = false;
  private peerInitialWindow = INITIAL_WINDOW;
  protected settled = false;
  protected peerGoesAway = false;

  // What we let it send.
  private receiveWindow = INITIAL_WINDOW;
  private owed = 0;
  private emptyInRow = 0;

  // A header block under way: HEADERS and its CONTINUATIONs (section 6.10).
  private blockId = 0;
  private blockEndsStream = false;
  private fragments: Buffer[] = [];
  private fragmentBytes = 0;

  /** The DATA frame under way belongs to it; undefined: it is thrown away. */
  private dataStream: S | undefined = undefined;
  private readonly resetByUs = new Set<number>();

  constructor(services: Services, limits: SessionLimits, counters: Column, meter: Meter) {
    super(services, counters, meter);
    this.limits = limits;
    this.glitches = new Budget(limits.glitches, limits.glitchesPerSecond, services.network.clock.now);
  }

  // What the two sides do differently.

  /** A whole header block, decoded into services.block. */
  protected abstract headReceived(id: number, endsStream: boolean): void;
  /** So many bytes of data begin to arrive. */
  protected abstract dataAnnounced(stream: S, length: number): void;
  protected abstract dataReceived(stream: S, bytes: Buffer, start: number, end: number): void;
  /** END_STREAM on DATA. */
  protected abstract endReceived(stream: S): void;
  protected abstract resetReceived(stream: S, code: number): void;
  protected abstract goAwayReceived(lastId: number, code: number): void;
  protected abstract settingsReceived(): void;
  /** Was a stream of this id ever opened? */
  protected abstract isIdle(id: number): boolean;
  /** The peer broke the protocol, or a limit: it is told, and all streams are lost. */
  protected abstract broken(code: ErrorCodeValue, reason: string): void;
  protected abstract mayPush(): boolean;
  /** We reset a stream for something that its peer did. */
  protected abstract provoked(): void;

  get streamWindow(): number {
    return this.limits.streamWindow;
  }

  // Reading.

  onData(chunk: Buffer): void {
    if (this.isOver) {
      this.heardAfterGoodbye();
      return;
    }
    this.meter!.received(chunk.length);
    this.read(chunk);
    this.services.output.flush();
    release(chunk);
  }

  /** The peer says something though it was told to go. */
  protected heardAfterGoodbye(): void {}

  protected read(chunk: Buffer): void {
    this.reader.read(chunk);
  }

  frameBegins(type: number, flags: number, id: number, length: number): boolean {
    if (!this.settled && type !== Type.SETTINGS) return this.refuse(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS");
    if (length > MAX_FRAME) return this.refuse(ErrorCode.FRAME_SIZE_ERROR, `frame of ${length} bytes`);
    if (this.blockId !== 0 && (type !== Type.CONTINUATION || id !== this.blockId)) return this.refuse(ErrorCode.PROTOCOL_ERROR, "a header block was interrupted");
    if (length === 0 && (type === Type.DATA || type === Type.HEADERS || type === Type.CONTINUATION) && (flags & (Flag.END_STREAM | Flag.END_HEADERS)) === 0) {
      if (++this.emptyInRow > MAX_EMPTY) return this.refuse(ErrorCode.ENHANCE_YOUR_CALM, "empty frames in a row");
    } else this.emptyInRow = 0;
    return type !== Type.DATA || this.dataBegins(id, length, (flags & Flag.PADDED) !== 0);
  }

  private dataBegins(id: number, length: number, padded: boolean): boolean {
    if (id === 0) return this.refuse(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0");
    this.receiveWindow -= length;
    if (this.receiveWindow < 0) return this.refuse(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the connection's window lets");
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) return this.refuse(ErrorCode.PROTOCOL_ERROR, "DATA on an idle stream");
      if (!this.mayCross(id)) return this.refuse(ErrorCode.STREAM_CLOSED, "DATA on a closed stream");
    } else if (stream.remoteClosed) {
      this.resetFor(stream, ErrorCode.STREAM_CLOSED, "DATA behind the end of its stream");
      this.dataStream = undefined;
    } else if (stream.charge(length)) {
      this.dataStream = stream;
      // How much of a padded frame is data is not known yet; it is handed on whole.
      if (!padded) this.dataAnnounced(stream, length);
    } else {
      this.resetFor(stream, ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the stream's window lets");
      this.dataStream = undefined;
    }
    this.busy = true;
    // Streams bound what is held; the connection's window is open to all of them.
    this.owed += length;
    if (this.owed * 2 >= this.limits.connectionWindow) {
      this.writeWindowUpdate(0, this.owed);
      this.receiveWindow += this.owed;
      this.owed = 0;
    }
    return !this.isOver;
  }

  data(_id: number, bytes: Buffer, start: number, end: number): void {
    const stream = this.dataStream;
    if (stream !== undefined) this.dataReceived(stream, bytes, start, end);
  }

  dataEnds(_id: number, flags: number, data: number, padding: number): void {
    const stream = this.dataStream;
    this.dataStream = undefined;
    if (stream === undefined) return;
    // What is no data is used up at once.
    if (padding > 0) {
      stream.credit(padding);
      if (data === 0 && (flags & Flag.END_STREAM) === 0 && !this.glitch()) return;
    }
    if ((flags & Flag.END_STREAM) === 0) return;
    stream.remoteClosed = true;
    this.endReceived(stream);
  }

  paddingTooLong(): void {
    this.dataStream = undefined;
    this.refuse(ErrorCode.PROTOCOL_ERROR, "padding as long as its frame");
  }

  frame(type: number, flags: number, id: number, payload: Buffer, start: number, end: number): void {
    switch (type) {
      case Type.HEADERS:
        this.headersFrame(flags, id, payload, start, end);
        return;
      case Type.CONTINUATION:
        this.continuationFrame(flags, id, payload, start, end);
        return;
      case Type.SETTINGS:
        this.settingsFrame(flags, id, payload, start, end);
        return;
      case Type.WINDOW_UPDATE:
        this.windowUpdateFrame(id, payload, start, end);
        return;
      case Type.RST_STREAM:
        this.resetFrame(id, payload, start, end);
        return;
      case Type.PING:
        this.pingFrame(flags, id, payload, start, end);
        return;
      case Type.GOAWAY:
        if (id !== 0) this.refuse(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream");
        else if (end - start < 8) this.refuse(ErrorCode.FRAME_SIZE_ERROR, "short GOAWAY");
        else {
          this.peerGoesAway = true;
          this.counters.add(TOTAL_H2_GOAWAYS_RECEIVED);
          this.goAwayReceived(readUint32(payload, start) & MAX_31, readUint32(payload, start + 4));
        }
        return;
      case Type.PRIORITY:
        this.priorityFrame(id, payload, start, end);
        return;
      case Type.PUSH_PROMISE:
        this.refuse(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE");
        return;
      default:
        // Section 5.5: unknown frames are ignored, and cost the peer something.
        this.glitch();
    }
  }

  private headersFrame(flags: number, id: number, payload: Buffer, from: number, to: number): void {
    if (id === 0) {
      this.refuse(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0");
      return;
    }
    let start = from;
    let end = to;
    if ((flags & Flag.PADDED) !== 0) {
      const padding = end > start ? payload[start]! : end;
      start++;
      end -= padding;
    }
    if ((flags & Flag.PRIORITY) !== 0) {
      if (end - start >= 5 && (readUint32(payload, start) & MAX_31) === id) {
        this.refuse(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself");
        return;
      }
      start += 5;
    }
    if (start > end) {
      this.refuse(ErrorCode.PROTOCOL_ERROR, "padding or priority longer than its frame");
      return;
    }
    this.busy = true;
    this.blockEndsStream = (flags & Flag.END_STREAM) !== 0;
    if ((flags & Flag.END_HEADERS) !== 0) {
      this.decode(id, payload, start, end);
      return;
    }
    this.blockId = id;
    this.fragments.length = 0;
    this.fragmentBytes = 0;
    this.keepFragment(payload, start, end);
  }

  private continuationFrame(flags: number, id: number, payload: Buffer, start: number, end: number): void {
    if (this.blockId === 0) {
      this.refuse(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS");
      return;
    }
    if (this.fragments.length > this.limits.continuations) {
      this.refuse(ErrorCode.ENHANCE_YOUR_CALM, `more than ${this.limits.continuations} CONTINUATION frames in a header block`);
      return;
    }
    this.keepFragment(payload, start, end);
    if (this.isOver || (flags & Flag.END_HEADERS) === 0) return;
    this.blockId = 0;
    const block = Buffer.concat(this.fragments);
    this.fragments.length = 0;
    this.decode(id, block, 0, block.length);
  }

  private keepFragment(payload: Buffer, start: number, end: number): void {
    this.fragmentBytes += end - start;
    // Compressed, a block that is within its limit is shorter than it.
    if (this.fragmentBytes > this.limits.headerBytes + MAX_FRAME) {
      this.refuse(ErrorCode.ENHANCE_YOUR_CALM, "header block too large");
      return;
    }
    this.fragments.push(Buffer.from(payload.subarray(start, end)));
  }

  private decode(id: number, bytes: Buffer, start: number, end: number): void {
    const { block } = this.services;
    block.clear();
    const problem = this.decoder.decode(bytes, start, end, block, this.limits.headerBytes, this.limits.headerCount);
    if (problem !== undefined) this.refuse(ErrorCode.COMPRESSION_ERROR, problem);
    else this.headReceived(id, this.blockEndsStream);
  }

  /** A frame for a stream that is closed is fine if it crossed our reset. */
  protected mayCross(id: number): boolean {
    return this.resetByUs.has(id);
  }

  protected headOfClosed(id: number): void {
    if (!this.mayCross(id)) this.refuse(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream");
  }

  private settingsFrame(flags: number, id: number, payload: Buffer, start: number, end: number): void {
    if (id !== 0) this.refuse(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream");
    else if ((flags & Flag.ACK) !== 0) {
      if (end > start) this.refuse(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS acknowledgement with a payload");
      else if (!this.settled) this.refuse(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS");
      else this.glitch();
    } else if ((end - start) % 6 !== 0) this.refuse(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a length that is no multiple of 6");
    else if (end - start > MAX_SETTINGS * 6) this.refuse(ErrorCode.ENHANCE_YOUR_CALM, `more than ${MAX_SETTINGS} settings in a frame`);
    else {
      if (this.settled && !this.glitch()) return;
      for (let at = start; at < end; at += 6) if (!this.setting((payload[at]! << 8) | payload[at + 1]!, readUint32(payload, at + 2))) return;
      this.settled = true;
      if (!this.answers()) return;
      this.writeSettingsAck();
      this.settingsReceived();
      this.sendWaiting();
    }
  }

  private setting(name: number, value: number): boolean {
    switch (name) {
      case Setting.HEADER_TABLE_SIZE:
        this.encoder.setLimit(value);
        return true;
      case Setting.ENABLE_PUSH:
        return (value <= 1 && (value === 0 || this.mayPush())) || this.refuse(ErrorCode.PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH that makes no sense");
      case Setting.MAX_CONCURRENT_STREAMS:
        this.peerMaxStreams = value;
        return true;
      case Setting.INITIAL_WINDOW_SIZE: {
        if (value > MAX_31) return this.refuse(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE too large");
        const change = value - this.peerInitialWindow;
        this.peerInitialWindow = value;
        for (const stream of this.streams.values()) if (!stream.openWindow(change)) return this.refuse(ErrorCode.FLOW_CONTROL_ERROR, "a window beyond 2^31-1");
        return true;
      }
      case Setting.MAX_FRAME_SIZE:
        return (value >= MAX_FRAME && value < 2 ** 24) || this.refuse(ErrorCode.PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE out of range");
      case Setting.ENABLE_CONNECT_PROTOCOL:
        if (value > 1) return this.refuse(ErrorCode.PROTOCOL_ERROR, "SETTINGS_ENABLE_CONNECT_PROTOCOL is neither 0 nor 1");
        this.peerConnectProtocol = value === 1;
        return true;
      default:
        return true;
    }
  }

  private windowUpdateFrame(id: number, payload: Buffer, start: number, end: number): void {
    if (end - start !== 4) {
      this.refuse(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE that is not 4 bytes");
      return;
    }
    const increment = readUint32(payload, start) & MAX_31;
    const stream = this.streams.get(id);
    if (id === 0) {
      if (increment === 0) this.refuse(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
      else if ((this.sendWindow += increment) > MAX_31) this.refuse(ErrorCode.FLOW_CONTROL_ERROR, "a window beyond 2^31-1");
      else if (this.hasWaiting) this.sendWaiting();
      else this.glitchIfTiny(increment);
      return;
    }
    if (stream === undefined) {
      if (this.isIdle(id)) this.refuse(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream");
      else this.glitch();
    } else if (increment === 0) this.resetFor(stream, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
    else if (!stream.openWindow(increment)) this.resetFor(stream, ErrorCode.FLOW_CONTROL_ERROR, "a window beyond 2^31-1");
    else {
      this.glitchIfTiny(increment);
      if (stream.hasQueue) this.sendWaiting();
    }
  }

  /** Windows that open by a few bytes make us send as many frames. */
  private glitchIfTiny(increment: number): void {
    if (increment < 64) this.glitch();
  }

  private resetFrame(id: number, payload: Buffer, start: number, end: number): void {
    if (id === 0) this.refuse(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on stream 0");
    else if (end - start !== 4) this.refuse(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM that is not 4 bytes");
    else {
      this.counters.add(TOTAL_H2_RESETS_RECEIVED);
      const stream = this.streams.get(id);
      if (stream !== undefined) this.resetReceived(stream, readUint32(payload, start));
      else if (this.isIdle(id)) this.refuse(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on an idle stream");
      else this.glitch();
    }
  }

  private pingFrame(flags: number, id: number, payload: Buffer, start: number, end: number): void {
    if (id !== 0) this.refuse(ErrorCode.PROTOCOL_ERROR, "PING on a stream");
    else if (end - start !== 8) this.refuse(ErrorCode.FRAME_SIZE_ERROR, "PING that is not 8 bytes");
    else if ((flags & Flag.ACK) !== 0) this.glitch();
    else if ((this.busy || this.glitch()) && this.answers()) {
      this.busy = false;
      this.writePingAck(payload, start, end);
    }
  }

  private priorityFrame(id: number, payload: Buffer, start: number, end: number): void {
    const stream = this.streams.get(id);
    if (id === 0) this.refuse(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0");
    else if (end - start !== 5) {
      if (stream === undefined) this.refuse(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY that is not 5 bytes");
      else this.resetFor(stream, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY that is not 5 bytes");
    } else if ((readUint32(payload, start) & MAX_31) === id) {
      if (stream === undefined) this.refuse(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself");
      else this.resetFor(stream, ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself");
    } else this.glitch();
  }

  // What it may cost.

  /** Nothing wrong, and nothing useful. False: there was too much of it. */
  protected glitch(): boolean {
    return this.glitches.take(this.services.network.clock.now) || this.refuse(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that do nothing");
  }

  /** Another answer may be gathered. */
  protected answers(): boolean {
    if (!this.congested) {
      this.control = 0;
      return true;
    }
    return ++this.control <= MAX_CONTROL || this.refuse(ErrorCode.ENHANCE_YOUR_CALM, "asks and does not read the answers");
  }

  /** A connection error (section 5.4.1). @returns false, for whoever asks whether to go on */
  protected refuse(code: ErrorCodeValue, reason: string): false {
    if (!this.isOver) this.broken(code, reason);
    return false;
  }

  /** A stream error (section 5.4.2) of the peer's making. */
  protected resetFor(stream: S, code: ErrorCodeValue, detail: string): void {
    this.reset(stream, code);
    stream.lost({ kind: "error", code, detail });
    this.provoked();
  }

  /** Tell the peer that a stream is over; it leaves the session. */
  reset(stream: S, code: ErrorCodeValue): void {
    if (!this.leave(stream)) return;
    this.refuseStream(stream.id, code);
  }

  /** Tell the peer that we take no more of a stream. */
  protected refuseStream(id: number, code: ErrorCodeValue): void {
    this.resetByUs.add(id);
    if (this.resetByUs.size > this.limits.crossing) for (const oldest of this.resetByUs) {
      this.resetByUs.delete(oldest);
      break;
    }
    if (!this.isOver && this.answers()) this.writeReset(id, code);
  }

  /** It is closed in both directions, or of no use: forget it. False: it had left. */
  protected leave(stream: S): boolean {
    if (!this.streams.delete(stream.id)) return false;
    stream.localClosed = true;
    stream.forget();
    this.wheel.remove(stream);
    if (this.dataStream === stream) this.dataStream = undefined;
    this.forgetLast(stream);
    return true;
  }

  /** A new stream takes part. */
  protected enter(stream: S, id: number): void {
    this.counters.add(TOTAL_H2_STREAMS);
    stream.id = id;
    stream.sendWindow = this.peerInitialWindow;
    stream.receiveWindow = this.limits.streamWindow;
    this.streams.set(id, stream);
  }

  /** Say what we take. @param preface what comes before it */
  protected greet(preface: Buffer | undefined, settings: readonly (readonly [name: number, value: number])[]): void {
    this.counters.add(TOTAL_H2_CONNECTIONS);
    this.writeSettings(preface, settings);
    const more = this.limits.connectionWindow - INITIAL_WINDOW;
    if (more <= 0) return;
    this.writeWindowUpdate(0, more);
    this.receiveWindow += more;
  }
}
