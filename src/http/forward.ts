/**
 * What goes on of a head: which fields stay, which are taken away, which are added (RFC 9110 section 7.6). How they are written is their sink's business.
 *
 * Fields that need no change are handed on in runs, as they came; nothing is rebuilt.
 */
import type { ForwardingConfig, UpstreamConfig } from "../config/snapshot.ts";
import { LOWER, Name, type Fields } from "./fields.ts";
import type { Head } from "./h1/head.ts";
import type { RequestHead } from "./h1/request-head.ts";
import type { ReplyHead } from "./h1/reply-head.ts";

/** Where fields are written: as lines, or through HPACK. */
export interface FieldSink {
  /** Neighbours [from, to) of `head` as they came. */
  fields(head: Head, from: number, to: number): void;
  /** Field lines of our own, each with its CRLF. */
  text(lines: string): void;
  /** A field of our own whose value is bytes that came. @param name with its ": " */
  value(name: string, buffer: Buffer, start: number, end: number): void;
  /** A field of our own whose value will not come again. @param name with its ": " */
  once(name: string, value: string): void;
}

const DASH = 0x2d;
const UNDERSCORE = 0x5f;

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

/** A field whose value is ours to say: what came under its name is taken away. */
export interface OwnField {
  /** In lower case, with dashes where it has underscores: CGI and its heirs take the two for the same (RFC 3875 section 4.1.18). */
  readonly name: Buffer;
  /** With its CRLF; "": there is nothing to say. */
  readonly line: string;
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
  /** Our traceparent in place of the client's; undefined: what the client says of traces goes on as it came. */
  readonly traceparent: string | undefined;
  /** The trace begins here: the client's tracestate is of another one. */
  readonly dropTracestate: boolean;
  readonly dropUnderscores: boolean;
  /** Our line of Via for a request that came as this one did. */
  readonly via: string;
  /** Undefined: there is none on this listener. */
  readonly own: OwnField | undefined;
}

/** The host that the target is told; undefined: the Host field goes on as it came. */
export function replacedHost(head: RequestHead, { upstream, targetName }: RequestForward): string | undefined {
  const { hostHeader } = upstream;
  if (hostHeader.kind === "fixed") return hostHeader.value;
  if (hostHeader.kind === "target" || head.hostEnd === head.hostStart) return targetName;
  return head.form === "absolute" ? head.host : undefined;
}

/** All fields of a request but those that only the codec can know: host, framing, connection. @param without bits of `Name` that the codec writes, or leaves out, itself */
export function writeRequestFields(sink: FieldSink, head: RequestHead, forward: RequestForward, without: number): void {
  const { config, by } = forward;
  let drop = HOP_BY_HOP | without;
  if (!by.trusted) drop |= FORWARDED_BY;
  else {
    if (config.xForwarded) drop |= 1 << Name.X_FORWARDED_FOR;
    if (config.forwarded) drop |= 1 << Name.FORWARDED;
  }
  if (forward.requestId !== undefined) drop |= 1 << Name.X_REQUEST_ID;
  if (forward.traceparent !== undefined) drop |= 1 << Name.TRACEPARENT;
  if (forward.dropTracestate) drop |= 1 << Name.TRACESTATE;
  if (head.has(Name.MAX_FORWARDS) && head.methodIs("OPTIONS")) drop |= 1 << Name.MAX_FORWARDS;
  if (!head.lengthIsPlain) drop |= 1 << Name.CONTENT_LENGTH;
  copyFields(sink, head, drop, forward.dropUnderscores, forward.own?.name);

  if (!head.lengthIsPlain) sink.text(`Content-Length: ${head.contentLength}\r\n`);
  if ((drop & (1 << Name.MAX_FORWARDS)) !== 0) sink.text(`Max-Forwards: ${Math.max(0, Number(head.value(head.find(Name.MAX_FORWARDS))) - 1)}\r\n`);
  if (config.xForwarded) writeXForwarded(sink, head, forward);
  if (config.forwarded) {
    const before = by.trusted && head.has(Name.FORWARDED) ? `${joined(head, Name.FORWARDED)}, ` : "";
    const node = by.address.includes(":") ? `"[${by.address}]"` : by.address;
    sink.text(`Forwarded: ${before}for=${node};proto=${by.proto}${head.hostEnd > head.hostStart ? `;host="${head.host}"` : ""}\r\n`);
  }
  if (forward.requestId !== undefined) sink.once("X-Request-ID: ", forward.requestId);
  if (forward.traceparent !== undefined) sink.once("traceparent: ", forward.traceparent);
  if (config.via) sink.text(forward.via);
  if (forward.own !== undefined && forward.own.line !== "") sink.text(forward.own.line);
}

function writeXForwarded(sink: FieldSink, head: RequestHead, forward: RequestForward): void {
  const { by } = forward;
  if (!by.trusted) {
    sink.text(forward.lines);
    writeForwardedHost(sink, head);
    return;
  }
  const before = head.has(Name.X_FORWARDED_FOR) ? `${joined(head, Name.X_FORWARDED_FOR)}, ` : "";
  sink.text(`X-Forwarded-For: ${before}${by.address}\r\n`);
  if (!head.has(Name.X_FORWARDED_PROTO)) sink.text(`X-Forwarded-Proto: ${by.proto}\r\n`);
  if (!head.has(Name.X_FORWARDED_HOST)) writeForwardedHost(sink, head);
}

function writeForwardedHost(sink: FieldSink, head: RequestHead): void {
  if (head.hostEnd > head.hostStart) sink.value("X-Forwarded-Host: ", head.buffer, head.hostStart, head.hostEnd);
}

/** All fields of a reply but those that only the codec can know. @param lines field lines of our own, each with its CRLF */
export function writeReplyFields(sink: FieldSink, head: ReplyHead, lines: string): void {
  let drop = HOP_BY_HOP;
  // RFC 9110 section 8.6: no Content-Length in 1xx and 204.
  if (head.status < 200 || head.status === 204) drop |= 1 << Name.CONTENT_LENGTH;
  else if (!head.lengthIsPlain) {
    drop |= 1 << Name.CONTENT_LENGTH;
    sink.text(`Content-Length: ${head.contentLength}\r\n`);
  }
  copyFields(sink, head, drop, false);
  if (lines !== "") sink.text(lines);
}

/** A request's trailers as they go on: without any, when they claim what is ours to say. */
export function withoutClaims(trailers: Head | undefined, own: OwnField | undefined): Head | undefined {
  if (own === undefined || trailers === undefined) return trailers;
  for (let i = 0; i < trailers.count; i++) if (isNamed(trailers, i, own.name)) return undefined;
  return trailers;
}

/** Trailers that may stand behind a body. */
export function writeTrailerFields(sink: FieldSink, trailers: Head): void {
  copyFields(sink, trailers, NOT_IN_TRAILERS, false);
}

/** Write all fields but the dropped ones, neighbours in one go. */
function copyFields(sink: FieldSink, head: Head, drop: number, dropUnderscores: boolean, dropName?: Buffer): void {
  const { count } = head;
  if (count === 0) return;
  if ((head.seen & drop) === 0 && !head.connectionNames && !(dropUnderscores && head.hasUnderscore) && dropName === undefined) {
    sink.fields(head, 0, count);
    return;
  }
  let run = 0;
  for (let i = 0; i < count; i++) {
    const bit = 1 << head.id[i]!;
    const dropped =
      ((drop & bit) !== 0 && head.id[i] !== Name.OTHER) ||
      (head.connectionNames && (PROTECTED & bit) === 0 && isNominated(head, i)) ||
      (dropUnderscores && head.hasUnderscore && head.id[i] === Name.OTHER && hasUnderscore(head, i)) ||
      (dropName !== undefined && isNamed(head, i, dropName));
    if (!dropped) continue;
    if (i > run) sink.fields(head, run, i);
    run = i + 1;
  }
  if (count > run) sink.fields(head, run, count);
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

/** @param name as OwnField has it */
function isNamed(head: Fields, index: number, name: Buffer): boolean {
  const start = head.nameStart[index]!;
  if (head.nameEnd[index]! - start !== name.length) return false;
  for (let i = 0; i < name.length; i++) {
    const byte = head.buffer[start + i]!;
    if ((byte === UNDERSCORE ? DASH : LOWER[byte]) !== name[i]) return false;
  }
  return true;
}

function hasUnderscore(head: Fields, index: number): boolean {
  const at = head.buffer.indexOf(UNDERSCORE, head.nameStart[index]);
  return at >= 0 && at < head.nameEnd[index]!;
}

/** All values of a known name, joined by ", ". */
export function joined(head: Fields, id: number): string {
  let text = "";
  for (let i = head.find(id); i >= 0; i = head.find(id, i + 1)) text += text === "" ? head.value(i) : `, ${head.value(i)}`;
  return text;
}

export function acceptsTrailers(head: Fields): boolean {
  return joined(head, Name.TE)
    .toLowerCase()
    .split(",")
    .some((token) => token.trim() === "trailers");
}
