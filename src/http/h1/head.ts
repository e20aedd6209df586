/**
 * What requests and replies have in common: their fields, read in place, and the framing that those say.
 *
 * Strict on purpose (RFC 9112 and the request-smuggling literature): what two parsers could read differently
 * is refused, never repaired. It knows syntax and framing fields; what a proxy does with a message is forward.ts.
 */
import { Fields, Name, nameId } from "../fields.ts";
import { CLASS, COLON, CR, HTAB, LF, SP, TOKEN, VALUE, isBlank, isToken, parseDigits } from "./syntax.ts";

/** What came of parsing. Everything above OK is a refusal; see `refusals` for what a client is told. */
export const Parse = {
  OK: 0,
  /** Not all there yet. */
  MORE: 1,
  BAD_REQUEST_LINE: 2,
  BAD_TARGET: 3,
  BAD_VERSION: 4,
  BAD_FIELD: 5,
  BAD_LINE_END: 6,
  TOO_LARGE: 7,
  TOO_MANY_FIELDS: 8,
  URI_TOO_LONG: 9,
  BAD_CONTENT_LENGTH: 10,
  BAD_TRANSFER_ENCODING: 11,
  UNKNOWN_TRANSFER_CODING: 12,
  LENGTH_AND_CODING: 13,
  BAD_HOST: 14,
  UNDERSCORE_NAME: 15,
  BAD_STATUS_LINE: 16,
} as const;
export type ParseResult = (typeof Parse)[keyof typeof Parse];

/** The status and the words for each refusal of a request. */
export const refusals: Readonly<Record<number, readonly [status: number, reason: string]>> = {
  [Parse.BAD_REQUEST_LINE]: [400, "malformed request line"],
  [Parse.BAD_TARGET]: [400, "malformed request target"],
  [Parse.BAD_VERSION]: [505, "unsupported HTTP version"],
  [Parse.BAD_FIELD]: [400, "malformed header field"],
  [Parse.BAD_LINE_END]: [400, "line does not end in CRLF"],
  [Parse.TOO_LARGE]: [431, "header too large"],
  [Parse.TOO_MANY_FIELDS]: [431, "too many header fields"],
  [Parse.URI_TOO_LONG]: [414, "request line too long"],
  [Parse.BAD_CONTENT_LENGTH]: [400, "invalid Content-Length"],
  [Parse.BAD_TRANSFER_ENCODING]: [400, "invalid Transfer-Encoding"],
  [Parse.UNKNOWN_TRANSFER_CODING]: [501, "unknown transfer coding"],
  [Parse.LENGTH_AND_CODING]: [400, "Content-Length with Transfer-Encoding"],
  [Parse.BAD_HOST]: [400, "missing, repeated or invalid Host"],
  [Parse.UNDERSCORE_NAME]: [400, "header name with underscore"],
  [Parse.BAD_STATUS_LINE]: [502, "malformed status line"],
};

/** What a reader accepts; from the config. */
export interface HeadLimits {
  readonly headerBytes: number;
  readonly headerCount: number;
  readonly requestLineBytes: number;
}

/** How a body ends. */
export const Framing = { NONE: 0, LENGTH: 1, CHUNKED: 2, UNTIL_CLOSE: 3 } as const;
export type FramingKind = (typeof Framing)[keyof typeof Framing];

const CHUNKED = Buffer.from("chunked");
const CLOSE = Buffer.from("close");
const KEEP_ALIVE = Buffer.from("keep-alive");
const UPGRADE = Buffer.from("upgrade");
const OTHER_CODINGS = ["gzip", "x-gzip", "deflate", "compress", "x-compress"].map((name) => Buffer.from(name));

/** Fields and the framing that they say, common to both directions. */
export class Head extends Fields {
  /** Where the message starts (after skipped empty lines) and where its body does. */
  start = 0;
  end = 0;
  /** End of the start line, past its CRLF. */
  fieldsStart = 0;
  /** 0 or 1: the minor version. */
  minor = 1;
  /** Value of Content-Length; -1: none. */
  contentLength = -1;
  /** The Content-Length line may go on as it came: one space, no leading zero, nothing behind. Parsers differ over the rest. */
  lengthIsPlain = true;
  chunked = false;
  /** Tokens of Connection. */
  connectionClose = false;
  connectionKeepAlive = false;
  connectionUpgrade = false;
  /** Connection names fields other than the usual: forward.ts must look. */
  connectionNames = false;
  hostIndex = -1;
  hostCount = 0;
  hasUnderscore = false;
  /** Bit `id` is set for each known name that is there. */
  seen = 0;

  protected reset(buffer: Buffer): void {
    this.buffer = buffer;
    this.count = 0;
    this.contentLength = -1;
    this.lengthIsPlain = true;
    this.chunked = false;
    this.connectionClose = false;
    this.connectionKeepAlive = false;
    this.connectionUpgrade = false;
    this.connectionNames = false;
    this.hostIndex = -1;
    this.hostCount = 0;
    this.hasUnderscore = false;
    this.seen = 0;
  }

  has(id: number): boolean {
    return (this.seen & (1 << id)) !== 0;
  }

  /**
   * Field lines from `at` up to the empty line. `end` is where the received bytes end.
   * Sets `this.end` past the empty line.
   */
  protected parseFields(at: number, end: number, headerCount: number): ParseResult {
    const { buffer } = this;
    const limit = Math.min(headerCount, this.capacity);
    let position = at;
    for (;;) {
      if (position >= end) return Parse.MORE;
      let byte = buffer[position]!;
      if (byte === CR) {
        if (position + 1 >= end) return Parse.MORE;
        if (buffer[position + 1] !== LF) return Parse.BAD_LINE_END;
        this.end = position + 2;
        return Parse.OK;
      }
      // Name. A space here is a folded line or one before the first field: refused like any other byte that is no token.
      const nameStart = position;
      while (position < end && (CLASS[(byte = buffer[position]!)]! & TOKEN) !== 0) {
        if (byte === 0x5f) this.hasUnderscore = true;
        position++;
      }
      if (position >= end) return Parse.MORE;
      if (byte !== COLON || position === nameStart) return byte === LF ? Parse.BAD_LINE_END : Parse.BAD_FIELD;
      const nameEnd = position++;
      while (position < end && ((byte = buffer[position]!) === SP || byte === HTAB)) position++;
      const valueStart = position;
      while (position < end && (CLASS[buffer[position]!]! & VALUE) !== 0) position++;
      if (position + 1 >= end) {
        if (position < end && buffer[position] !== CR) return buffer[position] === LF ? Parse.BAD_LINE_END : Parse.BAD_FIELD;
        return Parse.MORE;
      }
      if (buffer[position] !== CR) return buffer[position] === LF ? Parse.BAD_LINE_END : Parse.BAD_FIELD;
      if (buffer[position + 1] !== LF) return Parse.BAD_LINE_END;
      let valueEnd = position;
      while (valueEnd > valueStart && ((byte = buffer[valueEnd - 1]!) === SP || byte === HTAB)) valueEnd--;
      position += 2;

      const index = this.count;
      if (index >= limit) return Parse.TOO_MANY_FIELDS;
      const id = nameId(buffer, nameStart, nameEnd);
      this.id[index] = id;
      this.nameStart[index] = nameStart;
      this.nameEnd[index] = nameEnd;
      this.valueStart[index] = valueStart;
      this.valueEnd[index] = valueEnd;
      this.lineEnd[index] = position;
      this.count = index + 1;
      if (id !== Name.OTHER) {
        const refusal = this.known(id, index);
        if (refusal !== Parse.OK) return refusal;
      }
    }
  }

  /** A field with a meaning was read. */
  protected known(id: number, index: number): ParseResult {
    const repeated = this.has(id);
    this.seen |= 1 << id;
    switch (id) {
      case Name.HOST:
        this.hostIndex = index;
        this.hostCount++;
        return Parse.OK;
      case Name.CONTENT_LENGTH: {
        if (repeated) return Parse.BAD_CONTENT_LENGTH;
        const length = parseDigits(this.buffer, this.valueStart[index]!, this.valueEnd[index]!);
        if (length < 0) return Parse.BAD_CONTENT_LENGTH;
        this.contentLength = length;
        this.lengthIsPlain = this.isPlain(index);
        return Parse.OK;
      }
      case Name.TRANSFER_ENCODING:
        if (repeated) return Parse.BAD_TRANSFER_ENCODING;
        return this.transferEncoding(this.valueStart[index]!, this.valueEnd[index]!);
      case Name.CONNECTION:
        this.connection(this.valueStart[index]!, this.valueEnd[index]!);
        return Parse.OK;
      default:
        return Parse.OK;
    }
  }

  private isPlain(index: number): boolean {
    const start = this.valueStart[index]!;
    const end = this.valueEnd[index]!;
    const spaced = start - this.nameEnd[index]! === 2 && this.buffer[start - 1] === SP && this.lineEnd[index]! - end === 2;
    return spaced && (this.buffer[start] !== 0x30 || end - start === 1);
  }

  /** RFC 9112 section 6.1: exactly `chunked` is understood. */
  private transferEncoding(start: number, end: number): ParseResult {
    if (isToken(this.buffer, start, end, CHUNKED)) {
      this.chunked = true;
      return Parse.OK;
    }
    let chunkedLast = false;
    let chunkedCount = 0;
    let position = start;
    while (position <= end) {
      let comma = position;
      while (comma < end && this.buffer[comma] !== 0x2c) comma++;
      let from = position;
      let to = comma;
      while (from < to && isBlank(this.buffer[from]!)) from++;
      while (to > from && isBlank(this.buffer[to - 1]!)) to--;
      if (from === to) return Parse.BAD_TRANSFER_ENCODING;
      for (let i = from; i < to; i++) if ((CLASS[this.buffer[i]!]! & TOKEN) === 0) return Parse.BAD_TRANSFER_ENCODING;
      chunkedLast = isToken(this.buffer, from, to, CHUNKED);
      if (chunkedLast) chunkedCount++;
      else if (!OTHER_CODINGS.some((coding) => isToken(this.buffer, from, to, coding))) return Parse.UNKNOWN_TRANSFER_CODING;
      position = comma + 1;
    }
    // What is left is a coding that exists but that nobody here decodes, or a wrong use of chunked.
    return chunkedLast && chunkedCount === 1 ? Parse.UNKNOWN_TRANSFER_CODING : Parse.BAD_TRANSFER_ENCODING;
  }

  private connection(start: number, end: number): void {
    let position = start;
    while (position < end) {
      while (position < end && (isBlank(this.buffer[position]!) || this.buffer[position] === 0x2c)) position++;
      const from = position;
      while (position < end && this.buffer[position] !== 0x2c) position++;
      let to = position;
      while (to > from && isBlank(this.buffer[to - 1]!)) to--;
      if (to === from) continue;
      if (isToken(this.buffer, from, to, CLOSE)) this.connectionClose = true;
      else if (isToken(this.buffer, from, to, KEEP_ALIVE)) this.connectionKeepAlive = true;
      else if (isToken(this.buffer, from, to, UPGRADE)) this.connectionUpgrade = true;
      else this.connectionNames = true;
    }
  }
}

/** The fields that follow the last chunk. */
export class TrailerFields extends Head {
  parse(buffer: Buffer, at: number, end: number, headerCount: number): ParseResult {
    this.reset(buffer);
    this.start = at;
    return this.parseFields(at, end, headerCount);
  }

  /** Here nothing frames anything: such fields are left out when the rest goes on. */
  protected override known(id: number, _index: number): ParseResult {
    this.seen |= 1 << id;
    return Parse.OK;
  }
}
