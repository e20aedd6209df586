/** Writes HTTP/1 messages: start line, fields as lines, chunks (RFC 9112). What goes on of a head is forward.ts. */
import type { Output } from "../../net/output.ts";
import { Name } from "../fields.ts";
import { acceptsTrailers, joined, replacedHost, writeReplyFields, writeRequestFields, writeTrailerFields, type FieldSink, type RequestForward } from "../forward.ts";
import { Framing, type FramingKind, type Head } from "./head.ts";
import type { RequestHead } from "./request-head.ts";
import type { ReplyHead } from "./reply-head.ts";

/** Fields as lines; runs of them are copied from the received bytes. One for each worker's output. */
export class LineSink implements FieldSink {
  readonly output: Output;

  constructor(output: Output) {
    this.output = output;
  }

  fields(head: Head, from: number, to: number): void {
    this.output.copy(head.buffer, head.nameStart[from]!, head.lineEnd[to - 1]!);
  }

  text(lines: string): void {
    this.output.text(lines);
  }

  value(name: string, buffer: Buffer, start: number, end: number): void {
    const { output } = this;
    output.text(name);
    output.copy(buffer, start, end);
    output.endLine();
  }

  once(name: string, value: string): void {
    this.output.text(`${name}${value}\r\n`);
  }
}

export function writeRequestHead(sink: LineSink, head: RequestHead, forward: RequestForward): void {
  const out = sink.output;
  writeRequestLine(out, head);
  const host = replacedHost(head, forward);
  if (host !== undefined) out.text(`Host: ${host}\r\n`);
  writeRequestFields(sink, head, forward, host === undefined ? 0 : 1 << Name.HOST);
  if (head.chunked) out.text("Transfer-Encoding: chunked\r\n");
  if (forward.upgrade) out.text(`Connection: upgrade\r\nUpgrade: ${joined(head, Name.UPGRADE)}\r\n`);
  else if (head.has(Name.TE) && acceptsTrailers(head)) out.text("Connection: TE\r\nTE: trailers\r\n");
  out.endLine();
}

function writeRequestLine(out: Output, head: RequestHead): void {
  if (head.form === "origin" && head.minor === 1) {
    out.copy(head.buffer, head.start, head.fieldsStart);
    return;
  }
  const target = head.form === "absolute" && head.pathStart === head.pathEnd && head.methodIs("OPTIONS") ? "*" : head.target;
  out.text(`${head.method} ${target} HTTP/1.1\r\n`);
}

export interface ReplyForward {
  /** How the body is framed for this client. */
  readonly framing: FramingKind;
  /** The client's minor version. */
  readonly minor: number;
  /** The connection stays open after this reply. */
  readonly keepAlive: boolean;
  /** A 101: `Upgrade` is passed on. */
  readonly upgrade: boolean;
  /** Field lines of our own, each with its CRLF. */
  readonly lines: string;
}

export function writeReplyHead(sink: LineSink, head: ReplyHead, forward: ReplyForward): void {
  const out = sink.output;
  if (head.minor === 1 && head.reasonStart === head.start + 13) out.copy(head.buffer, head.start, head.fieldsStart);
  else out.text(`HTTP/1.1 ${head.status} ${head.buffer.latin1Slice(head.reasonStart, head.reasonEnd)}\r\n`);
  writeReplyFields(sink, head, forward.lines);
  if (forward.framing === Framing.CHUNKED) out.text("Transfer-Encoding: chunked\r\n");
  if (forward.upgrade) out.text(`Connection: upgrade\r\nUpgrade: ${joined(head, Name.UPGRADE)}\r\n`);
  else if (head.status >= 200) {
    if (!forward.keepAlive) out.text("Connection: close\r\n");
    else if (forward.minor === 0) out.text("Connection: keep-alive\r\n");
  }
  out.endLine();
}

/** The last chunk, and trailers that may stand there. */
export function writeLastChunk(sink: LineSink, trailers: Head | undefined): void {
  const out = sink.output;
  if (trailers === undefined) {
    out.text("0\r\n\r\n");
    return;
  }
  out.text("0\r\n");
  writeTrailerFields(sink, trailers);
  out.endLine();
}

/** One chunk of data. */
export function writeChunk(out: Output, buffer: Buffer, start: number, end: number): void {
  out.text(`${(end - start).toString(16)}\r\n`);
  out.copy(buffer, start, end);
  out.endLine();
}
