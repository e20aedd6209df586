/**
 * The duration below which so many percent of what a histogram counted lie.
 *
 * Within a bucket they are taken to be spread evenly, as Prometheus' histogram_quantile does; of those in the last bucket, which has no upper
 * bound, only its lower one is known.
 * @param counts in each bucket; one more than `bounds`
 * @param bounds upper bounds of the buckets, in ms
 * @returns ms; undefined: nothing was counted
 */
export function percentile(counts: ArrayLike<number>, bounds: readonly number[], percent: number): number | undefined {
  let total = 0;
  for (let bucket = 0; bucket < counts.length; bucket++) total += counts[bucket]!;
  if (total === 0) return undefined;
  let left = (percent / 100) * total;
  for (const [bucket, bound] of bounds.entries()) {
    const count = counts[bucket]!;
    if (left <= count) {
      const lower = bucket === 0 ? 0 : bounds[bucket - 1]!;
      return lower + (bound - lower) * (left / count);
    }
    left -= count;
  }
  return bounds.at(-1)!;
}
