/** What a row of the scoreboard has counted of exchanges, as a vector: its words, and how it is read. */
import { LATENCY, LATENCY_BUCKETS, type Scoreboard, TOTAL_5XX, TOTAL_FAILURES, TOTAL_REQUESTS, TOTAL_RETRIES } from "../scoreboard/scoreboard.ts";

/** How exchanges end: by the class of the status, or without one. The first words of a vector. */
export const CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx", "failed"] as const;
export type Class = (typeof CLASSES)[number];
const FAILED = CLASSES.indexOf("failed");
export const RETRIES = CLASSES.length;
/** From here on, the histogram of durations. */
export const DURATIONS = RETRIES + 1;
export const COUNTS = DURATIONS + LATENCY_BUCKETS;

/** Upper bounds of the histogram's buckets but for the last, which has none, in ms. */
export const BOUNDS: readonly number[] = Array.from({ length: LATENCY_BUCKETS - 1 }, (_, bucket) => 2 ** bucket * 0.25);

export type Counts = Uint32Array;

/** A target's counts over all workers, modulo 2^32. */
export function readTarget(board: Scoreboard, target: number, into: Counts): void {
  const errors = board.sum(target, TOTAL_5XX);
  const failures = board.sum(target, TOTAL_FAILURES);
  into[1] = board.sum(target, TOTAL_REQUESTS) - errors - failures;
  into[4] = errors;
  into[FAILED] = failures;
  into[RETRIES] = board.sum(target, TOTAL_RETRIES);
  for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) into[DURATIONS + bucket] = board.sum(target, LATENCY + bucket);
}
