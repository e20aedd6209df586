/** Error lines of the data plane, at most so many a second of each cause: a flood of bad requests must not become a flood of log. */
import type { Clock } from "../net/network.ts";
import type { Cause } from "./cause.ts";
import type { Log } from "./log.ts";

/** Lines of one cause in one second. */
const PER_SECOND = 20;

interface Window {
  since: number;
  lines: number;
  suppressed: number;
}

export class LimitedLog {
  private readonly log: Log;
  private readonly clock: Clock;
  private readonly windows = new Map<Cause, Window>();

  constructor(log: Log, clock: Clock) {
    this.log = log;
    this.clock = clock;
  }

  /** May a line of this cause be written now? Ask before making its fields. */
  allows(cause: Cause): boolean {
    const { now } = this.clock;
    let window = this.windows.get(cause);
    if (window === undefined) this.windows.set(cause, (window = { since: now, lines: 0, suppressed: 0 }));
    if (now - window.since >= 1000) {
      if (window.suppressed > 0) this.log.warn({ cause, suppressed: window.suppressed }, "Similar lines were left out");
      window.since = now;
      window.lines = 0;
      window.suppressed = 0;
    }
    if (window.lines < PER_SECOND) {
      window.lines++;
      return true;
    }
    window.suppressed++;
    return false;
  }

  write(level: "debug" | "info" | "warn", fields: object, message: string): void {
    this.log[level](fields, message);
  }
}
