/** How large a scoreboard's file is, and what stands where in it: first what is common, then a part for each worker slot, and one for the supervisor. */
import { LISTENER_CELLS, ROUTE_CELLS, TARGET_CELLS, UPSTREAM_CELLS, WORKER_CELLS } from "./columns.ts";
import { BOUNDS_CELLS } from "./histogram.ts";
import { ADDRESS_WORDS, LISTENER_ROWS, MAX_ROUTES, STAT_WORDS, UPSTREAM_WORDS, WORKER_WORDS } from "./words.ts";

export const HEADER_WORDS = 32;
/** Parts begin where pages do, of whatever size they are. */
const PAGE_BYTES = 65_536;

export interface ScoreboardSize {
  /** Worker slots; twice the number of workers, so that old and new ones can stand side by side. */
  readonly workers: number;
  readonly targets: number;
  readonly upstreams: number;
}

/** Rows from these on were never used; looking at them would make them take memory. */
export interface UsedRows {
  readonly targets: number;
  readonly upstreams: number;
  readonly listeners: number;
  readonly routes: number;
}

/** Where what is common stands, in words. */
export class CommonLayout {
  private end = HEADER_WORDS;
  readonly bounds = this.area(2 * BOUNDS_CELLS);
  readonly used: number;
  readonly upstream: number;
  readonly worker: number;
  readonly flags: number;
  readonly share: number;
  readonly open: number;
  readonly connections: number;
  readonly stat: number;
  readonly address: number;

  constructor({ workers, targets, upstreams }: ScoreboardSize) {
    this.used = this.area(workers + 1);
    this.upstream = this.area(upstreams * UPSTREAM_WORDS);
    this.worker = this.area(workers * WORKER_WORDS);
    this.flags = this.area(targets);
    this.share = this.area(targets);
    this.open = this.area(targets);
    this.connections = this.area(targets);
    this.stat = this.area(targets * STAT_WORDS);
    this.address = this.area(workers * ADDRESS_WORDS);
  }

  private area(length: number): number {
    const begin = this.end;
    // Each begins on a cache line (16 words) of its own.
    this.end += Math.ceil(length / 16) * 16;
    return begin;
  }

  get bytes(): number {
    return Math.ceil((this.end * 4) / PAGE_BYTES) * PAGE_BYTES;
  }
}

export const WORKER_ROWS = 1;

export function partBytes({ targets, upstreams }: ScoreboardSize): number {
  const cells = WORKER_ROWS * WORKER_CELLS + LISTENER_ROWS * LISTENER_CELLS + MAX_ROUTES * ROUTE_CELLS + upstreams * UPSTREAM_CELLS + targets * TARGET_CELLS;
  return Math.ceil((cells * 8) / PAGE_BYTES) * PAGE_BYTES;
}

export function bytesFor(size: ScoreboardSize): number {
  // The supervisor has one too.
  return new CommonLayout(size).bytes + (size.workers + 1) * partBytes(size);
}
