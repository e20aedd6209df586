/**
 * One of many at random, each with its weight, in the time of two array reads.
 *
 * The alias method: A. J. Walker (1977), built in linear time as in M. D. Vose, "A linear algorithm for generating random numbers with a
 * given distribution" (IEEE Trans. Software Eng. 17(9), 1991).
 */
export class AliasTable {
  private readonly length: number;
  /** How likely an index stands for itself; else for its alias. */
  private readonly keep: Float64Array;
  private readonly alias: Uint32Array;

  constructor(weights: readonly number[]) {
    const { length } = weights;
    const mean = weights.reduce((sum, weight) => sum + weight, 0) / length;
    this.length = length;
    this.keep = Float64Array.from(weights, (weight) => weight / mean);
    this.alias = new Uint32Array(length);
    const small: number[] = [];
    const large: number[] = [];
    for (let i = 0; i < length; i++) (this.keep[i]! < 1 ? small : large).push(i);
    while (small.length > 0 && large.length > 0) {
      const less = small.pop()!;
      const more = large.at(-1)!;
      this.alias[less] = more;
      this.keep[more]! -= 1 - this.keep[less]!;
      if (this.keep[more]! < 1) small.push(large.pop()!);
    }
    // What is left is 1 but for rounding.
    for (const i of [...small, ...large]) this.keep[i] = 1;
  }

  /** @param random uniform in [0, 1) */
  at(random: number): number {
    const place = random * this.length;
    const index = Math.floor(place);
    return place - index < this.keep[index]! ? index : this.alias[index]!;
  }
}

/** Undefined: all weights are equal, so any index is as likely as another. */
export function aliasTable(targets: readonly { readonly weight: number }[]): AliasTable | undefined {
  const first = targets[0]!.weight;
  return targets.every(({ weight }) => weight === first) ? undefined : new AliasTable(targets.map(({ weight }) => weight));
}
