/**
 * Stops asking an upstream that fails: closed (all goes through), open (503 at once), half-open (a few go through to try).
 *
 * M. Nygard, "Release It!" (2007). Its state is in the scoreboard, so that all workers open and close as one, and each change is made
 * by whichever worker is first (compare and exchange); none depends on the supervisor.
 */
import type { CircuitBreakerConfig } from "../config/snapshot.ts";
import { BREAKER_FAILURES, BREAKER_PROBES, BREAKER_REQUESTS, BREAKER_SINCE, BREAKER_STATE, BREAKER_WINDOW, type Scoreboard } from "../scoreboard/scoreboard.ts";
import type { LatencyClock } from "./latency.ts";

export const BreakerState = { CLOSED: 0, OPEN: 1, HALF_OPEN: 2 } as const;
export const BREAKER_STATES = ["closed", "open", "half-open"] as const;
export type BreakerStateName = (typeof BREAKER_STATES)[number];

/** A circuit has opened, closed, or begun to try. */
export interface BreakerChange {
  readonly upstream: string;
  readonly from: BreakerStateName;
  readonly state: BreakerStateName;
}

/** A probe that was never answered for is given up after as many times `openFor`: its worker may have died. */
const LOST_PROBES = 2;

/** May a request go through? As a probe: to try whether the upstream has recovered. */
export type Admission = "no" | "yes" | "probe";

export class CircuitBreaker {
  private readonly config: CircuitBreakerConfig;
  private readonly words: Int32Array;
  private readonly clock: LatencyClock;
  private readonly changed: (state: BreakerStateName, from: BreakerStateName) => void;
  private readonly at: (word: number) => number;

  /** @param changed called in the worker that made the change */
  constructor(config: CircuitBreakerConfig, board: Scoreboard, upstream: number, clock: LatencyClock, changed: (state: BreakerStateName, from: BreakerStateName) => void) {
    this.config = config;
    this.words = board.words;
    this.clock = clock;
    this.changed = changed;
    this.at = (word) => board.upstreamWordAt(upstream, word);
  }

  /**
   * Does it let a request through? "probe" takes one of the places that half-open has: `ended` or `probeUnused` must follow. When `openFor`
   * is over, whoever asks first makes it half-open.
   */
  admits(): Admission {
    const { words } = this;
    const state = words[this.at(BREAKER_STATE)]!;
    if (state === BreakerState.CLOSED) return "yes";
    const due = this.isDue(state);
    if (state === BreakerState.OPEN) {
      if (!due || !this.turn(BreakerState.OPEN, BreakerState.HALF_OPEN)) return "no";
    } else if (due) this.turn(BreakerState.HALF_OPEN, BreakerState.HALF_OPEN);
    if (Atomics.sub(words, this.at(BREAKER_PROBES), 1) > 0) return "probe";
    Atomics.add(words, this.at(BREAKER_PROBES), 1);
    return "no";
  }

  /** It is time for new probes. */
  private isDue(state: number): boolean {
    const age = this.age(BREAKER_SINCE);
    return state === BreakerState.OPEN ? age >= this.config.openFor : age > this.config.openFor * LOST_PROBES;
  }

  /** What `admits` would say; takes no place, and changes nothing. */
  get wouldAdmit(): Admission {
    const state = this.words[this.at(BREAKER_STATE)]!;
    if (state === BreakerState.CLOSED) return "yes";
    return this.isDue(state) || (state === BreakerState.HALF_OPEN && this.words[this.at(BREAKER_PROBES)]! > 0) ? "probe" : "no";
  }

  get state(): (typeof BREAKER_STATES)[number] {
    return BREAKER_STATES[this.words[this.at(BREAKER_STATE)] as 0 | 1 | 2];
  }

  /** How long a client that is turned away should wait, in ms. */
  get retryAfter(): number {
    return this.words[this.at(BREAKER_STATE)] === BreakerState.OPEN ? Math.max(0, this.config.openFor - this.age(BREAKER_SINCE)) : this.config.openFor;
  }

  /** A request that went through has ended. @param probe while the circuit is half open only these count: what began before says nothing about now */
  ended(failed: boolean, probe: boolean): void {
    const { words, config } = this;
    switch (words[this.at(BREAKER_STATE)]) {
      case BreakerState.HALF_OPEN:
        if (!probe) return;
        if (failed) this.turn(BreakerState.HALF_OPEN, BreakerState.OPEN);
        else if (Atomics.add(words, this.at(BREAKER_REQUESTS), 1) + 1 >= config.probes) this.turn(BreakerState.HALF_OPEN, BreakerState.CLOSED);
        return;
      case BreakerState.CLOSED: {
        this.roll();
        const requests = Atomics.add(words, this.at(BREAKER_REQUESTS), 1) + 1;
        const failures = failed ? Atomics.add(words, this.at(BREAKER_FAILURES), 1) + 1 : 0;
        if (failed && requests >= config.minRequests && (failures / requests) * 100 >= config.failureRate) this.turn(BreakerState.CLOSED, BreakerState.OPEN);
        return;
      }
      default:
        return;
    }
  }

  /** A probe came to nothing: another one may go. */
  probeUnused(): void {
    if (this.words[this.at(BREAKER_STATE)] === BreakerState.HALF_OPEN) Atomics.add(this.words, this.at(BREAKER_PROBES), 1);
  }

  /** Count in a new window when the last one is over. */
  private roll(): void {
    const { words } = this;
    const began = words[this.at(BREAKER_WINDOW)]!;
    if (((this.clock.stamp - began) | 0) < this.config.window && began !== 0) return;
    if (Atomics.compareExchange(words, this.at(BREAKER_WINDOW), began, this.clock.stamp || 1) !== began) return;
    Atomics.store(words, this.at(BREAKER_REQUESTS), 0);
    Atomics.store(words, this.at(BREAKER_FAILURES), 0);
  }

  private age(word: number): number {
    // Another worker's clock may be a little ahead.
    return Math.max(0, (this.clock.stamp - this.words[this.at(word)]!) | 0);
  }

  /** @returns true in the one worker that made the change */
  private turn(from: number, to: number): boolean {
    const { words } = this;
    const since = words[this.at(BREAKER_SINCE)]!;
    const { stamp } = this.clock;
    // Before the state: who sees the new one must not take the old moment for its beginning, or find no probes.
    if (from !== to) Atomics.store(words, this.at(BREAKER_SINCE), stamp);
    if (from === BreakerState.OPEN) Atomics.store(words, this.at(BREAKER_PROBES), this.config.probes);
    // Who renews half-open changes nothing but the moment, and must win by that.
    const won = from === to ? Atomics.compareExchange(words, this.at(BREAKER_SINCE), since, stamp) === since : Atomics.compareExchange(words, this.at(BREAKER_STATE), from, to) === from;
    if (!won) return false;
    Atomics.store(words, this.at(BREAKER_SINCE), stamp);
    Atomics.store(words, this.at(BREAKER_REQUESTS), 0);
    Atomics.store(words, this.at(BREAKER_FAILURES), 0);
    Atomics.store(words, this.at(BREAKER_WINDOW), 0);
    if (from === to) Atomics.store(words, this.at(BREAKER_PROBES), this.config.probes);
    if (from !== to) this.changed(BREAKER_STATES[to as 0 | 1 | 2], BREAKER_STATES[from as 0 | 1 | 2]);
    return true;
  }
}
