/** Seeded chance: a failure can be played again from its seed. */

/** Uniform in [0, 1) from a 32-bit seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

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
