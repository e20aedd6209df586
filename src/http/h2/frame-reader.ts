/**
 * Cuts received bytes into frames (RFC 9113 section 4.1), however they arrive. DATA is handed on as it comes; every other payload is gathered first:
 * it is small, for whoever listens has checked its length by then.
 */
import { FRAME_HEADER, Flag, readUint32, Type } from "./frames.ts";

export interface FrameHandler {
  /** A frame's header is here. False: it is refused, and nothing more is to be read. */
  frameBegins(type: number, flags: number, id: number, length: number): boolean;
  /** A whole frame that is not DATA; its payload is [start, end). */
  frame(type: number, flags: number, id: number, payload: Buffer, start: number, end: number): void;
  /** Bytes of a DATA frame. */
  data(id: number, bytes: Buffer, start: number, end: number): void;
  /** A DATA frame is whole. @param data bytes of it that were data @param padding and that were not */
  dataEnds(id: number, flags: number, data: number, padding: number): void;
  /** Padding is as long as its frame, or longer. */
  paddingTooLong(): void;
  /** Nothing is to be read any more. */
  readonly isOver: boolean;
}

export class FrameReader {
  private readonly handler: FrameHandler;
  private readonly header = Buffer.alloc(FRAME_HEADER);
  private headerBytes = 0;
  private length = 0;
  private type = 0;
  private flags = 0;
  private id = 0;
  /** A payload that comes in pieces. */
  private payload: Buffer | undefined = undefined;
  private payloadBytes = 0;
  private inData = false;
  /** Of the DATA frame under way. */
  private dataLeft = 0;

  constructor(handler: FrameHandler) {
    this.handler = handler;
  }

  read(chunk: Buffer): void {
    const end = chunk.length;
    const { handler } = this;
    let at = 0;
    while (at < end && !handler.isOver) {
      if (this.inData) at = this.readData(chunk, at, end);
      else if (this.payload !== undefined) at = this.gather(chunk, at, end);
      else at = this.readHeader(chunk, at, end);
    }
  }

  private readHeader(chunk: Buffer, from: number, end: number): number {
    let at = from;
    let header = chunk;
    let headerAt = from;
    if (this.headerBytes > 0 || end - at < FRAME_HEADER) {
      const taken = Math.min(FRAME_HEADER - this.headerBytes, end - at);
      chunk.copy(this.header, this.headerBytes, at, at + taken);
      this.headerBytes += taken;
      at += taken;
      if (this.headerBytes < FRAME_HEADER) return at;
      header = this.header;
      headerAt = 0;
      this.headerBytes = 0;
    } else at += FRAME_HEADER;
    this.length = (header[headerAt]! << 16) | (header[headerAt + 1]! << 8) | header[headerAt + 2]!;
    this.type = header[headerAt + 3]!;
    this.flags = header[headerAt + 4]!;
    this.id = readUint32(header, headerAt + 5) & 0x7fffffff;
    if (!this.handler.frameBegins(this.type, this.flags, this.id, this.length)) return end;
    if (this.type === Type.DATA && (this.flags & Flag.PADDED) === 0) {
      this.inData = true;
      this.dataLeft = this.length;
      return this.readData(chunk, at, end);
    }
    if (end - at >= this.length) {
      const payloadEnd = at + this.length;
      this.deliver(chunk, at, payloadEnd);
      return payloadEnd;
    }
    this.payload = Buffer.allocUnsafe(this.length);
    this.payloadBytes = 0;
    return this.gather(chunk, at, end);
  }

  private gather(chunk: Buffer, at: number, end: number): number {
    const payload = this.payload!;
    const taken = Math.min(payload.length - this.payloadBytes, end - at);
    chunk.copy(payload, this.payloadBytes, at, at + taken);
    this.payloadBytes += taken;
    if (this.payloadBytes === payload.length) {
      this.payload = undefined;
      this.deliver(payload, 0, payload.length);
    }
    return at + taken;
  }

  private deliver(payload: Buffer, start: number, end: number): void {
    if (this.type !== Type.DATA) {
      this.handler.frame(this.type, this.flags, this.id, payload, start, end);
      return;
    }
    // Padded: the rare case, and never longer than a frame may be.
    const padding = end > start ? payload[start]! : -1;
    if (padding < 0 || padding >= end - start) {
      this.handler.paddingTooLong();
      return;
    }
    if (end - padding > start + 1) this.handler.data(this.id, payload, start + 1, end - padding);
    this.handler.dataEnds(this.id, this.flags, end - start - padding - 1, padding + 1);
  }

  private readData(chunk: Buffer, at: number, end: number): number {
    const taken = Math.min(this.dataLeft, end - at);
    this.dataLeft -= taken;
    if (taken > 0) this.handler.data(this.id, chunk, at, at + taken);
    if (this.dataLeft === 0) {
      this.inData = false;
      if (!this.handler.isOver) this.handler.dataEnds(this.id, this.flags, this.length, 0);
    }
    return at + taken;
  }
}
