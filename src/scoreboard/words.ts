/** What stands where in each row of the scoreboard, and how long the rows are. A word is 32 bits. */

/** Words of a worker's own row. */
export const WORKER_PID = 0;
export const WORKER_CLIENTS = 1;
/** Counts up once a second while the worker's event loop turns. */
export const WORKER_HEARTBEAT = 2;
/** Lines of the access log that nobody took. */
export const WORKER_LOST_LINES = 3;
export const WORKER_WORDS = 16;
/** Client connections a listener, in the worker's row. */
export const MAX_LISTENERS = 64;

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

/** Words of an upstream's column a worker: what is open now, cleared when the worker dies, … */
export const OPEN_EXCHANGES = 0;
export const OPEN_RETRIES = 1;
export const QUEUED = 2;
/** The oldest number in this worker's queue, plus one; 0: nobody waits. */
export const QUEUE_HEAD = 3;
export const UPSTREAM_GAUGES = 4;
/** … and totals, which stay. */
export const TOTAL_QUEUED = 4;
export const TOTAL_QUEUE_MS = 5;
export const TOTAL_QUEUE_FULL = 6;
export const TOTAL_QUEUE_TIMEOUTS = 7;
export const TOTAL_BUDGET_REFUSED = 8;
export const TOTAL_HEDGES = 9;
export const TOTAL_HEDGES_WON = 10;
export const TOTAL_BREAKER_REFUSED = 11;
export const UPSTREAM_COLUMN_WORDS = 16;

/** Words of a target's column a worker. */
export const OPEN_CONNECTIONS = 0;
export const OPEN_REQUESTS = 1;
export const TOTAL_REQUESTS = 2;
export const TOTAL_FAILURES = 3;
export const TOTAL_CONNECTS = 4;
export const TOTAL_RETRIES = 5;
/** Replies with a status of 500 to 599. */
export const TOTAL_5XX = 6;
/** Latency histogram: bucket i counts exchanges below 2^i × 0.25 ms, the last one all above. */
export const LATENCY_BUCKETS = 16;
export const LATENCY = 8;
export const COLUMN_WORDS = 32;

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
