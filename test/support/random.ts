/** Seeded chance: a failure can be played again from its seed. */

import { randomFrom } from "../../src/simulate/chance.ts";

export { randomFrom };

export class Dice {
  readonly random: () => number;

  constructor(seed: number) {
    this.random = randomFrom(seed);
  }

  /** An integer from 0 up to below `end`. */
  below(end: number): number {
    return Math.floor(this.random() * end);
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  one<T>(of: readonly T[]): T {
    return of[this.below(of.length)] as T;
  }

  /** Mostly small, sometimes around a power of two, now and then large. */
  size(): number {
    const kind = this.random();
    if (kind < 0.4) return this.below(20);
    if (kind < 0.7) return this.below(2_000);
    if (kind < 0.9) return 2 ** (9 + this.below(7)) + this.below(5) - 2;
    return this.below(150_000);
  }

  /** Cut into pieces at random places. */
  pieces(bytes: Buffer, most = 6): Buffer[] {
    const cuts = Array.from({ length: this.below(most) }, () => this.below(bytes.length + 1)).sort((a, b) => a - b);
    return [0, ...cuts].map((from, i) => bytes.subarray(from, cuts[i] ?? bytes.length)).filter((piece) => piece.length > 0);
  }
}
