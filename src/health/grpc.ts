/**
 * The grpc check: one unary call of `grpc.health.v1.Health/Check` (the gRPC health checking protocol) over HTTP/2 with prior
 * knowledge (RFC 9113 section 3.3), or over TLS. SERVING passes.
 *
 * Of HTTP/2 this needs six kinds of frames: the answer is a message of at most a few bytes, or fields that say why there is none.
 */
import { GRPC_STATUSES } from "../http/grpc.ts";
import { HpackDecoder } from "../http/h2/hpack/decoder.ts";
import { HeaderBlock } from "../http/h2/hpack/header-block.ts";
import { checkAddress, type CheckKind, failed, passed, type Verdict } from "./check.ts";
import { converse, type Dialogue } from "./conversation.ts";
import { authority, USER_AGENT } from "./http.ts";

/** Frame types and flags (RFC 9113 section 6). */
const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const GOAWAY = 7;
const CONTINUATION = 9;
const END_STREAM = 1;
const ACK = 1;
const END_HEADERS = 4;
const PADDED = 8;
const PRIORITY = 0x20;

const FRAME_HEAD = 9;
/** What we allow by not saying otherwise (RFC 9113 section 4.2). */
const MAX_FRAME = 16_384;
/** An answer has at most 11 bytes; more is not one. */
const MAX_MESSAGE = 4_096;

/** What we allow by not saying otherwise (RFC 7541 section 4.2). */
const TABLE_SIZE = 4_096;
/** An answer's fields. */
const MAX_FIELD_BYTES = 16_384;
const MAX_FIELDS = 100;
/** So much of the server's own words is told. */
const MAX_WORDS = 120;

/** HealthCheckResponse.ServingStatus. */
const STATUSES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

export const grpcCheck: CheckKind = {
  name: "grpc",
  prepare(target, config) {
    const address = checkAddress(target, config);
    const opening = Buffer.concat([
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      frame(SETTINGS, 0, 0, Buffer.alloc(0)),
      frame(HEADERS, END_HEADERS, 1, fields(config.host ?? authority(address, config.tls), config.tls)),
      frame(DATA, END_STREAM, 1, request(config.service)),
    ]);
    return { run: ({ tls, ...context }, done) => converse(tls === undefined ? context : { ...context, tls: { ...tls, alpn: ["h2"] } }, address, config.timeout, new GrpcDialogue(opening), done) };
  },
};

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(FRAME_HEAD);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A field section of HPACK literals that enter no table (RFC 7541 section 6.2.2); names by their number in the static table. */
function fields(host: string, tls: boolean): Buffer {
  const literal = (name: readonly number[], value: string): Buffer => Buffer.concat([Buffer.from(name), text(value)]);
  return Buffer.concat([
    Buffer.from([0x83, tls ? 0x87 : 0x86]), // :method POST, :scheme https or http
    literal([0x04], "/grpc.health.v1.Health/Check"), // :path
    literal([0x01], host), // :authority
    literal([0x0f, 31 - 15], "application/grpc"), // content-type
    literal([0x0f, 58 - 15], USER_AGENT), // user-agent
    Buffer.concat([Buffer.from([0x00]), text("te"), text("trailers")]),
  ]);
}

/** A string literal without Huffman coding (RFC 7541 section 5.2). */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  const { length } = bytes;
  // A length of 127 and more goes on in groups of seven bits (section 5.1).
  const head = length < 127 ? [length] : [127, ...varint(length - 127)];
  return Buffer.concat([Buffer.from(head), bytes]);
}

/** The message HealthCheckRequest { string service = 1 } with the five bytes that gRPC puts before it. */
function request(service: string): Buffer {
  const name = Buffer.from(service, "utf8");
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, ...varint(name.length)]), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Groups of seven bits, the lowest first: of HPACK and of Protocol Buffers alike. */
function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}

class GrpcDialogue implements Dialogue {
  readonly opening: Uint8Array;
  private unread = Buffer.alloc(0);
  private message = Buffer.alloc(0);
  private greeted = false;
  private readonly decoder = new HpackDecoder(TABLE_SIZE);
  private readonly fields = new HeaderBlock();
  /** A header block that goes on in CONTINUATION. */
  private block = Buffer.alloc(0);
  private endsStream = false;

  constructor(opening: Uint8Array) {
    this.opening = opening;
  }

  opened(): undefined {
    return undefined;
  }

  read(chunk: Buffer, say: (bytes: Uint8Array) => void): Verdict | undefined {
    this.unread = Buffer.concat([this.unread, chunk]);
    while (this.unread.length >= FRAME_HEAD) {
      const length = this.unread.readUIntBE(0, 3);
      const type = this.unread[3]!;
      // Their first frame is SETTINGS (RFC 9113 section 3.4).
      if (!this.greeted && type !== SETTINGS) return failed("does not speak HTTP/2");
      this.greeted = true;
      if (length > MAX_FRAME) return failed("invalid reply: frame too long");
      const end = FRAME_HEAD + length;
      if (this.unread.length < end) return undefined;
      const verdict = this.frame(type, this.unread[4]!, this.unread.subarray(FRAME_HEAD, end), say);
      if (verdict !== undefined) return verdict;
      this.unread = this.unread.subarray(end);
    }
    return undefined;
  }

  ended(): Verdict {
    return failed("closed without an answer");
  }

  private frame(type: number, flags: number, payload: Buffer, say: (bytes: Uint8Array) => void): Verdict | undefined {
    if (type === SETTINGS && (flags & ACK) === 0) say(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
    if (type === RST_STREAM || (type === GOAWAY && payload.length >= 8 && payload.readUInt32BE(4) !== 0)) {
      const code = payload.length < 4 ? "?" : payload.readUInt32BE(payload.length < 8 ? 0 : 4);
      return failed(`${type === GOAWAY ? "connection" : "call"} refused: HTTP/2 error ${code}`);
    }
    if (type === DATA) {
      this.message = Buffer.concat([this.message, unpadded(flags, payload)]);
      const verdict = judge(this.message);
      if (verdict !== undefined) return verdict;
    }
    if (type === HEADERS) {
      this.block = Buffer.from(unprioritized(flags, unpadded(flags, payload)));
      this.endsStream = (flags & END_STREAM) !== 0;
    } else if (type === CONTINUATION) this.block = Buffer.concat([this.block, payload]);
    if (this.block.length > MAX_FIELD_BYTES) return failed("invalid reply: fields too long");
    if ((type === HEADERS || type === CONTINUATION) && (flags & END_HEADERS) !== 0) return this.head();
    return type === DATA && (flags & END_STREAM) !== 0 ? failed("no answer: the call ended without a message or a status") : undefined;
  }

  /** Fields that end the call say why there is no message. */
  private head(): Verdict | undefined {
    const { fields } = this;
    fields.clear();
    const problem = this.decoder.decode(this.block, 0, this.block.length, fields, MAX_FIELD_BYTES, MAX_FIELDS);
    if (problem !== undefined) return failed(`invalid reply: ${problem}`);
    const http = this.field(":status");
    if (http !== undefined && http !== "200" && !http.startsWith("1")) return failed(`HTTP status ${http}`);
    if (!this.endsStream) return undefined;
    const status = Number(this.field("grpc-status") ?? Number.NaN);
    if (Number.isNaN(status)) return failed("no answer: the call ended without a message or a status");
    const words = decoded(this.field("grpc-message") ?? "").slice(0, MAX_WORDS);
    return failed(`${GRPC_STATUSES[status] ?? `status ${status}`}${words === "" ? "" : `: ${words}`}`);
  }

  private field(name: string): string | undefined {
    for (let i = 0; i < this.fields.count; i++) if (this.fields.name(i) === name) return this.fields.value(i);
    return undefined;
  }
}

/** grpc-message is percent-encoded UTF-8; control characters have no place in a log. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text).replaceAll(/\p{Cc}/gu, " ");
  } catch {
    return text;
  }
}

function unprioritized(flags: number, payload: Buffer): Buffer {
  return (flags & PRIORITY) === 0 ? payload : payload.subarray(5);
}

function unpadded(flags: number, payload: Buffer): Buffer {
  return (flags & PADDED) === 0 || payload.length === 0 ? payload : payload.subarray(1, Math.max(1, payload.length - payload[0]!));
}

/** Undefined: it is not whole yet. */
function judge(message: Buffer): Verdict | undefined {
  if (message.length < 5) return undefined;
  const length = message.readUInt32BE(1);
  if (message[0] !== 0 || length > MAX_MESSAGE) return failed("invalid reply: no health answer");
  if (message.length < 5 + length) return undefined;
  const status = servingStatus(message.subarray(5, 5 + length));
  const name = STATUSES[status] ?? `status ${status}`;
  return name === "SERVING" ? passed(name) : failed(name);
}

/** HealthCheckResponse { ServingStatus status = 1 }; what is not there is 0. */
function servingStatus(message: Buffer): number {
  return message.length >= 2 && message[0] === 0x08 ? message[1]! : 0;
}
