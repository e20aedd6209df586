/** What a row of the scoreboard has counted of exchanges, as a vector: its cells from the first class to the last duration, as they stand. */
import { BYTES_RECEIVED as RECEIVED_CELL, BYTES_SENT as SENT_CELL, DURATIONS as DURATION_CELLS, ENDED, HISTOGRAM_SUM, TOTAL_RETRIES } from "../scoreboard/scoreboard.ts";

/** A vector begins with how exchanges ended, in the order of CLASSES. */
export const BYTES_RECEIVED = RECEIVED_CELL - ENDED;
export const BYTES_SENT = SENT_CELL - ENDED;
/** Of targets and upstreams. */
export const RETRIES = TOTAL_RETRIES - ENDED;
/** From here on, the histogram of durations. */
export const DURATIONS = DURATION_CELLS - ENDED;
export const COUNTS = DURATIONS + HISTOGRAM_SUM;

export type Counts = Float64Array;
