/**
 * What a series of samples says of a process: does it grow, and faster than it may?
 *
 * A slope is Theil and Sen's: the median of the slopes between all pairs of points, which a fifth of outliers does not move, with the confidence
 * interval that Kendall's statistic gives (P. K. Sen, "Estimates of the Regression Coefficient Based on Kendall's Tau", JASA 63, 1968, section 4).
 * Points are not the samples but what is left of a window of them: neighbouring samples are no independent evidence, and of a sawtooth,
 * as a garbage collector makes it, the lowest of a window is what stays.
 */

export interface Sample {
  /** Seconds. */
  readonly at: number;
  readonly value: number;
}

/** What of a window counts: the lowest of what is collected now and then, the middle of what swings both ways. */
export type Take = "lowest" | "median";

/** `growing`: broken. `unclear`: the interval has both sides of the allowance in it, or growth that slows down. `short`: too few samples to say anything. */
export type Verdict = "steady" | "growing" | "unclear" | "short";

/** Per hour, in the series' own unit; the interval has the true slope in it with 95 %. */
export interface Slope {
  readonly slope: number;
  readonly low: number;
  readonly high: number;
}

export interface Judgement extends Slope {
  readonly verdict: Verdict;
  /** First and last of the points. */
  readonly start: number;
  readonly end: number;
}

const HOUR = 3_600;
/** Normal distribution, 97.5 %. */
const Z = 1.96;
/** Windows that a whole run is cut into: enough for an interval, and in ten minutes each long enough for a collection. */
const WINDOWS = 40;
/** With fewer points a line through them says nothing. */
const FEWEST = 12;
/** In seconds: in a shorter time than this a process is still taking what it keeps. */
export const SHORTEST = 60;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function windows(samples: readonly Sample[], take: Take, count: number = WINDOWS): Sample[] {
  const size = Math.max(1, Math.floor(samples.length / count));
  return Array.from({ length: Math.floor(samples.length / size) }, (_, index) => {
    const window = samples.slice(index * size, (index + 1) * size);
    const values = window.map(({ value }) => value);
    return { at: window.reduce((sum, { at }) => sum + at, 0) / window.length, value: take === "lowest" ? Math.min(...values) : median(values) };
  });
}

/** @param points two or more, at different times */
export function theilSen(points: readonly Sample[]): Slope {
  const slopes: number[] = [];
  for (const [index, from] of points.entries()) for (const to of points.slice(index + 1)) slopes.push(((to.value - from.value) / (to.at - from.at)) * HOUR);
  slopes.sort((a, b) => a - b);
  const { length: n } = points;
  const spread = Z * Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18);
  const nth = (rank: number): number => slopes[Math.min(slopes.length - 1, Math.max(0, rank))]!;
  return { slope: median(slopes), low: nth(Math.floor((slopes.length - spread) / 2) - 1), high: nth(Math.ceil((slopes.length + spread) / 2)) };
}

/**
 * It grows when even the lower end of the interval is above what is allowed, and the second half alone says the same: what fills itself once, as caches and an allocator's
 * pages do, slows down, and a leak does not.
 *
 * @param samples evenly spaced, after the warm-up
 * @param allowance per hour
 */
export function judge(samples: readonly Sample[], take: Take, allowance: number): Judgement {
  const points = windows(samples, take);
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined || points.length < FEWEST || last.at - first.at < SHORTEST) {
    return { verdict: "short", slope: Number.NaN, low: Number.NaN, high: Number.NaN, start: first?.value ?? Number.NaN, end: last?.value ?? Number.NaN };
  }
  const whole = theilSen(points);
  const late = theilSen(points.slice(points.length >> 1));
  const growing = whole.low > allowance && late.slope > allowance;
  return { verdict: growing ? "growing" : whole.high <= allowance ? "steady" : "unclear", ...whole, start: first.value, end: last.value };
}
