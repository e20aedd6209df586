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

/** A probe that was never answered for is given up after as many times `openFor`: its worker may have died. */
const LOST_PROBES = 2;

/** The clock is not more exact than this, in ms. Nothing begins so shortly before half-open: the circuit was open. */
const COARSE = 50;

export class CircuitBreaker {
  private readonly config: CircuitBreakerConfig;
  private readonly words: Int32Array;
  private readonly clock: LatencyClock;
  private readonly changed: (state: (typeof BREAKER_STATES)[number]) => void;
  private readonly at: (word: number) => number;

  /** @param changed called in the worker that made the change */
  constructor(config: CircuitBreakerConfig, board: Scoreboard, upstream: number, clock: LatencyClock, changed: (state: (typeof BREAKER_STATES)[number]) => void) {
    this.config = config;
    this.words = board.words;
    this.clock = clock;
    this.changed = changed;
    this.at = (word) => board.upstreamWordAt(upstream, word);
  }

  /** May a request go through now? In half-open this takes one of the places for it. */
  admits(): boolean {
    const { words } = this;
    const state = words[this.at(BREAKER_STATE)]!;
    if (state === BreakerState.CLOSED) return true;
    const age = this.age(BREAKER_SINCE);
    if (state === BreakerState.OPEN) {
      if (age < this.config.openFor || !this.turn(BreakerState.OPEN, BreakerState.HALF_OPEN)) return false;
    } else if (age > this.config.openFor * LOST_PROBES) this.turn(BreakerState.HALF_OPEN, BreakerState.HALF_OPEN);
    if (Atomics.sub(words, this.at(BREAKER_PROBES), 1) > 0) return true;
    Atomics.add(words, this.at(BREAKER_PROBES), 1);
    return false;
  }

  /** How long a client that is turned away should wait, in ms. */
  get retryAfter(): number {
    return this.words[this.at(BREAKER_STATE)] === BreakerState.OPEN ? Math.max(0, this.config.openFor - this.age(BREAKER_SINCE)) : this.config.openFor;
  }

  /** A request that went through has ended. @param milliseconds that it took */
  ended(failed: boolean, milliseconds: number): void {
    const { words, config } = this;
    switch (words[this.at(BREAKER_STATE)]) {
      case BreakerState.HALF_OPEN:
        if (!this.isProbe(milliseconds)) return;
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

  /** A request that went through has ended without a word of the target's: if it was a probe, another one may go. */
  endedEarly(milliseconds: number): void {
    if (this.words[this.at(BREAKER_STATE)] === BreakerState.HALF_OPEN && this.isProbe(milliseconds)) Atomics.add(this.words, this.at(BREAKER_PROBES), 1);
  }

  /** It began after the circuit was half open; what began before it opened says nothing about now. */
  private isProbe(milliseconds: number): boolean {
    return milliseconds <= this.age(BREAKER_SINCE) + COARSE;
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
    // Who renews half-open changes nothing but the moment, and must win by that.
    const won = from === to ? Atomics.compareExchange(words, this.at(BREAKER_SINCE), since, stamp) === since : Atomics.compareExchange(words, this.at(BREAKER_STATE), from, to) === from;
    if (!won) return false;
    Atomics.store(words, this.at(BREAKER_SINCE), stamp);
    Atomics.store(words, this.at(BREAKER_REQUESTS), 0);
    Atomics.store(words, this.at(BREAKER_FAILURES), 0);
    Atomics.store(words, this.at(BREAKER_WINDOW), 0);
    Atomics.store(words, this.at(BREAKER_PROBES), to === BreakerState.HALF_OPEN ? this.config.probes : 0);
    if (from !== to) this.changed(BREAKER_STATES[to as 0 | 1 | 2]);
    return true;
  }
}
