/**
 * The writing half of an HTTP/2 connection: frames and header blocks are gathered and leave when this turn of the event loop is over; DATA goes as far as the windows
 * and the peer's reading let, and of what waits each stream sends a frame in turn (RFC 9113 sections 4 to 6).
 */
import { Connection, type Meter } from "../../net/connection.ts";
import { type Corked, SLAB } from "../../net/cork.ts";
import { writeReplyFields, writeTrailerFields } from "../forward.ts";
import { type Head, TrailerFields } from "../h1/head.ts";
import type { ReplyHead } from "../h1/reply-head.ts";
import { type Column, TOTAL_H2_GOAWAYS_SENT, TOTAL_H2_RESETS_SENT } from "../../scoreboard/scoreboard.ts";
import type { Services } from "../services.ts";
import { ErrorCode, errorName, Flag, FRAME_HEADER, INITIAL_WINDOW, MAX_FRAME, Type, writeFrameHeader, writeUint32, type ErrorCodeValue } from "./frames.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import { HpackSink } from "./hpack-sink.ts";
import type { Stream } from "./stream.ts";

/** What a header block may have beside its fields' bytes. */
const BLOCK_OVERHEAD = 4_096;
/** How long a peer that was told to go may go on sending: one that did wrong, and one that did not and has nothing open. */
const LINGER = 2_000;
const LINGER_IDLE = 500;

const scratchTrailers = new TrailerFields(1000);

export abstract class SessionOutput<S extends Stream = Stream> extends Connection implements Corked {
  readonly streams = new Map<number, S>();
  /** Nothing more is read or begun. */
  isOver = false;
  protected readonly services: Services;
  protected readonly counters: Column;
  protected readonly encoder = new HpackEncoder();
  /** The peer takes so many more bytes of DATA. */
  protected sendWindow = INITIAL_WINDOW;
  /** When data of any stream last went, or some of what the peer had not read, in clock ms. */
  movedAt = 0;
  /** Answers gathered since the peer last took all that was written. */
  protected control = 0;
  private readonly sink = new HpackSink(this.encoder);
  /** HEADERS or DATA went either way since the last PING: many gRPC implementations measure by one a round trip while something flows. */
  protected busy = false;
  /** Streams with data that waits. */
  private readonly waiting = new Set<Stream>();
  /** What is gathered, and how much. */
  private slab: Buffer | undefined = undefined;
  private length = 0;
  private corked = false;
  /** The last frame gathered, if the end of its stream may still be marked on it. */
  private lastStream: Stream | undefined = undefined;
  private lastAt = 0;

  /** @param counters of the listener or the upstream */
  constructor(services: Services, counters: Column, meter: Meter) {
    super(services.wheel, meter);
    this.services = services;
    this.counters = counters;
  }

  /** Our side of a stream is closed. */
  protected abstract ended(stream: S): void;

  /** Room for `length` bytes, at most a slab. @returns where they go in this.slab */
  private reserve(length: number): number {
    if (this.slab === undefined) this.slab = this.services.cork.take();
    else if (this.length + length > SLAB) {
      this.writeOut();
      this.slab ??= this.services.cork.take();
    }
    this.lastStream = undefined;
    if (!this.corked) {
      this.corked = true;
      this.services.cork.add(this);
    }
    return this.length;
  }

  protected writeSettingsAck(): void {
    this.beginFrame(0, Type.SETTINGS, Flag.ACK, 0);
  }

  protected writePingAck(payload: Buffer, start: number, end: number): void {
    const at = this.beginFrame(end - start, Type.PING, Flag.ACK, 0);
    payload.copy(this.slab!, at, start, end);
  }

  protected writeReset(id: number, code: ErrorCodeValue): void {
    this.counters.add(TOTAL_H2_RESETS_SENT);
    const at = this.beginFrame(4, Type.RST_STREAM, 0, id);
    writeUint32(this.slab!, at, code);
  }

  /** Its last frame is nobody's to change any more. */
  protected forgetLast(stream: Stream): void {
    if (this.lastStream === stream) this.lastStream = undefined;
  }

  /** @returns where the frame's payload goes in this.slab */
  private beginFrame(length: number, type: number, flags: number, id: number): number {
    const at = this.reserve(FRAME_HEADER + length);
    const payload = writeFrameHeader(this.slab!, at, length, type, flags, id);
    this.length = payload + length;
    return payload;
  }

  uncork(): void {
    this.corked = false;
    this.writeOut();
    if (this.hasWaiting && !this.congested) this.sendWaiting();
  }

  /** Write what is gathered. */
  protected writeOut(): void {
    const { slab, length } = this;
    if (slab === undefined) return;
    this.slab = undefined;
    this.length = 0;
    this.lastStream = undefined;
    const { congested } = this;
    if (length > 0) this.write(slab, 0, length);
    this.services.cork.give(slab);
    // Sources that are not read yet are better left in the system's buffers than taken into ours.
    if (!congested && this.congested) for (const stream of this.streams.values()) stream.stalled();
  }

  /** @param preface what comes before it */
  protected writeSettings(preface: Buffer | undefined, settings: readonly (readonly [name: number, value: number])[]): void {
    const before = preface?.length ?? 0;
    const start = this.reserve(before + FRAME_HEADER + settings.length * 6);
    const slab = this.slab!;
    preface?.copy(slab, start);
    let at = writeFrameHeader(slab, start + before, settings.length * 6, Type.SETTINGS, 0, 0);
    for (const [name, value] of settings) {
      slab[at] = name >>> 8;
      slab[at + 1] = name & 0xff;
      at = writeUint32(slab, at + 2, value);
    }
    this.length = at;
  }

  writeWindowUpdate(id: number, increment: number): void {
    if (this.isOver) return;
    const at = this.beginFrame(4, Type.WINDOW_UPDATE, 0, id);
    writeUint32(this.slab!, at, increment);
  }

  protected writeGoAway(lastId: number, code: ErrorCodeValue, reason: string): void {
    this.counters.add(TOTAL_H2_GOAWAYS_SENT);
    const at = this.beginFrame(8 + reason.length, Type.GOAWAY, 0, 0);
    const text = writeUint32(this.slab!, writeUint32(this.slab!, at, lastId), code);
    this.slab!.latin1Write(reason, text);
  }

  /**
   * Write a header block.
   * @param size of the head that it is made of, in bytes
   * @param write puts the fields into `sink`
   */
  writeHead(stream: Stream, size: number, fields: number, endsStream: boolean, write: (sink: HpackSink) => void): void {
    this.busy = true;
    const most = size * 2 + fields * 16 + BLOCK_OVERHEAD;
    if (most > MAX_FRAME) {
      this.writeLargeHead(stream, most, endsStream, write);
      return;
    }
    const at = this.reserve(FRAME_HEADER + most);
    const slab = this.slab!;
    this.encoder.begin(slab, at + FRAME_HEADER);
    write(this.sink);
    const end = this.encoder.position;
    writeFrameHeader(slab, at, end - at - FRAME_HEADER, Type.HEADERS, Flag.END_HEADERS | (endsStream ? Flag.END_STREAM : 0), stream.id);
    this.length = end;
    if (endsStream) stream.localClosed = true;
    else {
      this.lastStream = stream;
      this.lastAt = at;
    }
  }

  /** One that may not fit a frame: the rest goes in CONTINUATIONs. */
  private writeLargeHead(stream: Stream, most: number, endsStream: boolean, write: (sink: HpackSink) => void): void {
    const block = Buffer.allocUnsafe(most);
    this.encoder.begin(block, 0);
    write(this.sink);
    const length = this.encoder.position;
    for (let from = 0, first = true; first || from < length; first = false) {
      const part = Math.min(MAX_FRAME, length - from);
      const flags = (from + part === length ? Flag.END_HEADERS : 0) | (first && endsStream ? Flag.END_STREAM : 0);
      const at = this.beginFrame(part, first ? Type.HEADERS : Type.CONTINUATION, flags, stream.id);
      block.copy(this.slab!, at, from, from + part);
      from += part;
    }
    if (endsStream) stream.localClosed = true;
  }

  writeReplyHead(stream: Stream, head: ReplyHead, lines: string, endsStream: boolean): void {
    this.writeHead(stream, head.end - head.start + lines.length, head.count, endsStream, (sink) => {
      sink.encoder.status(head.status);
      writeReplyFields(sink, head, lines);
    });
  }

  /** A 101 as what answers an extended CONNECT: RFC 8441 section 5. */
  writeTunnelHead(stream: Stream, head: ReplyHead, lines: string): void {
    this.writeHead(stream, head.end - head.start + lines.length, head.count, false, (sink) => {
      sink.encoder.status(200);
      sink.omit = "sec-websocket-accept";
      writeReplyFields(sink, head, lines);
      sink.omit = undefined;
    });
  }

  /** A reply head of our own. @param lines field lines, each with its CRLF */
  writeLines(stream: Stream, status: number, lines: string, endsStream: boolean): void {
    this.writeHead(stream, lines.length, 8, endsStream, (sink) => {
      sink.encoder.status(status);
      sink.text(lines);
    });
  }

  /**
   * Write DATA as far as windows and the peer's reading let.
   * @param once one frame only
   * @returns where in `bytes` it stopped
   */
  writeData(stream: Stream, bytes: Buffer, start: number, end: number, once = false): number {
    let at = start;
    while (at < end && !this.congested) {
      const length = Math.min(end - at, MAX_FRAME, this.sendWindow, stream.sendWindow);
      if (length <= 0) break;
      const payload = this.beginFrame(length, Type.DATA, 0, stream.id);
      bytes.copy(this.slab!, payload, at, at + length);
      this.lastStream = stream;
      this.lastAt = payload - FRAME_HEADER;
      this.busy = true;
      this.sendWindow -= length;
      stream.sendWindow -= length;
      at += length;
      if (once) break;
    }
    if (at > start) {
      this.movedAt = this.wheel.now;
      stream.movedAt = this.movedAt;
    }
    return at;
  }

  /** Close our side of a stream: on its last frame if that has not left, else by a frame of its own. */
  writeEnd(stream: Stream, trailers: Head | undefined): void {
    if (trailers !== undefined) {
      this.writeHead(stream, trailers.end - trailers.start, trailers.count, true, (sink) => writeTrailerFields(sink, trailers));
    } else if (this.lastStream === stream) {
      this.slab![this.lastAt + 4]! |= Flag.END_STREAM;
      this.lastStream = undefined;
    } else this.beginFrame(0, Type.DATA, Flag.END_STREAM, stream.id);
    stream.localClosed = true;
    this.ended(stream as S);
  }

  /** The same, with trailers that were kept as lines. */
  writeEndOfLines(stream: Stream, lines: Buffer | undefined): void {
    if (lines === undefined) this.writeEnd(stream, undefined);
    else {
      scratchTrailers.parse(lines, 0, lines.length, scratchTrailers.capacity);
      this.writeEnd(stream, scratchTrailers);
    }
  }

  protected get hasWaiting(): boolean {
    return this.waiting.size > 0;
  }

  waits(stream: Stream): void {
    this.waiting.add(stream);
  }

  waitsNoMore(stream: Stream): void {
    this.waiting.delete(stream);
  }

  /** What waits goes as far as it can, a frame of each stream in turn. */
  protected sendWaiting(): void {
    for (let some = true; some && this.sendWindow > 0 && !this.congested; ) {
      some = false;
      for (const stream of this.waiting) {
        if (this.sendWindow <= 0 || this.congested) break;
        if (stream.sendWindow > 0 && stream.sendWaiting()) some = true;
      }
    }
  }

  protected writable(): void {
    this.movedAt = this.wheel.now;
    this.control = 0;
    this.sendWaiting();
    if (this.congested) return;
    for (const stream of this.streams.values()) if (!stream.hasQueue) stream.sendable();
  }

  // Its end.

  /** Tell the peer, let it read that, and close. */
  protected goodbye(lastId: number, code: ErrorCodeValue, reason: string): void {
    if (!this.isOpen || this.isOver) return;
    this.isOver = true;
    this.writeGoAway(lastId, code, code === ErrorCode.NO_ERROR ? "" : `${errorName(code)}: ${reason}`);
    this.writeOut();
    this.shutdown();
    this.linger(code === ErrorCode.NO_ERROR && !this.congested ? LINGER_IDLE : LINGER);
  }

  /** Wait on: closing now would reset what the peer still reads. */
  protected lingerOn(): void {
    this.linger(LINGER);
  }

  private linger(milliseconds: number): void {
    this.wheel.schedule(this, this.services.network.clock.now + milliseconds);
  }

  /** The peer reads, if slowly: also what was said before the goodbye. */
  protected override progressed(): void {
    this.movedAt = this.wheel.now;
    if (this.isOver) this.linger(LINGER);
  }

  /** The time for that is up. What the system has taken goes on to a peer that reads slowly: a reset would take it back. */
  protected lingered(): void {
    if (this.congested) this.abort();
    else this.end();
  }
}
