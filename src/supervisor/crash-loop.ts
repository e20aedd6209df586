/** How long to wait before a dead worker is replaced: not at all, unless workers keep dying. */

/** More deaths than this within the window are a crash loop. */
export const CRASH_DEATHS = 5;
/** In milliseconds. */
export const CRASH_WINDOW = 10_000;
const FIRST_PAUSE = 200;
export const LAST_PAUSE = 10_000;

export class CrashLoop {
  private readonly deaths: number[] = [];
  private lastPause = 0;

  /** Deaths within the window. */
  get recent(): number {
    return this.deaths.length;
  }

  /** @param now ms of a monotonic clock @returns ms to wait; doubles from 200 ms to 10 s while it goes on */
  died(now: number): number {
    const last = this.deaths.at(-1);
    // Calm is a window without a death beyond the pause that we made ourselves.
    if (last !== undefined && now - last > CRASH_WINDOW + this.lastPause) this.lastPause = 0;
    this.deaths.push(now);
    while (this.deaths[0]! < now - CRASH_WINDOW) this.deaths.shift();
    // Long pauses thin the deaths out; that is no recovery.
    if (this.deaths.length <= CRASH_DEATHS && this.lastPause === 0) return 0;
    this.lastPause = Math.min(LAST_PAUSE, Math.max(FIRST_PAUSE, this.lastPause * 2));
    return this.lastPause;
  }
}
