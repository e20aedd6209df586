/** How long requests took: counts in buckets whose bounds grow by a sixteenth of an octave (4 %), from 1 µs up. */

const PER_OCTAVE = 16;
const BUCKETS = 32 * PER_OCTAVE;

export class Latencies {
  private readonly counts = new Float64Array(BUCKETS);
  private total = 0;
  private longest = 0;

  add(milliseconds: number): void {
    const bucket = Math.floor(Math.log2(Math.max(1, milliseconds * 1000)) * PER_OCTAVE);
    this.counts[Math.min(BUCKETS - 1, bucket)]!++;
    this.total++;
    if (milliseconds > this.longest) this.longest = milliseconds;
  }

  /** Upper bounds of the 50th, 99th and 99.9th percentile, and the longest, in ms; 0 when there was none. */
  summary(): [number, number, number, number] {
    const rounded = (milliseconds: number): number => Math.round(milliseconds * 1000) / 1000;
    return [rounded(this.percentile(0.5)), rounded(this.percentile(0.99)), rounded(this.percentile(0.999)), rounded(this.longest)];
  }

  private percentile(part: number): number {
    let left = Math.ceil(this.total * part);
    if (left === 0) return 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.counts[bucket]!;
      if (left <= 0) return Math.min(this.longest, 2 ** ((bucket + 1) / PER_OCTAVE) / 1000);
    }
    return this.longest;
  }
}
