/** Finds entries of a dynamic table by a hash. */
import type { DynamicTable } from "./dynamic-table.ts";

/**
 * Each bucket has the number of its newest entry, each entry that of the next older one of its bucket. What was evicted is older than all that
 * is there, so a chain ends at the first number that is gone: evictions cost nothing here.
 */
export class Chains {
  private readonly table: DynamicTable;
  private readonly newest: Int32Array;
  private readonly older: Int32Array;
  private readonly hashes: Int32Array;

  constructor(table: DynamicTable) {
    this.table = table;
    this.newest = new Int32Array(table.mask + 1);
    this.older = new Int32Array(table.mask + 1);
    this.hashes = new Int32Array(table.mask + 1);
  }

  /** The table's newest entry has this hash. */
  add(hash: number): void {
    const { table } = this;
    const slot = table.newest & table.mask;
    const bucket = hash & table.mask;
    this.hashes[slot] = hash;
    this.older[slot] = this.newest[bucket]!;
    this.newest[bucket] = table.newest;
  }

  /** The age of the newest entry with this hash; 0: there is none. */
  first(hash: number): number {
    return this.from(this.newest[hash & this.table.mask]!, hash);
  }

  /** The age of the next older one than that of `age`. */
  next(age: number, hash: number): number {
    return this.from(this.older[this.table.slot(age)]!, hash);
  }

  private from(number: number, hash: number): number {
    const { table } = this;
    for (;;) {
      const age = (table.newest + 1 - number) | 0;
      if (age <= 0 || age > table.count) return 0;
      const slot = number & table.mask;
      if (this.hashes[slot] === hash) return age;
      number = this.older[slot]!;
    }
  }
}
