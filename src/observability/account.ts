/**
 * What is told of an exchange when it has ended: one object that access log, decision records and traces share.
 * Made only when somebody wants it, after the last byte; an exchange itself keeps numbers and references only.
 */
import type { Cause } from "./cause.ts";

/** One way to one target. All times are in ms; those marked so count from the exchange's begin. */
export interface Attempt {
  readonly target: string;
  /** From the exchange's begin. */
  readonly at: number;
  /** To be connected, TLS included; 0: the connection was there. */
  readonly connect: number;
  /** From its own begin to the first byte of its reply; 0: none came. */
  readonly firstByte: number;
  /** From its own begin to its end. */
  readonly milliseconds: number;
  /** Of its reply; 0: none came. */
  readonly status: number;
  /** Why it ended; "done": the reply is whole. */
  readonly cause: Cause;
  /** In words, what the cause does not say. */
  readonly detail: string;
  /** It was sent beside another one that took long. */
  readonly hedge: boolean;
  /** Its span, as its target was told; absent: it is not recorded, or no request was sent. */
  readonly span?: string | undefined;
}

/** Where an exchange stands in a trace (W3C Trace Context). Ids are lower-case hexadecimal digits, 32 of the trace, 16 of a span. */
export interface Trace {
  readonly id: string;
  /** The client's span; "": the trace begins here. */
  readonly parent: string;
  /** The client's tracestate; "": there is none, or the trace begins here. */
  readonly state: string;
  /** The exchange's own span. */
  readonly span: string;
  /** It is recorded. */
  readonly sampled: boolean;
  /** As the client asked. */
  readonly scheme: "http" | "https";
  /** User-Agent of a request that is recorded. */
  readonly userAgent: string;
}

/** Targets that an account names as candidates. */
const MOST_CANDIDATES = 32;

export interface Account {
  /** As clients speak it. */
  readonly protocol: "HTTP/1.0" | "HTTP/1.1" | "HTTP/2.0" | "tcp" | "udp";
  /** When it began, in wall-clock ms since 1970. */
  readonly at: number;
  readonly listener: string;
  /** As `routeLabel` of routing/router.ts; "": none matched, or there are none. */
  readonly route: string;
  readonly upstream: string;
  /** The last one tried. */
  readonly target: string;
  readonly client: string;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  /** Fields of the request that the access log's format names, in its order; "" for those that are not there. */
  readonly fields: readonly string[];
  /** X-Request-ID: ours, else the client's; "": there is none. */
  readonly requestId: string;
  /** What the client got. */
  readonly status: number;
  /** Of a gRPC call: its status; undefined: it is none, or it ended without one. */
  readonly grpcStatus?: number | undefined;
  readonly cause: Cause;
  readonly detail: string;
  /** Names of the faults that were injected, with a comma between several; absent or "": none was. */
  readonly fault?: string;
  /** Head in to last byte out, in ms. */
  readonly milliseconds: number;
  /** Of them: waiting for a place, … */
  readonly queued: number;
  /** … being connected in the last attempt, … */
  readonly connect: number;
  /** … and from the exchange's begin to the first byte of the reply; 0: none came. */
  readonly firstByte: number;
  /** Bytes of the body (tcp, udp: all) from the client, and to it. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** How often a target was asked; not counted are hedges that lost, and pooled connections that turned out closed. */
  readonly attempts: number;
  /** Each time, in order, those too. */
  readonly tries: readonly Attempt[];
  /** Names of the targets that were usable when the first was picked, at most 32 of them; and how many there were. */
  readonly candidates: readonly string[];
  readonly candidateCount: number;
  /** Absent: tracing is off, or its client's trace is not recorded. */
  readonly trace?: Trace | undefined;
  /** udp: how many datagrams came from the client and went to it. */
  readonly datagrams?: { readonly in: number; readonly out: number };
}

/** What is told of a request where there was none, or none that could be read. */
export const NO_REQUEST: Readonly<Pick<Account, "method" | "host" | "path" | "fields" | "requestId">> = { method: "", host: "", path: "", fields: [], requestId: "" };

/** Wants to know of exchanges. Asked with each, so that an account is made for those only that somebody wants. */
export interface Witness {
  /** @param milliseconds that it took @param traced its trace is recorded */
  wants(cause: Cause, status: number, attempts: number, milliseconds: number, traced: boolean): boolean;
  tell(account: Account): void;
  /** It wants most of them: what an account tells of a request is best taken down while its head is at hand. */
  readonly wantsMost?: boolean;
  /** It keeps nothing of an account when `tell` has returned. */
  readonly readsAtOnce?: boolean;
}

/** A copy that stays as it is. */
export function wholeOf(account: Account): Account {
  const { protocol, at, listener, route, upstream, target, client, method, host, path, fields, requestId, status, grpcStatus, cause, detail, fault } = account;
  const { milliseconds, queued, connect, firstByte, bytesIn, bytesOut, attempts, tries, candidates, candidateCount, trace, datagrams } = account;
  return {
    protocol, at, listener, route, upstream, target, client, method, host, path, fields, requestId, status, grpcStatus, cause, detail,
    milliseconds, queued, connect, firstByte, bytesIn, bytesOut, attempts, tries, candidates, candidateCount, trace,
    ...(fault === undefined ? {} : { fault }),
    ...(datagrams === undefined ? {} : { datagrams }),
  };
}

/** A list serves many exchanges, until somebody comes or goes: then there is another one. */
const namesOf = new WeakMap<readonly object[], readonly string[]>();

export function candidateNames(targets: readonly { readonly name: string }[]): readonly string[] {
  let names = namesOf.get(targets);
  if (names === undefined) namesOf.set(targets, (names = targets.slice(0, MOST_CANDIDATES).map(({ name }) => name)));
  return names;
}

/** What follows the ? may hold secrets; that there was something is told. */
export function withoutQuery(path: string): string {
  const at = path.indexOf("?");
  return at < 0 ? path : `${path.slice(0, at)}?…`;
}
