/** A token bucket: so many at once, and so many more each second. What a peer may cost us without being wrong. */
export class Budget {
  private readonly most: number;
  private readonly perMillisecond: number;
  private left: number;
  private at: number;

  /** @param now clock ms */
  constructor(most: number, perSecond: number, now: number) {
    this.most = most;
    this.perMillisecond = perSecond / 1000;
    this.left = most;
    this.at = now;
  }

  /** Take one. False: it is used up. */
  take(now: number): boolean {
    if (now > this.at) {
      this.left = Math.min(this.most, this.left + (now - this.at) * this.perMillisecond);
      this.at = now;
    }
    this.left--;
    return this.left >= 0;
  }
}
