/**
 * Writes the head that goes on: which fields stay, which are taken away, which are added (RFC 9110 section 7.6).
 *
 * Lines that need no change are copied in runs from the received bytes; nothing is rebuilt.
 */
import type { ForwardingConfig, UpstreamConfig } from "../../config/snapshot.ts";
import type { Output } from "../../net/output.ts";
import { LOWER, Name, type Fields } from "../fields.ts";
import { Framing, type FramingKind, type Head } from "./head.ts";
import type { RequestHead } from "./request-head.ts";
import type { ReplyHead } from "./reply-head.ts";

const CRLF = Buffer.from("\r\n");

function mask(...ids: number[]): number {
  return ids.reduce((bits, id) => bits | (1 << id), 0);
}

/** Meant for this hop only, both ways: RFC 9110 section 7.6.1. What still applies is said anew. */
const HOP_BY_HOP = mask(
  Name.CONNECTION,
  Name.KEEP_ALIVE,
  Name.PROXY_CONNECTION,
  Name.PROXY_AUTHENTICATE,
  Name.PROXY_AUTHORIZATION,
  Name.TE,
  Name.TRANSFER_ENCODING,
  Name.UPGRADE,
  Name.HTTP2_SETTINGS,
);
const FORWARDED_BY = mask(Name.X_FORWARDED_FOR, Name.X_FORWARDED_PROTO, Name.X_FORWARDED_HOST, Name.FORWARDED);
/** A nomination in Connection cannot take these away. */
const PROTECTED = mask(Name.HOST, Name.CONTENT_LENGTH, Name.TRANSFER_ENCODING, Name.X_FORWARDED_FOR, Name.X_FORWARDED_PROTO, Name.X_FORWARDED_HOST);
/** Framing and authority have no business after a body: RFC 9110 section 6.5.1. */
const NOT_IN_TRAILERS =
  HOP_BY_HOP |
  FORWARDED_BY |
  mask(Name.HOST, Name.CONTENT_LENGTH, Name.TRAILER, Name.EXPECT, Name.MAX_FORWARDS, Name.AUTHORIZATION, Name.COOKIE, Name.SET_COOKIE, Name.WWW_AUTHENTICATE, Name.X_REQUEST_ID, Name.VIA);

/** What one connection adds to each of its requests; made once a connection. */
export interface ForwardedBy {
  /** The client as X-Forwarded-For has it. */
  readonly address: string;
  /** What the client says of its own origin is believed. */
  readonly trusted: boolean;
  readonly proto: "http" | "https";
}

/** Ready-made lines of one connection that depend on no request. */
export function forwardedLines(by: ForwardedBy): string {
  return `X-Forwarded-For: ${by.address}\r\nX-Forwarded-Proto: ${by.proto}\r\n`;
}

/** What the exchange knows beyond the head. */
export interface RequestForward {
  readonly config: ForwardingConfig;
  readonly upstream: UpstreamConfig;
  readonly by: ForwardedBy;
  readonly lines: string;
  readonly targetName: string;
  /** Pass `Upgrade` on. */
  readonly upgrade: boolean;
  /** Made by us, or undefined to leave X-Request-ID as it came. */
  readonly requestId: string | undefined;
  readonly dropUnderscores: boolean;
}

export function writeRequestHead(out: Output, head: RequestHead, forward: RequestForward): void {
  const { config, by, upstream } = forward;
  writeRequestLine(out, head);

  let drop = HOP_BY_HOP;
  if (!by.trusted) drop |= FORWARDED_BY;
  else {
    if (config.xForwarded) drop |= 1 << Name.X_FORWARDED_FOR;
    if (config.forwarded) drop |= 1 << Name.FORWARDED;
  }
  if (upstream.hostHeader.kind !== "client" || head.form === "absolute") drop |= 1 << Name.HOST;
  if (forward.requestId !== undefined) drop |= 1 << Name.X_REQUEST_ID;
  if (head.has(Name.MAX_FORWARDS) && head.methodIs("OPTIONS")) drop |= 1 << Name.MAX_FORWARDS;
  if (!head.lengthIsPlain) drop |= 1 << Name.CONTENT_LENGTH;
  copyFields(out, head, drop, forward.dropUnderscores);

  if (!head.lengthIsPlain) out.text(`Content-Length: ${head.contentLength}\r\n`);
  if (upstream.hostHeader.kind === "fixed") out.text(`Host: ${upstream.hostHeader.value}\r\n`);
  else if (upstream.hostHeader.kind === "target" || head.hostEnd === head.hostStart) out.text(`Host: ${forward.targetName}\r\n`);
  else if (head.form === "absolute") out.text(`Host: ${head.host}\r\n`);
  if (head.chunked) out.text("Transfer-Encoding: chunked\r\n");
  if (forward.upgrade) out.text(`Connection: upgrade\r\nUpgrade: ${joined(head, Name.UPGRADE)}\r\n`);
  else if (head.has(Name.TE) && acceptsTrailers(head)) out.text("Connection: TE\r\nTE: trailers\r\n");
  if ((drop & (1 << Name.MAX_FORWARDS)) !== 0) out.text(`Max-Forwards: ${Math.max(0, Number(head.value(head.find(Name.MAX_FORWARDS))) - 1)}\r\n`);

  if (config.xForwarded) writeXForwarded(out, head, forward);
  if (config.forwarded) {
    const before = by.trusted && head.has(Name.FORWARDED) ? `${joined(head, Name.FORWARDED)}, ` : "";
    const node = by.address.includes(":") ? `"[${by.address}]"` : by.address;
    out.text(`Forwarded: ${before}for=${node};proto=${by.proto}${head.hostEnd > head.hostStart ? `;host="${head.host}"` : ""}\r\n`);
  }
  if (forward.requestId !== undefined) out.text(`X-Request-ID: ${forward.requestId}\r\n`);
  if (config.via) out.text(head.minor === 1 ? "Via: 1.1 fairlead\r\n" : "Via: 1.0 fairlead\r\n");
  out.text("\r\n");
}

function writeRequestLine(out: Output, head: RequestHead): void {
  if (head.form === "origin" && head.minor === 1) {
    out.copy(head.buffer, head.start, head.fieldsStart);
    return;
  }
  const target = head.form === "absolute" && head.pathStart === head.pathEnd && head.methodIs("OPTIONS") ? "*" : head.target;
  out.text(`${head.method} ${target} HTTP/1.1\r\n`);
}

function writeXForwarded(out: Output, head: RequestHead, forward: RequestForward): void {
  const { by } = forward;
  if (!by.trusted) {
    out.text(forward.lines);
    writeForwardedHost(out, head);
    return;
  }
  const before = head.has(Name.X_FORWARDED_FOR) ? `${joined(head, Name.X_FORWARDED_FOR)}, ` : "";
  out.text(`X-Forwarded-For: ${before}${by.address}\r\n`);
  if (!head.has(Name.X_FORWARDED_PROTO)) out.text(`X-Forwarded-Proto: ${by.proto}\r\n`);
  if (!head.has(Name.X_FORWARDED_HOST)) writeForwardedHost(out, head);
}

function writeForwardedHost(out: Output, head: RequestHead): void {
  if (head.hostEnd === head.hostStart) return;
  out.text("X-Forwarded-Host: ");
  out.copy(head.buffer, head.hostStart, head.hostEnd);
  out.copy(CRLF, 0, 2);
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

export function writeReplyHead(out: Output, head: ReplyHead, forward: ReplyForward): void {
  if (head.minor === 1 && head.reasonStart === head.start + 13) out.copy(head.buffer, head.start, head.fieldsStart);
  else out.text(`HTTP/1.1 ${head.status} ${head.buffer.latin1Slice(head.reasonStart, head.reasonEnd)}\r\n`);
  let drop = HOP_BY_HOP;
  // RFC 9110 section 8.6: no Content-Length in 1xx and 204.
  if (head.status < 200 || head.status === 204) drop |= 1 << Name.CONTENT_LENGTH;
  else if (!head.lengthIsPlain) {
    drop |= 1 << Name.CONTENT_LENGTH;
    out.text(`Content-Length: ${head.contentLength}\r\n`);
  }
  copyFields(out, head, drop, false);
  if (forward.framing === Framing.CHUNKED) out.text("Transfer-Encoding: chunked\r\n");
  if (forward.lines !== "") out.text(forward.lines);
  if (forward.upgrade) out.text(`Connection: upgrade\r\nUpgrade: ${joined(head, Name.UPGRADE)}\r\n`);
  else if (head.status >= 200) {
    if (!forward.keepAlive) out.text("Connection: close\r\n");
    else if (forward.minor === 0) out.text("Connection: keep-alive\r\n");
  }
  out.text("\r\n");
}

/** The last chunk, and trailers that may stand there. */
export function writeLastChunk(out: Output, trailers: Head | undefined): void {
  if (trailers === undefined) {
    out.text("0\r\n\r\n");
    return;
  }
  out.text("0\r\n");
  copyFields(out, trailers, NOT_IN_TRAILERS, false);
  out.text("\r\n");
}

/** One chunk of data. */
export function writeChunk(out: Output, buffer: Buffer, start: number, end: number): void {
  out.text(`${(end - start).toString(16)}\r\n`);
  out.copy(buffer, start, end);
  out.copy(CRLF, 0, 2);
}

/** Copy all lines but the dropped ones, neighbours in one go. */
function copyFields(out: Output, head: Head, drop: number, dropUnderscores: boolean): void {
  const { buffer, count } = head;
  if (count === 0) return;
  const first = head.nameStart[0]!;
  if ((head.seen & drop) === 0 && !head.connectionNames && !(dropUnderscores && head.hasUnderscore)) {
    out.copy(buffer, first, head.lineEnd[count - 1]!);
    return;
  }
  let run = first;
  for (let i = 0; i < count; i++) {
    const bit = 1 << head.id[i]!;
    const dropped =
      ((drop & bit) !== 0 && head.id[i] !== Name.OTHER) ||
      (head.connectionNames && (PROTECTED & bit) === 0 && isNominated(head, i)) ||
      (dropUnderscores && head.hasUnderscore && head.id[i] === Name.OTHER && hasUnderscore(head, i));
    if (!dropped) continue;
    if (head.nameStart[i]! > run) out.copy(buffer, run, head.nameStart[i]!);
    run = head.lineEnd[i]!;
  }
  if (head.lineEnd[count - 1]! > run) out.copy(buffer, run, head.lineEnd[count - 1]!);
}

/** Does any Connection field name field `index`? */
function isNominated(head: Fields, index: number): boolean {
  const { buffer } = head;
  const nameStart = head.nameStart[index]!;
  const length = head.nameEnd[index]! - nameStart;
  for (let field = head.find(Name.CONNECTION); field >= 0; field = head.find(Name.CONNECTION, field + 1)) {
    const end = head.valueEnd[field]!;
    for (let at = head.valueStart[field]!; at < end; ) {
      let stop = at;
      while (stop < end && buffer[stop] !== 0x2c) stop++;
      let from = at;
      let to = stop;
      while (from < to && (buffer[from] === 32 || buffer[from] === 9)) from++;
      while (to > from && (buffer[to - 1] === 32 || buffer[to - 1] === 9)) to--;
      if (to - from === length && sameName(buffer, from, nameStart, length)) return true;
      at = stop + 1;
    }
  }
  return false;
}

function sameName(buffer: Uint8Array, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (LOWER[buffer[a + i]!] !== LOWER[buffer[b + i]!]) return false;
  return true;
}

function hasUnderscore(head: Fields, index: number): boolean {
  const at = head.buffer.indexOf(0x5f, head.nameStart[index]);
  return at >= 0 && at < head.nameEnd[index]!;
}

/** All values of a known name, joined by ", ". */
export function joined(head: Fields, id: number): string {
  let text = "";
  for (let i = head.find(id); i >= 0; i = head.find(id, i + 1)) text += text === "" ? head.value(i) : `, ${head.value(i)}`;
  return text;
}

function acceptsTrailers(head: Fields): boolean {
  return joined(head, Name.TE)
    .toLowerCase()
    .split(",")
    .some((token) => token.trim() === "trailers");
}
