/** The head of a request: request line, target, Host, and what no single line shows. */
import { LOWER, Name, equalsLower } from "../fields.ts";
import { Framing, Head, Parse, type FramingKind, type HeadLimits, type ParseResult } from "./head.ts";
import { CLASS, CR, DIGIT, LF, SP, TARGET, TOKEN, isHost } from "./syntax.ts";

/** Empty lines before a request that are skipped: RFC 9112 section 2.2. */
const MAX_LEADING_LINES = 4;
const HTTP_SLASH = Buffer.from("HTTP/");
const HTTP_SCHEME = Buffer.from("http://");
const HTTPS_SCHEME = Buffer.from("https://");

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
