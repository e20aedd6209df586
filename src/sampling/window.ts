/** What was counted in each of the last seconds. */
import { CLASSES } from "../scoreboard/scoreboard.ts";
import { COUNTS, type Counts } from "./counts.ts";

/** Samples that are kept, and so the most that can be asked for. */
export const KEPT = 10;

export class Window {
  /** A row a sample; undefined: nothing was counted lately. */
  private rows: Float32Array | undefined = undefined;
  /** The newest sample that has a row; older ones without one counted nothing. */
  private newest = Number.NEGATIVE_INFINITY;

  get isEmpty(): boolean {
    return this.rows === undefined;
  }

  /** Something was counted in this sample. */
  add(sample: number, counts: Counts): void {
    const rows = (this.rows ??= new Float32Array(KEPT * COUNTS));
    for (let missed = Math.max(this.newest + 1, sample - KEPT + 1); missed <= sample; missed++) rows.fill(0, rowOf(missed), rowOf(missed) + COUNTS);
    this.newest = sample;
    const at = rowOf(sample);
    for (let word = 0; word < COUNTS; word++) rows[at + word]! += counts[word]!;
  }

  /** What the last `samples` up to this one counted, added to `into`. */
  sum(sample: number, samples: number, into: Float64Array): void {
    const { rows } = this;
    if (rows === undefined) return;
    for (let each = Math.max(sample - samples + 1, this.newest - KEPT + 1); each <= Math.min(sample, this.newest); each++) {
      const at = rowOf(each);
      for (let word = 0; word < COUNTS; word++) into[word]! += rows[at + word]!;
    }
  }

  /** Exchanges that the last `samples` up to this one counted. */
  total(sample: number, samples: number): number {
    const { rows } = this;
    let total = 0;
    if (rows === undefined) return total;
    for (let each = Math.max(sample - samples + 1, this.newest - KEPT + 1); each <= Math.min(sample, this.newest); each++) {
      const at = rowOf(each);
      for (let word = 0; word < CLASSES.length; word++) total += rows[at + word]!;
    }
    return total;
  }

  /** Gives its memory back when it holds nothing that could be asked for. */
  rest(sample: number): void {
    if (sample - this.newest >= KEPT) this.rows = undefined;
  }
}

function rowOf(sample: number): number {
  return (sample % KEPT) * COUNTS;
}
