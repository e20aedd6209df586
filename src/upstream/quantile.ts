/**
 * A quantile of recent durations in little memory: a histogram with 8 buckets to each doubling (9 % wide), whose counts are halved from time to time.
 * The idea of HdrHistogram (G. Tene), with forgetting.
 */

const PER_DOUBLING = 8;
/** From 2^-6 ms (16 µs) to 2^18 ms (4 minutes). */
const LOWEST = -6;
const DOUBLINGS = 24;
/** With fewer observations nothing is known. */
const LEAST = 50;
/** Counts are halved when there are so many. */
const MOST = 10_000;

export class RecentQuantile {
  private readonly counts = new Uint32Array(PER_DOUBLING * DOUBLINGS);
  private total = 0;

  observe(milliseconds: number): void {
    const place = Math.floor((Math.log2(Math.max(milliseconds, 2 ** LOWEST)) - LOWEST) * PER_DOUBLING);
    this.counts[Math.min(place, this.counts.length - 1)]!++;
    this.total++;
    if (this.total >= MOST) this.forget();
  }

  private forget(): void {
    this.total = 0;
    for (let i = 0; i < this.counts.length; i++) {
      this.counts[i] = this.counts[i]! >>> 1;
      this.total += this.counts[i]!;
    }
  }

  /** Upper end of the bucket in which it lies, in ms; undefined while too little is known. @param percent 0 to 100 */
  at(percent: number): number | undefined {
    if (this.total < LEAST) return undefined;
    let left = (this.total * percent) / 100;
    for (let i = 0; i < this.counts.length; i++) {
      left -= this.counts[i]!;
      if (left <= 0) return 2 ** ((i + 1) / PER_DOUBLING + LOWEST);
    }
    return 2 ** (DOUBLINGS + LOWEST);
  }
}
