/** The head of a reply: status line, and how its body ends. */
import { Name } from "../fields.ts";
import { Framing, Head, Parse, type FramingKind, type HeadLimits, type ParseResult } from "./head.ts";
import { CLASS, CR, DIGIT, LF, SP, VALUE } from "./syntax.ts";

const HTTP_1 = Buffer.from("HTTP/1.");

/** The head of a reply. */
export class ReplyHead extends Head {
  status = 0;
  /** Of a gRPC reply that is nothing but its head ("Trailers-Only"); -1: it is none. */
  grpcStatus = -1;
  /** The reason phrase. */
  reasonStart = 0;
  reasonEnd = 0;

  parse(buffer: Buffer, at: number, end: number, limits: Omit<HeadLimits, "requestLineBytes">): ParseResult {
    this.reset(buffer);
    this.grpcStatus = -1;
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
