/**
 * What a line of the access log may tell: the variables of format strings, and the fields of JSON lines, by one list of names. Those that nginx has mean
 * what they mean there.
 */
import type { Account, Attempt } from "../account.ts";
import { type Passing, Slot } from "../head-text.ts";
import type { Line } from "./line.ts";
import { localIsoTime, localTime, thousandths, writeIsoTime } from "./numbers.ts";

/** What it tells, and how that is written. An empty one is "-" in a format string and left out in JSON; a number is one there too. */
export type Variable = { readonly about: string } & (
  /** To be escaped. Undefined `slot`: the head's bytes do not have it as it is. */
  | { readonly kind: "text"; readonly of: (account: Passing) => string; readonly slot?: number | undefined }
  /** Texts with a space between them; empty where the first is. */
  | { readonly kind: "list"; readonly of: readonly (Variable & { readonly kind: "text" })[] }
  /** The same in every line; it needs no escapes. */
  | { readonly kind: "constant"; readonly value: string }
  /** To be escaped too, but one of few. */
  | { readonly kind: "known"; readonly of: (account: Account) => string }
  /** Cannot hold what would have to be. */
  | { readonly kind: "word"; readonly of: (account: Account) => string }
  /** Undefined: it is empty. */
  | { readonly kind: "integer"; readonly of: (account: Account) => number | undefined }
  /** A thousandth of it is told. */
  | { readonly kind: "thousandths"; readonly of: (account: Account) => number }
  | { readonly kind: "time"; readonly of: (account: Account, line: Line) => void }
);

const text = (about: string, of: (account: Passing) => string, slot?: number): Variable & { readonly kind: "text" } => ({ kind: "text", of, slot, about });
const constant = (about: string, value: string): Variable => ({ kind: "constant", value, about });
const known = (about: string, of: (account: Account) => string): Variable => ({ kind: "known", of, about });
const word = (about: string, of: (account: Account) => string): Variable => ({ kind: "word", of, about });
const integer = (about: string, of: (account: Account) => number | undefined): Variable => ({ kind: "integer", of, about });
const milliseconds = (about: string, of: (account: Account) => number): Variable => ({ kind: "thousandths", of: (account) => of(account) * 1000, about });
const seconds = (about: string, of: (account: Account) => number): Variable => ({ kind: "thousandths", of, about });

/** A line is of the time when its exchange ended. */
function endOf({ at, milliseconds }: Account): number {
  return at + milliseconds;
}

function methodOf({ protocol, method }: Account): string {
  return protocol === "tcp" ? "TCP" : protocol === "udp" ? "UDP" : method;
}

/** The address of `127.0.0.1:1234` and `[::1]:1234`. */
export function addressOf(client: string): string {
  const colon = client.lastIndexOf(":");
  if (colon < 0) return client;
  return client.charCodeAt(0) === 0x5b ? client.slice(1, colon - 1) : client.slice(0, colon);
}

function queryAt(path: string): number {
  const at = path.indexOf("?");
  return at < 0 ? path.length : at;
}

/** Of each attempt, in order, as nginx lists them. */
function eachTry(tries: readonly Attempt[], of: (attempt: Attempt) => string): string {
  return tries.length === 1 ? of(tries[0]!) : tries.map(of).join(", ");
}

const orNone = (milliseconds: number): string => (milliseconds > 0 ? thousandths(milliseconds) : "-");

export const VARIABLES: Readonly<Record<string, Variable>> = {
  level: constant('"info": for whoever reads this and the service log from one stream', "info"),
  msg: constant('"access"', "access"),
  time: { kind: "time", about: "when the exchange ended, in UTC: 2026-07-01T12:00:01.123Z", of: (a, line) => writeIsoTime(endOf(a), line) },
  time_local: known("the same in the local zone, as Common has it: 01/Jul/2026:14:00:01 +0200", (a) => localTime(endOf(a))),
  time_iso8601: known("the same as 2026-07-01T14:00:01+02:00", (a) => localIsoTime(endOf(a))),
  msec: seconds("the same in seconds since 1970: 1782907201.123", (a) => endOf(a)),
  client: text("the client's address and port", (a) => a.client),
  remote_addr: text("the client's address", (a) => a.address ?? addressOf(a.client)),
  remote_port: word("its port", (a) => a.client.slice(a.client.lastIndexOf(":") + 1)),
  remote_user: constant('always "-": nobody logs in here', ""),
  request: { kind: "list", about: "method, path and protocol", of: [text("", (a) => a.method, Slot.METHOD), text("", (a) => a.path, Slot.PATH), text("", (a) => a.protocol)] },
  method: text("the request's method; TCP and UDP where there are no requests", methodOf, Slot.METHOD),
  request_method: text("the same", methodOf, Slot.METHOD),
  host: text("the host that was asked for", (a) => a.host, Slot.HOST),
  path: text("path and query, as they came", (a) => a.path, Slot.PATH),
  request_uri: text("the same", (a) => a.path, Slot.PATH),
  uri: text("the path without the query", (a) => a.path.slice(0, queryAt(a.path))),
  args: text("the query", (a) => a.path.slice(queryAt(a.path) + 1)),
  protocol: known("HTTP/1.0, HTTP/1.1, HTTP/2.0, tcp or udp", (a) => a.protocol),
  server_protocol: known("the same", (a) => a.protocol),
  status: integer("what the client got; 499: nothing, for it had gone; 0: there are no statuses", (a) => a.status),
  grpc_status: integer("of a gRPC call: its status", (a) => a.grpcStatus),
  listener: known("the listener's name", (a) => a.listener),
  route: known("the route, by its name, or what it matches", (a) => a.route),
  upstream: known("the upstream's name", (a) => a.upstream),
  target: known("the target that answered, or was tried last", (a) => a.target),
  attempts: integer("how often a target was asked", (a) => a.attempts),
  milliseconds: milliseconds("from the head of the request to the last byte of the reply", (a) => a.milliseconds),
  request_time: seconds("the same in seconds", (a) => a.milliseconds),
  queued: milliseconds("of them, waiting for a place at a target", (a) => a.queued),
  connect: milliseconds("of them, being connected in the last attempt; 0: the connection was there", (a) => a.connect),
  first_byte: milliseconds("from the begin to the first byte of the reply, in ms; 0: none came", (a) => a.firstByte),
  bytes_in: integer("bytes of the request's body; tcp, udp: all from the client", (a) => a.bytesIn),
  bytes_out: integer("bytes of the reply's body; tcp, udp: all to the client", (a) => a.bytesOut),
  body_bytes_sent: integer("the same", (a) => a.bytesOut),
  cause: known("why it ended: done, or what went wrong", (a) => a.cause),
  detail: text("in words, what the cause does not say", (a) => a.detail),
  fault: word("names of the faults that were injected, with a comma between several", (a) => a.fault ?? ""),
  request_id: text("X-Request-ID: ours, else the client's", (a) => a.requestId),
  datagrams_in: integer("udp: datagrams from the client", (a) => a.datagrams?.in),
  datagrams_out: integer("udp: datagrams to it", (a) => a.datagrams?.out),
  upstream_addr: text("all targets that were tried, as nginx lists them", (a) => eachTry(a.tries, ({ target }) => target)),
  upstream_status: word("their statuses", (a) => eachTry(a.tries, ({ status }) => (status === 0 ? "-" : String(status)))),
  upstream_connect_time: word("seconds to connect to each", (a) => eachTry(a.tries, ({ connect }) => thousandths(connect))),
  upstream_header_time: word("seconds to the first byte of each reply", (a) => eachTry(a.tries, ({ firstByte }) => orNone(firstByte))),
  upstream_response_time: word("seconds that each took", (a) => eachTry(a.tries, ({ milliseconds }) => thousandths(milliseconds))),
};

/** What JSON lines tell where `fields` does not say. */
export const JSON_FIELDS: readonly string[] = [
  "level", "time", "msg", "client", "method", "host", "path", "protocol", "status", "grpc_status", "listener", "route", "upstream", "target", "attempts",
  "milliseconds", "queued", "connect", "first_byte", "bytes_in", "bytes_out", "datagrams_in", "datagrams_out", "cause", "detail", "fault", "request_id", "http_user_agent", "http_referer",
];

/** Of these nobody wants a copy on a disk. */
const CREDENTIALS = new Set(["authorization", "proxy-authorization"]);

const HEADER = /^http_([a-z0-9_]+)$/;

/** The lower-case name of the request header that `$http_…` stands for; undefined: it stands for none. */
export function headerOf(name: string): string | undefined {
  return HEADER.exec(name)?.[1]!.replaceAll("_", "-");
}

/** Why it may not stand in a log; undefined: it may. */
export function variableProblem(name: string): string | undefined {
  const header = headerOf(name);
  if (header !== undefined) return CREDENTIALS.has(header) ? `$${name} would write credentials into the log` : undefined;
  return Object.hasOwn(VARIABLES, name) ? undefined : `there is no variable $${name}`;
}
