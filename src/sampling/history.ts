/** An hour of points, a step apart, of several series; in bounded memory. */
import { CLASSES } from "../scoreboard/scoreboard.ts";
import type { Rates } from "./rates.ts";

/** Between two points, in samples of a second. */
export const STEP = 5;
/** An hour of them. */
const POINTS = 720;
/** Of a point: classes, p50, p99, open. */
const P50 = CLASSES.length;
const P99 = P50 + 1;
const OPEN = P99 + 1;
const WORDS = OPEN + 1;
/** Series are made longer as time goes on, up to an hour: 29 KB. */
const FIRST_POINTS = 45;

/** What of rates is kept. */
export type PointRates = Pick<Rates, "total" | "classes" | "p50" | "p99">;

export interface Point {
  /** Wall-clock ms since 1970. */
  readonly at: number;
  /** Of the time since the point before. */
  readonly rates: PointRates;
  /** Requests that were open. */
  readonly open: number;
}

/** Points of one series, and how far apart they are, in ms. */
export interface History {
  readonly interval: number;
  readonly points: readonly Point[];
}

/** When the points were taken, for all series. */
export class Steps {
  private readonly times = new Float64Array(POINTS);
  /** Of the newest. */
  number = -1;

  /** @param at wall-clock ms */
  begin(at: number): void {
    this.number++;
    this.times[this.number % POINTS] = at;
  }

  at(step: number): number {
    return this.times[step % POINTS]!;
  }
}

export class Series {
  private values = new Float32Array(FIRST_POINTS * WORDS);
  private readonly first: number;
  private newest: number;

  /** @param step its first point will be of this one */
  constructor(step: number) {
    this.first = step;
    this.newest = step - 1;
  }

  /** The point of this step. Once for each, and none is left out. */
  add(step: number, rates: PointRates, open: number): void {
    const count = step - this.first;
    if (count * WORDS >= this.values.length && this.values.length < POINTS * WORDS) {
      const longer = new Float32Array(Math.min(POINTS * WORDS, this.values.length * 2));
      longer.set(this.values);
      this.values = longer;
    }
    const at = this.placeOf(step);
    for (let index = 0; index < P50; index++) this.values[at + index] = rates.classes[index]!;
    this.values[at + P50] = rates.p50 ?? Number.NaN;
    this.values[at + P99] = rates.p99 ?? Number.NaN;
    this.values[at + OPEN] = open;
    this.newest = step;
  }

  private placeOf(step: number): number {
    return ((step - this.first) % POINTS) * WORDS;
  }

  /** From the oldest on. */
  points(steps: Steps): Point[] {
    const points: Point[] = [];
    for (let step = Math.max(this.first, this.newest - POINTS + 1); step <= this.newest; step++) {
      const place = this.placeOf(step);
      const known = (word: number): number | undefined => (Number.isNaN(this.values[place + word]!) ? undefined : this.values[place + word]!);
      const classes = [...this.values.subarray(place, place + P50)];
      points.push({ at: steps.at(step), rates: { total: classes.reduce((sum, rate) => sum + rate, 0), classes, p50: known(P50), p99: known(P99) }, open: this.values[place + OPEN]! });
    }
    return points;
  }
}
