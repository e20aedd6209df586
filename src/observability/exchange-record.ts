/** What is kept of an exchange: its account, in the words of the API, without what may be secret. */
import { type Account, type Attempt, withoutQuery } from "./account.ts";
import { CAUSES, type Cause } from "./cause.ts";

/** Why an exchange is kept. */
export const REASONS = ["failed", "retried", "slow", "sampled"] as const;
export type Reason = (typeof REASONS)[number];

export interface RecordRules {
  /** Exchanges that take so long, in ms; 0: none is kept for it. */
  readonly slow: number;
  /** The part of all others that is kept, from 0 to 1. */
  readonly sample: number;
  /** What follows the "?" of paths, which may hold secrets. */
  readonly query: "keep" | "drop";
}

/** Nobody needs longer ones to know what went wrong. In characters. */
const MAX_PATH = 2_048;
const MAX_TEXT = 512;
/** Of one exchange; there are as many as its retries allow. */
const MAX_TRIES = 32;

/** One attempt. All times are in ms; `at_ms` counts from the exchange's begin, the others from the attempt's own. */
export interface TryRecord {
  readonly target: string;
  readonly at_ms: number;
  readonly connect_ms: number;
  readonly first_byte_ms: number;
  readonly duration_ms: number;
  readonly status: number;
  readonly cause: Cause;
  readonly detail: string;
  readonly hedge: boolean;
}

/** As `Account` says. */
export interface ExchangeRecord {
  /** ISO 8601. */
  readonly at: string;
  readonly why: readonly Reason[];
  readonly protocol: Account["protocol"];
  readonly listener: string;
  readonly route: string;
  readonly upstream: string;
  readonly target: string;
  readonly client: string;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly request_id: string;
  readonly status: number;
  readonly cause: Cause;
  readonly detail: string;
  readonly fault: string;
  readonly duration_ms: number;
  readonly queued_ms: number;
  readonly connect_ms: number;
  readonly first_byte_ms: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly attempts: number;
  readonly tries: readonly TryRecord[];
  readonly candidates: readonly string[];
  readonly candidate_count: number;
}

/** Somebody but the client is to blame for its end. */
export function isFailure(cause: Cause, status: number): boolean {
  if (status >= 500) return true;
  const { side } = CAUSES[cause];
  return side === "target" || side === "balancer";
}

/** Tunnels, tcp connections and udp flows last as long as their clients want: that is not slow. */
export function isSlow(status: number, milliseconds: number, { slow }: RecordRules): boolean {
  return slow > 0 && milliseconds >= slow && status >= 200;
}

export function recordOf(account: Account, rules: RecordRules): ExchangeRecord {
  const { at, protocol, listener, route, upstream, target, client, method, host, path, requestId, status, cause, detail, fault = "", milliseconds, queued, connect, firstByte, bytesIn, bytesOut, attempts, tries, candidates, candidateCount } = account;
  const why: Reason[] = [];
  if (isFailure(cause, status)) why.push("failed");
  if (tries.length > 1) why.push("retried");
  if (isSlow(status, milliseconds, rules)) why.push("slow");
  if (why.length === 0) why.push("sampled");
  return {
    at: new Date(at).toISOString(),
    why,
    protocol,
    listener,
    route,
    upstream,
    target,
    client,
    method: clipped(method, MAX_TEXT),
    host: clipped(host, MAX_TEXT),
    path: clipped(rules.query === "keep" ? path : withoutQuery(path), MAX_PATH),
    request_id: clipped(requestId, MAX_TEXT),
    status,
    cause,
    detail: clipped(detail, MAX_TEXT),
    fault: clipped(fault, MAX_TEXT),
    duration_ms: rounded(milliseconds),
    queued_ms: rounded(queued),
    connect_ms: rounded(connect),
    first_byte_ms: rounded(firstByte),
    bytes_in: bytesIn,
    bytes_out: bytesOut,
    attempts,
    tries: tries.slice(0, MAX_TRIES).map(tryOf),
    candidates,
    candidate_count: candidateCount,
  };
}

function tryOf({ target, at, connect, firstByte, milliseconds, status, cause, detail, hedge }: Attempt): TryRecord {
  return { target, at_ms: rounded(at), connect_ms: rounded(connect), first_byte_ms: rounded(firstByte), duration_ms: rounded(milliseconds), status, cause, detail: clipped(detail, MAX_TEXT), hedge };
}

function clipped(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}
