/** The rows of one kind (targets, upstreams, listeners, routes), each with a column in every worker's part; and what their columns add up to. */
import { DURATIONS, GAUGES, HISTOGRAM_CELLS, HISTOGRAM_SUM } from "./columns.ts";
import type { Histogram } from "./histogram.ts";
import type { Parts } from "./part.ts";

export class Table {
  readonly rows: number;
  private readonly parts: Parts;
  /** The first cell, in each part. */
  private readonly begin: number;
  /** Of one column. */
  private readonly cells: number;

  constructor(parts: Parts, begin: number, rows: number, cells: number) {
    this.parts = parts;
    this.begin = begin;
    this.rows = rows;
    this.cells = cells;
  }

  /** Where a row's column begins, in each part. */
  at(row: number): number {
    return this.begin + row * this.cells;
  }

  /** A total over all workers, those that are no more too. */
  sum(row: number, total: number): number {
    const at = this.at(row) + total;
    let sum = 0;
    for (const { cells } of this.parts.used) sum += cells[at]!;
    return sum;
  }

  /** Several totals that stand side by side, over all workers. */
  sums(row: number, first: number, count: number): number[] {
    const at = this.at(row) + first;
    const sums = Array.from({ length: count }, () => 0);
    for (const { cells } of this.parts.used) for (let i = 0; i < count; i++) sums[i]! += cells[at + i]!;
    return sums;
  }

  /** The same, into what is there already. @returns is any of them not 0? */
  readSums(row: number, first: number, into: Float64Array): boolean {
    const at = this.at(row) + first;
    let any = false;
    into.fill(0);
    for (const { cells } of this.parts.used) {
      for (let i = 0; i < into.length; i++) {
        const total = cells[at + i]!;
        if (total === 0) continue;
        into[i]! += total;
        any = true;
      }
    }
    return any;
  }

  /** @param first its first cell */
  histogram(row: number, first = DURATIONS): Histogram {
    const cells = this.sums(row, first, HISTOGRAM_CELLS);
    return { counts: cells.slice(0, HISTOGRAM_SUM), sum: cells[HISTOGRAM_SUM]! };
  }

  /** A gauge over all workers. */
  held(row: number, gauge: number): number {
    const at = this.at(row) * 2 + gauge;
    let sum = 0;
    for (const { words } of this.parts.used) sum += words[at]!;
    return sum;
  }

  /** Does it hold in each worker that has ever been? */
  everyHeld(row: number, gauge: number, holds: (value: number) => boolean): boolean {
    const at = this.at(row) * 2 + gauge;
    return this.parts.used.every(({ words }) => holds(words[at]!));
  }

  /** Forget all of it, but what is open if so wished: that goes down by itself. */
  clear(row: number, what: "all" | "totals"): void {
    const at = this.at(row);
    for (const { cells } of this.parts.used) cells.fill(0, at + (what === "all" ? 0 : GAUGES / 2), at + this.cells);
  }

  /** Forget a histogram of the first `rows` rows. */
  clearHistogram(first: number, rows: number): void {
    for (const { cells } of this.parts.used) {
      for (let row = 0; row < rows; row++) {
        const at = this.at(row) + first;
        cells.fill(0, at, at + HISTOGRAM_CELLS);
      }
    }
  }
}
