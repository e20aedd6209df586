/** When checks run: spread, jitter, and how many at a time. */
import type { Milliseconds } from "../config/snapshot.ts";

/** A share of the interval by which each gap varies either way, so that checks of many balancers do not fall into step. */
const JITTER = 0.1;
/** Within this time each new target has had its turn, in milliseconds. */
const FIRST_CHECK_WITHIN = 1000;
/** Time between the first checks of new targets, in milliseconds, as long as they are few. */
const FIRST_CHECK_APART = 5;

/** Time until the first check of one of `fresh` targets that came together: a few are asked at once, many over a second. */
export function firstDelay(interval: Milliseconds, fresh: number, random: number): Milliseconds {
  return random * Math.min(interval, FIRST_CHECK_WITHIN, (fresh - 1) * FIRST_CHECK_APART);
}

/** Time from the first check to the second: anywhere in the interval, which spreads the targets evenly over it for good. */
export function secondDelay(interval: Milliseconds, random: number): Milliseconds {
  return random * interval;
}

/** Time from the start of one check to the start of the next: the interval ± 10 %. `random` is in [0, 1). */
export function nextDelay(interval: Milliseconds, random: number): Milliseconds {
  return interval * (1 - JITTER + 2 * JITTER * random);
}

/** Lets at most `limit` tasks run at a time; the others wait in order. */
export class Gate {
  readonly limit: number;
  private inFlight = 0;
  /** A Set, because it keeps the order and lets one be taken out of the middle. */
  private readonly waiting = new Set<() => void>();
  private admitting = false;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Call `start` now or when its turn comes. Each start is to be followed by one `leave`. */
  enter(start: () => void): void {
    this.waiting.add(start);
    this.admit();
  }

  /** Give up a place in the queue; false when it has been called already. */
  withdraw(start: () => void): boolean {
    return this.waiting.delete(start);
  }

  leave(): void {
    this.inFlight -= 1;
    if (this.inFlight < 0) throw new Error("more left the gate than entered");
    this.admit();
  }

  private admit(): void {
    // A task that ends while it starts calls leave() from in here: the loop below goes on for it, the stack does not grow.
    if (this.admitting) return;
    this.admitting = true;
    for (const start of this.waiting) {
      if (this.inFlight >= this.limit) break;
      this.waiting.delete(start);
      this.inFlight += 1;
      start();
    }
    this.admitting = false;
  }
}
