/** Histograms of durations: one list of bounds for all of them, in memory that all processes share, so that what is counted and what is read is never of two minds. */
import { MAX_BOUNDS } from "./columns.ts";

/** Cells that the bounds take: how many they are, then each. */
export const BOUNDS_CELLS = 1 + MAX_BOUNDS;

/** What was observed, over all workers. */
export interface Histogram {
  /** In each bucket, not summed up: up to the first bound, up to the second, …, and beyond the last. */
  readonly counts: readonly number[];
  /** Of all that was observed, in ms. */
  readonly sum: number;
}

export class Bounds {
  private readonly cells: Float64Array;

  constructor(cells: Float64Array) {
    this.cells = cells;
  }

  /** In ms, ascending. */
  get list(): readonly number[] {
    return [...this.cells.subarray(1, 1 + this.cells[0]!)];
  }

  /** @param bounds in ms, ascending, 1 to 30 */
  set(bounds: readonly number[]): void {
    // None while they change: what ends meanwhile counts as beyond the last of none, in the first cell.
    this.cells[0] = 0;
    this.cells.set(bounds, 1);
    this.cells[0] = bounds.length;
  }

  /** The bucket for so many ms: that of the first bound that is not less. Most exchanges are short, so the search begins below. */
  bucketOf(milliseconds: number): number {
    const { cells } = this;
    const count = cells[0]!;
    let bucket = 0;
    while (bucket < count && cells[bucket + 1]! < milliseconds) bucket++;
    return bucket;
  }
}

/**
 * The value below which a share `q` of what was observed lies: linear within its bucket, as Prometheus' histogram_quantile has it, so that
 * dashboard and Prometheus tell the same. What lies beyond the last bound is told as the last bound.
 *
 * @param bounds in any unit, ascending
 * @param counts of each bucket, not summed up: one more than there are bounds; further ones are not looked at
 * @param q 0 to 1
 * @returns undefined: nothing was observed
 */
export function quantile(bounds: readonly number[], counts: ArrayLike<number>, q: number): number | undefined {
  let total = 0;
  for (let i = 0; i <= bounds.length; i++) total += counts[i]!;
  if (total === 0) return undefined;
  let rank = q * total;
  for (const [i, bound] of bounds.entries()) {
    const count = counts[i]!;
    if (rank <= count && count > 0) {
      const lower = i === 0 ? 0 : bounds[i - 1]!;
      return lower + ((bound - lower) * rank) / count;
    }
    rank -= count;
  }
  return bounds.at(-1);
}
