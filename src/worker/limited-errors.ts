/** Says what nobody caught, but not more often than a log can take: a policy may fail at every request. */
import type { Log } from "../observability/log.ts";

/** Lines within a second. */
const PER_SECOND = 5;

export class LimitedErrors {
  private readonly log: Log;
  private second = 0;
  private lines = 0;

  constructor(log: Log) {
    this.log = log;
  }

  say(error: unknown): void {
    const second = Math.floor(performance.now() / 1_000);
    if (second !== this.second) {
      this.second = second;
      this.lines = 0;
    }
    if (++this.lines > PER_SECOND) return;
    const where = error instanceof Error ? (error.stack ?? String(error)) : String(error);
    this.log.error({ where }, "Nobody caught this error (a policy's, perhaps); serving on");
  }
}
