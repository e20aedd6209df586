/** Seeded chance: the same seed gives the same run, on every machine. */

/** Uniform in [0, 1) from a 32-bit seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d_2b_79_f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_00_00_00_00;
  };
}

/** How long targets take for a request. Each has the mean that it is given. */
export const DISTRIBUTIONS: Readonly<Record<string, (mean: number, random: () => number) => number>> = {
  constant: (mean) => mean,
  exponential: (mean, random) => -Math.log(1 - random()) * mean,
  /** Of the logarithm's standard deviation 1: as web applications measure it. */
  lognormal: (mean, random) => mean * Math.exp(normal(random) - 0.5),
  /** Of shape 2.2: now and then one takes very long. */
  pareto: (mean, random) => ((mean * 1.2) / 2.2) * (1 - random()) ** (-1 / 2.2),
};

/** Standard normal (G. Box and M. Muller, 1958). */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/**
 * Numbers from 0 to `count` − 1, the n-th with probability proportional to 1 ÷ (n + 1)^skew.
 * @param hot the first one's share, if it is to be above that; 0: as it comes
 */
export function zipf(count: number, skew: number, hot: number): (random: () => number) => number {
  const sums = new Float64Array(count);
  let total = 0;
  for (let n = 0; n < count; n++) sums[n] = total += 1 / (n + 1) ** skew;
  return (random) => {
    if (hot > 0 && random() < hot) return 0;
    const wanted = random() * total;
    let low = 0;
    for (let high = count - 1; low < high; ) {
      const middle = (low + high) >> 1;
      if (sums[middle]! > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}
