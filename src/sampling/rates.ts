/** What counts over some time say. */
import { CLASSES, quantile } from "../scoreboard/scoreboard.ts";
import { BYTES_RECEIVED, BYTES_SENT, COUNTS, DURATIONS, RETRIES } from "./counts.ts";

/** Per second where nothing else is said. */
export interface Rates {
  readonly total: number;
  /** In the order of CLASSES. */
  readonly classes: readonly number[];
  /** Of targets and upstreams. */
  readonly retries: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** In ms; undefined: nothing was answered. */
  readonly p50: number | undefined;
  readonly p99: number | undefined;
}

/**
 * @param bounds of the histogram, in ms
 * @param counts that the rates are made of @param seconds that they were counted in
 * @param durations counts that the percentiles are made of
 */
export function ratesOf(bounds: readonly number[], counts: Float64Array, seconds: number, durations: Float64Array = counts): Rates {
  const per = (word: number): number => (seconds === 0 ? 0 : counts[word]! / seconds);
  const classes = CLASSES.map((_, index) => per(index));
  const buckets = durations.subarray(DURATIONS, COUNTS);
  return {
    total: classes.reduce((sum, rate) => sum + rate, 0),
    classes,
    retries: per(RETRIES),
    bytesReceived: per(BYTES_RECEIVED),
    bytesSent: per(BYTES_SENT),
    p50: quantile(bounds, buckets, 0.5),
    p99: quantile(bounds, buckets, 0.99),
  };
}
