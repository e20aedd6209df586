/**
 * Reads the head of an HTTP/1 message in place: start line and fields become offsets over the received bytes.
 *
 * Strict on purpose (RFC 9112 and the request-smuggling literature): what two parsers could read differently
 * is refused, never repaired. It knows syntax and framing fields; what a proxy does with a message is forward.ts.
 */
import { Fields, LOWER, Name, equalsLower, nameId } from "../fields.ts";

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

const CR = 13;
const LF = 10;
const SP = 32;
const HTAB = 9;
const COLON = 58;

/** Classes of bytes, as bits. */
const TOKEN = 1;
const VALUE = 2;
const TARGET = 4;
const DIGIT = 8;
const HOST = 16;
const CLASS = Uint8Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  let bits = 0;
  if (/^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/.test(character)) bits |= TOKEN; // RFC 9110 section 5.6.2
  if (byte === HTAB || (byte >= SP && byte !== 0x7f)) bits |= VALUE; // RFC 9110 section 5.5
  if (byte > SP && byte < 0x7f && character !== "#") bits |= TARGET;
  if (byte >= 0x30 && byte <= 0x39) bits |= DIGIT;
  if (/^[A-Za-z0-9\-._~!$&'()*+,;=%:[\]]$/.test(character)) bits |= HOST; // RFC 3986 section 3.2.2, no userinfo
  return bits;
});

const MAX_LEADING_LINES = 4;
/** Content-Length beyond it cannot be counted exactly: 2^53 - 1. */
const MAX_DIGITS = 16;

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

/** The head of a request. */
export class RequestHead extends Head {
  /** Where parsing began in the buffer; for those who ask whether this is still theirs. */
  parsedAt = 0;
  methodEnd = 0;
  /** The target as it came. */
  targetStart = 0;
  targetEnd = 0;
  /** Path and query within the target; differs from it in absolute-form only. */
  pathStart = 0;
  pathEnd = 0;
  /** The host of the message: of an absolute-form target, else of Host; empty when a 1.0 request has none. */
  hostStart = 0;
  hostEnd = 0;
  form: "origin" | "absolute" | "asterisk" | "authority" = "origin";

  /** Parse from `at`; `end` is where the received bytes end. */
  parse(buffer: Buffer, at: number, end: number, limits: HeadLimits): ParseResult {
    this.reset(buffer);
    this.parsedAt = at;
    let start = at;
    for (let lines = 0; start < end && buffer[start] === CR; lines++) {
      if (lines === MAX_LEADING_LINES) return Parse.BAD_REQUEST_LINE;
      if (start + 1 >= end) return Parse.MORE;
      if (buffer[start + 1] !== LF) return Parse.BAD_LINE_END;
      start += 2;
    }
    this.start = start;
    const result = this.parseLine(start, end, limits);
    if (result !== Parse.OK) return result;
    const fields = this.parseFields(this.fieldsStart, end, limits.headerCount);
    if (fields === Parse.MORE) return end - start > limits.headerBytes ? Parse.TOO_LARGE : Parse.MORE;
    if (fields !== Parse.OK) return fields;
    if (this.end - start > limits.headerBytes) return Parse.TOO_LARGE;
    return this.check();
  }

  private parseLine(start: number, end: number, limits: HeadLimits): ParseResult {
    const { buffer } = this;
    const last = Math.min(end, start + limits.requestLineBytes);
    const outOfBytes = end > last ? Parse.URI_TOO_LONG : Parse.MORE;
    let position = start;
    while (position < last && (CLASS[buffer[position]!]! & TOKEN) !== 0) position++;
    if (position >= last) return outOfBytes;
    if (buffer[position] !== SP || position === start) return buffer[position] === LF ? Parse.BAD_LINE_END : Parse.BAD_REQUEST_LINE;
    this.methodEnd = position++;
    this.targetStart = position;
    while (position < last && (CLASS[buffer[position]!]! & TARGET) !== 0) position++;
    if (position >= last) return outOfBytes;
    // "GET /" and a line end: HTTP/0.9.
    if (buffer[position] !== SP || position === this.targetStart) return buffer[position] === CR || buffer[position] === LF ? Parse.BAD_REQUEST_LINE : Parse.BAD_TARGET;
    this.targetEnd = position++;
    // HTTP/1.x CRLF: ten bytes.
    const version = position;
    for (let i = 0; i < 5; i++) {
      if (version + i >= end) return Parse.MORE;
      if (buffer[version + i] !== HTTP_SLASH[i]) return Parse.BAD_REQUEST_LINE;
    }
    if (version + 8 > end) return Parse.MORE;
    const major = buffer[version + 5]!;
    const minor = buffer[version + 7]!;
    if ((CLASS[major]! & DIGIT) === 0 || buffer[version + 6] !== 0x2e || (CLASS[minor]! & DIGIT) === 0) return Parse.BAD_REQUEST_LINE;
    if (version + 10 > end) {
      if (version + 8 < end && buffer[version + 8] !== CR) return buffer[version + 8] === LF ? Parse.BAD_LINE_END : Parse.BAD_REQUEST_LINE;
      return Parse.MORE;
    }
    if (buffer[version + 8] !== CR || buffer[version + 9] !== LF) {
      return buffer[version + 8] === CR || buffer[version + 8] === LF ? Parse.BAD_LINE_END : Parse.BAD_REQUEST_LINE;
    }
    if (major !== 0x31 || minor > 0x31) return major === 0x30 ? Parse.BAD_REQUEST_LINE : Parse.BAD_VERSION;
    this.minor = minor - 0x30;
    this.fieldsStart = version + 10;
    if (this.fieldsStart - start > limits.requestLineBytes) return Parse.URI_TOO_LONG;
    return this.parseTarget();
  }

  /** RFC 9112 section 3.2: the four forms. */
  private parseTarget(): ParseResult {
    const { buffer, targetStart, targetEnd } = this;
    const first = buffer[targetStart]!;
    this.pathStart = targetStart;
    this.pathEnd = targetEnd;
    this.hostStart = this.hostEnd = 0;
    if (this.methodIs("CONNECT")) {
      this.form = "authority";
      return Parse.OK;
    }
    if (first === 0x2f) {
      this.form = "origin";
      return Parse.OK;
    }
    if (first === 0x2a && targetEnd - targetStart === 1) {
      this.form = "asterisk";
      return this.methodIs("OPTIONS") ? Parse.OK : Parse.BAD_TARGET;
    }
    let position: number;
    if (equalsLower(buffer, targetStart, HTTP_SCHEME)) position = targetStart + 7;
    else if (equalsLower(buffer, targetStart, HTTPS_SCHEME)) position = targetStart + 8;
    else return Parse.BAD_TARGET;
    this.form = "absolute";
    this.hostStart = position;
    while (position < targetEnd && buffer[position] !== 0x2f && buffer[position] !== 0x3f) position++;
    this.hostEnd = position;
    this.pathStart = position;
    return isHost(buffer, this.hostStart, this.hostEnd) ? Parse.OK : Parse.BAD_TARGET;
  }

  /** What no single line shows. */
  private check(): ParseResult {
    const { buffer } = this;
    if (this.has(Name.TRANSFER_ENCODING)) {
      if (this.contentLength >= 0) return Parse.LENGTH_AND_CODING;
      if (this.minor === 0) return Parse.BAD_TRANSFER_ENCODING;
    }
    if (this.hostCount > 1) return Parse.BAD_HOST;
    if (this.hostCount === 0) return this.minor === 1 ? Parse.BAD_HOST : Parse.OK;
    const start = this.valueStart[this.hostIndex]!;
    const end = this.valueEnd[this.hostIndex]!;
    if (!isHost(buffer, start, end)) return Parse.BAD_HOST;
    if (this.form !== "absolute") {
      this.hostStart = start;
      this.hostEnd = end;
      return Parse.OK;
    }
    if (end - start !== this.hostEnd - this.hostStart) return Parse.BAD_HOST;
    for (let i = 0; i < end - start; i++) {
      if (LOWER[buffer[start + i]!] !== LOWER[buffer[this.hostStart + i]!]) return Parse.BAD_HOST;
    }
    return Parse.OK;
  }

  methodIs(method: string): boolean {
    if (this.methodEnd - this.start !== method.length) return false;
    for (let i = 0; i < method.length; i++) if (this.buffer[this.start + i] !== method.charCodeAt(i)) return false;
    return true;
  }

  get method(): string {
    return this.buffer.latin1Slice(this.start, this.methodEnd);
  }

  /** Path and query as they came; "/" when an absolute-form target has none. */
  get target(): string {
    if (this.pathStart === this.pathEnd) return "/";
    const text = this.buffer.latin1Slice(this.pathStart, this.pathEnd);
    return text.charCodeAt(0) === 0x3f ? `/${text}` : text;
  }

  get host(): string {
    return this.buffer.latin1Slice(this.hostStart, this.hostEnd);
  }

  /** Will the client read another reply on this connection? RFC 9112 section 9.3. */
  get keepAlive(): boolean {
    return this.minor === 1 ? !this.connectionClose : this.connectionKeepAlive && !this.connectionClose;
  }

  get framing(): FramingKind {
    return this.chunked ? Framing.CHUNKED : this.contentLength > 0 ? Framing.LENGTH : Framing.NONE;
  }
}

/** The head of a reply. */
export class ReplyHead extends Head {
  status = 0;
  /** The reason phrase. */
  reasonStart = 0;
  reasonEnd = 0;

  parse(buffer: Buffer, at: number, end: number, limits: { readonly headerBytes: number; readonly headerCount: number }): ParseResult {
    this.reset(buffer);
    this.start = at;
    const line = this.parseLine(at, end);
    if (line !== Parse.OK && line !== Parse.MORE) return line;
    const fields = line === Parse.MORE ? line : this.parseFields(this.fieldsStart, end, limits.headerCount);
    if (fields === Parse.MORE) return end - at > limits.headerBytes ? Parse.TOO_LARGE : Parse.MORE;
    if (fields !== Parse.OK) return fields;
    if (this.end - at > limits.headerBytes) return Parse.TOO_LARGE;
    if (this.has(Name.TRANSFER_ENCODING)) {
      if (this.contentLength >= 0) return Parse.LENGTH_AND_CODING;
      if (this.minor === 0) return Parse.BAD_TRANSFER_ENCODING;
    }
    return Parse.OK;
  }

  /** `HTTP/1.1 200 OK`; a missing reason, and the space before it, are common and harmless. */
  private parseLine(start: number, end: number): ParseResult {
    const { buffer } = this;
    for (let i = 0; i < 7; i++) {
      if (start + i >= end) return Parse.MORE;
      if (buffer[start + i] !== HTTP_1[i]) return Parse.BAD_STATUS_LINE;
    }
    if (start + 13 > end) return Parse.MORE;
    const minor = buffer[start + 7]!;
    if ((minor !== 0x30 && minor !== 0x31) || buffer[start + 8] !== SP) return Parse.BAD_STATUS_LINE;
    this.minor = minor - 0x30;
    let status = 0;
    for (let i = 9; i < 12; i++) {
      const digit = buffer[start + i]!;
      if ((CLASS[digit]! & DIGIT) === 0) return Parse.BAD_STATUS_LINE;
      status = status * 10 + digit - 0x30;
    }
    if (status < 100 || status > 599) return Parse.BAD_STATUS_LINE;
    this.status = status;
    let position = start + 12;
    if (buffer[position] === SP) position++;
    else if (buffer[position] !== CR) return Parse.BAD_STATUS_LINE;
    this.reasonStart = position;
    while (position < end && (CLASS[buffer[position]!]! & VALUE) !== 0) position++;
    this.reasonEnd = position;
    if (position + 1 >= end) return position < end && buffer[position] !== CR ? Parse.BAD_STATUS_LINE : Parse.MORE;
    if (buffer[position] !== CR || buffer[position + 1] !== LF) return Parse.BAD_STATUS_LINE;
    this.fieldsStart = position + 2;
    return Parse.OK;
  }

  /** RFC 9112 section 6.3. `toHead`: the reply to a HEAD request. */
  framing(toHead: boolean): FramingKind {
    if (toHead || this.status < 200 || this.status === 204 || this.status === 304) return Framing.NONE;
    if (this.chunked) return Framing.CHUNKED;
    if (this.contentLength === 0) return Framing.NONE;
    return this.contentLength > 0 ? Framing.LENGTH : Framing.UNTIL_CLOSE;
  }

  /** May another request follow on this connection, as far as the target says? */
  get keepAlive(): boolean {
    return this.minor === 1 ? !this.connectionClose : this.connectionKeepAlive && !this.connectionClose;
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

const HTTP_SLASH = Buffer.from("HTTP/");
const HTTP_1 = Buffer.from("HTTP/1.");
const HTTP_SCHEME = Buffer.from("http://");
const HTTPS_SCHEME = Buffer.from("https://");

function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB;
}

function isToken(buffer: Uint8Array, start: number, end: number, lower: Uint8Array): boolean {
  return end - start === lower.length && equalsLower(buffer, start, lower);
}

/** Digits only, at most 2^53 - 1; -1 for anything else. */
function parseDigits(buffer: Uint8Array, start: number, end: number): number {
  if (start === end || end - start > MAX_DIGITS) return -1;
  let value = 0;
  for (let i = start; i < end; i++) {
    const byte = buffer[i]!;
    if ((CLASS[byte]! & DIGIT) === 0) return -1;
    value = value * 10 + (byte - 0x30);
  }
  return value <= Number.MAX_SAFE_INTEGER ? value : -1;
}

/** RFC 9110 section 7.2: uri-host [":" port], without userinfo. */
function isHost(buffer: Uint8Array, start: number, end: number): boolean {
  if (start === end) return false;
  let position = start;
  if (buffer[start] === 0x5b) {
    position++;
    while (position < end && (buffer[position] === COLON || buffer[position] === 0x2e || isHex(buffer[position]!))) position++;
    if (position === start + 1 || buffer[position] !== 0x5d) return false;
    position++;
  } else {
    while (position < end && buffer[position] !== COLON) {
      const byte = buffer[position]!;
      if ((CLASS[byte]! & HOST) === 0 || byte === 0x5b || byte === 0x5d) return false;
      if (byte === 0x25 && !(position + 2 < end && isHex(buffer[position + 1]!) && isHex(buffer[position + 2]!))) return false;
      position++;
    }
    if (position === start) return false;
  }
  if (position === end) return true;
  if (buffer[position] !== COLON || end - position > 6) return false;
  for (let i = position + 1; i < end; i++) if ((CLASS[buffer[i]!]! & DIGIT) === 0) return false;
  return true;
}

function isHex(byte: number): boolean {
  return (CLASS[byte]! & DIGIT) !== 0 || (LOWER[byte]! >= 0x61 && LOWER[byte]! <= 0x66);
}

/** Value of a hex digit; -1 for another byte. */
export function hexValue(byte: number): number {
  if ((CLASS[byte]! & DIGIT) !== 0) return byte - 0x30;
  const lower = LOWER[byte]!;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
