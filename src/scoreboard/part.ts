/**
 * One worker's own part of the scoreboard: its columns of all rows, mapped apart from those of other workers.
 * A slot that no worker was ever given has none, and takes no memory.
 */

export interface Part {
  readonly words: Int32Array;
  /** The same memory. */
  readonly cells: Float64Array;
}

export class Parts {
  private readonly all: (Part | undefined)[];
  private readonly map: (worker: number) => Part;
  private readonly isUsed: (worker: number) => boolean;
  private readonly usedCount: () => number;
  private usedNow: readonly Part[] = [];
  private known = 0;

  /**
   * @param map makes a worker's part visible here
   * @param isUsed was the slot ever given to a worker?
   * @param usedCount how many were
   */
  constructor(workers: number, map: (worker: number) => Part, isUsed: (worker: number) => boolean, usedCount: () => number) {
    this.all = Array.from({ length: workers }, () => undefined);
    this.map = map;
    this.isUsed = isUsed;
    this.usedCount = usedCount;
  }

  of(worker: number): Part {
    return (this.all[worker] ??= this.map(worker));
  }

  /** Those that ever had a worker. */
  get used(): readonly Part[] {
    const count = this.usedCount();
    if (count !== this.known) {
      this.known = count;
      this.usedNow = this.all.flatMap((_, worker) => (this.isUsed(worker) ? this.of(worker) : []));
    }
    return this.usedNow;
  }
}
