/** What stands where in the rows that all workers share, and how long they are. A word is 32 bits. */

/** Words of a worker's own row. */
export const WORKER_PID = 0;
export const WORKER_CLIENTS = 1;
/** Counts up once a second while the worker's event loop turns. */
export const WORKER_HEARTBEAT = 2;
/** The longest that its event loop was late in the last ten seconds or so, in µs. */
export const WORKER_LAG = 3;
export const WORKER_WORDS = 16;

/** Listeners that a configuration may have, … */
export const MAX_LISTENERS = 64;
/** … and rows for them: those of names that are gone rest for a while. */
export const LISTENER_ROWS = 256;
/** Rows of routes: each label has one, but for those that come when only the last is left: they share it. */
export const MAX_ROUTES = 257;
export const OTHER_ROUTES = MAX_ROUTES - 1;

/**
 * Connections of each client address and listener, in two rows of counters for each worker, at two places that the address's hash gives: an
 * address has at most as many as the smaller of its two sums says (G. Cormode and S. Muthukrishnan, "An Improved Data Stream Summary: The
 * Count-Min Sketch", 2005). Two addresses that meet in both rows are taken for one; of ten thousand that happens to one in a thousand.
 */
const ADDRESS_COUNTERS = 1 << 14;
export const ADDRESS_WORDS = 2 * ADDRESS_COUNTERS;

export function firstPlace(hash: number): number {
  return hash & (ADDRESS_COUNTERS - 1);
}

export function secondPlace(hash: number): number {
  return ADDRESS_COUNTERS + ((hash >>> 16) & (ADDRESS_COUNTERS - 1));
}

/** Words that all workers share for an upstream: a cursor for each tier, … */
export const MAX_TIERS = 12;
/** … the next number in its queue, … */
export const QUEUE_TICKET = 12;
/** … on a cache line of its own what is read with each pick: whether any target's state changed, … */
export const UPSTREAM_EPOCH = 16;
/** … and its circuit breaker. */
export const BREAKER_STATE = 17;
export const BREAKER_SINCE = 18;
export const BREAKER_WINDOW = 19;
export const BREAKER_REQUESTS = 20;
export const BREAKER_FAILURES = 21;
export const BREAKER_PROBES = 22;
/** Places of the retry budget that all workers together hold. */
export const RETRIES_HELD = 23;
export const UPSTREAM_WORDS = 32;

/** Words that all workers share for a target: its latency as peak-ewma sees it (a float, and when it was set), failures in a row. */
export const STAT_LATENCY = 0;
export const STAT_STAMP = 1;
export const CONSECUTIVE_5XX = 2;
export const CONSECUTIVE_GATEWAY = 3;
export const CONSECUTIVE_LOCAL = 4;
export const STAT_WORDS = 8;

/** Why a target takes no part; several at a time. Fresh memory means "in rotation". */
export const Flag = {
  /** Its health check fails. */
  DOWN: 1,
  /** Its traffic fails: outlier detection. */
  EJECTED: 2,
  /** Its heartbeat has stopped. */
  SILENT: 4,
  /** No new requests, but sticky clients may stay. */
  DRAINING: 8,
  /** Nothing at all. */
  MAINTENANCE: 16,
  /** Its drain is over: what is open is cut. */
  CUT: 32,
} as const;
/** Something is wrong with it; in a panic that counts for nothing. */
export const UNHEALTHY = Flag.DOWN | Flag.EJECTED | Flag.SILENT;
/** It is not wanted. */
export const WITHDRAWN = Flag.DRAINING | Flag.MAINTENANCE | Flag.CUT;
