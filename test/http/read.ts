/** Reads whole messages with our codec, in any segments: what the unit tests of head and body share. */
import { BodyReader, Event } from "../../src/http/h1/body.ts";
import { Framing, Parse, type ParseResult } from "../../src/http/h1/head.ts";
import { RequestHead } from "../../src/http/h1/request-head.ts";
import { ReplyHead } from "../../src/http/h1/reply-head.ts";

export const LIMITS = { headerBytes: 32 * 1024, headerCount: 100, requestLineBytes: 8 * 1024 };

export interface Read {
  readonly result: ParseResult | "bad-body" | "incomplete-body";
  readonly start: string;
  readonly fields: readonly (readonly [string, string])[];
  readonly body: string;
  readonly trailers: readonly (readonly [string, string])[];
  /** Bytes of the message. */
  readonly used: number;
  /** The message as it goes on: the head as it came, the body framed anew. */
  readonly wire: string;
}

/** Some of what forward.ts takes away from trailers. */
export const UNWANTED_TRAILER = /^(content-length|transfer-encoding|host|connection)$/i;

function wire(bytes: Buffer, head: { start: number; end: number }, chunked: boolean, body: string, trailers: readonly (readonly [string, string])[]): string {
  // forward.ts writes framing fields in their plainest form.
  const start = bytes
    .latin1Slice(head.start, head.end)
    .replace(/^(content-length):[ \t]*0*(\d+)[ \t]*\r$/im, "$1: $2\r")
    .replace(/^(transfer-encoding):[ \t]*(chunked)[ \t]*\r$/im, "$1: $2\r");
  if (!chunked) return start + body;
  return `${start}${body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`}0\r\n${trailers.filter(([name]) => !UNWANTED_TRAILER.test(name)).map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}

function pairs(fields: { count: number; name(i: number): string; value(i: number): string } | undefined): [string, string][] {
  return fields === undefined ? [] : Array.from({ length: fields.count }, (_, i): [string, string] => [fields.name(i), fields.value(i)]);
}

/** Decode a body that comes in these segments; `used` counts over all of them. */
export function readBody(segments: readonly Buffer[], begin: (body: BodyReader) => void): { result: "ok" | "bad-body" | "incomplete-body"; body: string; trailers: [string, string][]; used: number; problem: string } {
  const reader = new BodyReader();
  begin(reader);
  let body = "";
  let used = 0;
  for (const segment of segments) {
    for (let at = 0; ; ) {
      const event = reader.next(segment, at, segment.length);
      if (event === Event.DATA) {
        body += segment.latin1Slice(reader.dataStart, reader.dataEnd);
        at = reader.position;
      } else if (event === Event.END) {
        return { result: "ok", body, trailers: pairs(reader.trailers), used: used + reader.position, problem: "" };
      } else if (event === Event.MORE) {
        break;
      } else {
        return { result: "bad-body", body, trailers: [], used, problem: reader.problem };
      }
    }
    used += segment.length;
  }
  return { result: "incomplete-body", body, trailers: [], used, problem: "" };
}

export function readRequest(bytes: Buffer): Read {
  const head = new RequestHead(200);
  const result = head.parse(bytes, 0, bytes.length, LIMITS);
  const start = result === Parse.OK ? `${head.method} ${bytes.latin1Slice(head.targetStart, head.targetEnd)} ${head.minor}` : "";
  const fields = result === Parse.OK ? pairs(head) : [];
  if (result !== Parse.OK || head.framing === Framing.NONE) return { result, start, fields, body: "", trailers: [], used: head.end, wire: wire(bytes, head, false, "", []) };
  const rest = readBody([bytes.subarray(head.end)], (reader) => reader.begin(head.framing, head.contentLength, LIMITS));
  return { result: rest.result === "ok" ? Parse.OK : rest.result, start, fields, body: rest.body, trailers: rest.trailers, used: head.end + rest.used, wire: wire(bytes, head, head.chunked, rest.body, rest.trailers) };
}

export function readReply(bytes: Buffer): Read {
  const head = new ReplyHead(200);
  const result = head.parse(bytes, 0, bytes.length, LIMITS);
  const start = result === Parse.OK ? `${head.status} ${bytes.latin1Slice(head.reasonStart, head.reasonEnd)}` : "";
  const fields = result === Parse.OK ? pairs(head) : [];
  const framing = result === Parse.OK ? head.framing(false) : Framing.NONE;
  if (framing === Framing.NONE) return { result, start, fields, body: "", trailers: [], used: head.end, wire: wire(bytes, head, false, "", []) };
  if (framing === Framing.UNTIL_CLOSE) return { result, start, fields, body: bytes.latin1Slice(head.end), trailers: [], used: bytes.length, wire: bytes.latin1Slice() };
  const rest = readBody([bytes.subarray(head.end)], (reader) => reader.begin(framing, head.contentLength, LIMITS));
  return { result: rest.result === "ok" ? Parse.OK : rest.result, start, fields, body: rest.body, trailers: rest.trailers, used: head.end + rest.used, wire: wire(bytes, head, head.chunked, rest.body, rest.trailers) };
}
