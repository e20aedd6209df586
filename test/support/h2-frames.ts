/** HTTP/2 frames (RFC 9113 sections 4 and 6) for tests: any frame made by hand, right or wrong, and those that come taken apart. */
import { block as literals, type Field } from "./h2-hpack.ts";

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export const FrameType = { DATA: 0, HEADERS: 1, PRIORITY: 2, RST_STREAM: 3, SETTINGS: 4, PUSH_PROMISE: 5, PING: 6, GOAWAY: 7, WINDOW_UPDATE: 8, CONTINUATION: 9 } as const;

export const Flag = { ACK: 1, END_STREAM: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 32 } as const;

/** RFC 9113 section 7. */
export const ErrorCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const;

/** RFC 9113 section 6.5.2, RFC 8441 section 3. */
export const Setting = { HEADER_TABLE_SIZE: 1, ENABLE_PUSH: 2, MAX_CONCURRENT_STREAMS: 3, INITIAL_WINDOW_SIZE: 4, MAX_FRAME_SIZE: 5, MAX_HEADER_LIST_SIZE: 6, ENABLE_CONNECT_PROTOCOL: 8 } as const;

const HEAD_BYTES = 9;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

function nameIn(names: Readonly<Record<string, number>>, value: number): string {
  return Object.keys(names).find((name) => names[name] === value) ?? String(value);
}

export function nameOfError(code: number): string {
  return nameIn(ErrorCode, code);
}

export function nameOfType(type: number): string {
  return nameIn(FrameType, type);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** @param stream 31 bits; a 32nd is the reserved one @param length what the head says, if not the truth */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array | string = "", length?: number): Buffer {
  const bytes = Buffer.from(payload as string, "latin1");
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUIntBE(length ?? bytes.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, bytes]);
}

export interface FrameOptions {
  readonly endStream?: boolean;
  readonly endHeaders?: boolean;
  /** Bytes of padding; absent: the frame has no Pad Length. */
  readonly pad?: number;
  /** Pad Length as it is said, if not the truth. */
  readonly saidPad?: number;
  readonly priority?: Priority;
}

export interface Priority {
  readonly on: number;
  readonly exclusive?: boolean;
  /** 1 to 256. */
  readonly weight?: number;
}

function padded(payload: Buffer, { pad, saidPad }: FrameOptions): Buffer {
  if (pad === undefined) return payload;
  return Buffer.concat([Buffer.from([saidPad ?? pad]), payload, Buffer.alloc(pad)]);
}

function dependency({ on, exclusive = false, weight = 16 }: Priority): Buffer {
  return Buffer.concat([uint32(on + (exclusive ? 2 ** 31 : 0)), Buffer.from([weight - 1])]);
}

/** END_STREAM unless told otherwise. */
export function data(stream: number, payload: Uint8Array | string, options: FrameOptions = {}): Buffer {
  const flags = ((options.endStream ?? true) ? Flag.END_STREAM : 0) | (options.pad === undefined ? 0 : Flag.PADDED);
  return frame(FrameType.DATA, flags, stream, padded(Buffer.from(payload as string, "latin1"), options));
}

/** One that DATA, or more HEADERS, follow. */
export const more: FrameOptions = { endStream: false };
/** One that CONTINUATION follows. */
export const unfinished: FrameOptions = { endHeaders: false };

/** END_STREAM and END_HEADERS unless told otherwise; fields become literals, a Buffer is a header block or a piece of one. */
export function headers(stream: number, block: Buffer | readonly Field[], options: FrameOptions = {}): Buffer {
  const { endStream = true, endHeaders = true, pad, priority } = options;
  const flags = (endStream ? Flag.END_STREAM : 0) | (endHeaders ? Flag.END_HEADERS : 0) | (pad === undefined ? 0 : Flag.PADDED) | (priority === undefined ? 0 : Flag.PRIORITY);
  const fragment = Buffer.isBuffer(block) ? block : literals(block as readonly Field[]);
  return frame(FrameType.HEADERS, flags, stream, padded(priority === undefined ? fragment : Buffer.concat([dependency(priority), fragment]), options));
}

export function continuation(stream: number, fragment: Buffer, endHeaders = true): Buffer {
  return frame(FrameType.CONTINUATION, endHeaders ? Flag.END_HEADERS : 0, stream, fragment);
}

export function priority(stream: number, priority: Priority): Buffer {
  return frame(FrameType.PRIORITY, 0, stream, dependency(priority));
}

export function rstStream(stream: number, code: number = ErrorCode.CANCEL): Buffer {
  return frame(FrameType.RST_STREAM, 0, stream, uint32(code));
}

/** Entries in this order, known and unknown. */
export function settings(...entries: readonly (readonly [setting: number, value: number])[]): Buffer {
  const payload = entries.map(([setting, value]) => Buffer.concat([Buffer.from([setting >> 8, setting & 255]), uint32(value)]));
  return frame(FrameType.SETTINGS, 0, 0, Buffer.concat(payload));
}

export function settingsAck(): Buffer {
  return frame(FrameType.SETTINGS, Flag.ACK, 0);
}

export function pushPromise(stream: number, promised: number, fields: readonly Field[]): Buffer {
  return frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, stream, Buffer.concat([uint32(promised), literals(fields)]));
}

/** @param payload eight bytes, to be right */
export function ping(payload = "fairlead", flags = 0): Buffer {
  return frame(FrameType.PING, flags, 0, payload);
}

export function goaway(last: number, code: number, debug = ""): Buffer {
  return frame(FrameType.GOAWAY, 0, 0, Buffer.concat([uint32(last), uint32(code), Buffer.from(debug, "latin1")]));
}

export function windowUpdate(stream: number, increment: number): Buffer {
  return frame(FrameType.WINDOW_UPDATE, 0, stream, uint32(increment));
}

/** Bytes to frames; it knows of no rules. */
export class FrameReader {
  private pending: Buffer = Buffer.alloc(0);

  feed(chunk: Buffer): Frame[] {
    this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    const frames: Frame[] = [];
    let at = 0;
    while (this.pending.length - at >= HEAD_BYTES) {
      const end = at + HEAD_BYTES + this.pending.readUIntBE(at, 3);
      if (end > this.pending.length) break;
      frames.push({ type: this.pending[at + 3]!, flags: this.pending[at + 4]!, stream: this.pending.readUInt32BE(at + 5), payload: this.pending.subarray(at + HEAD_BYTES, end) });
      at = end;
    }
    this.pending = this.pending.subarray(at);
    return frames;
  }

  /** Bytes of a frame that is not whole yet. */
  get unread(): Buffer {
    return this.pending;
  }
}

/** SETTINGS' entries in their order. */
export function entriesOf({ payload }: Frame): [setting: number, value: number][] {
  return Array.from({ length: Math.floor(payload.length / 6) }, (_, i) => [payload.readUInt16BE(i * 6), payload.readUInt32BE(i * 6 + 2)]);
}

/** A frame's own payload, without padding and priority. */
export function contentOf({ type, flags, payload }: Frame): Buffer {
  let [from, to] = [0, payload.length];
  if ((type === FrameType.DATA || type === FrameType.HEADERS) && (flags & Flag.PADDED) !== 0) {
    from = 1;
    to -= payload[0] ?? 0;
  }
  if (type === FrameType.HEADERS && (flags & Flag.PRIORITY) !== 0) from += 5;
  return payload.subarray(from, Math.max(from, to));
}
