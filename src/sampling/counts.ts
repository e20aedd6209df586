/** What a row of the scoreboard has counted of exchanges, as a vector: its words, and how it is read. */
import { CLASSES, DURATIONS as DURATION_CELLS, ENDED, HISTOGRAM_SUM, type Scoreboard, TOTAL_RETRIES } from "../scoreboard/scoreboard.ts";

/** A vector begins with how exchanges ended, in the order of CLASSES. */
export const RETRIES = CLASSES.length;
/** From here on, the histogram of durations. */
export const DURATIONS = RETRIES + 1;
export const COUNTS = DURATIONS + HISTOGRAM_SUM;

export type Counts = Uint32Array;

/** A target's counts over all workers, modulo 2^32. */
export function readTarget({ targets }: Scoreboard, target: number, into: Counts): void {
  into.set(targets.sums(target, ENDED, CLASSES.length));
  into[RETRIES] = targets.sum(target, TOTAL_RETRIES);
  into.set(targets.sums(target, DURATION_CELLS, HISTOGRAM_SUM), DURATIONS);
}
