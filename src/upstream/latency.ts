/**
 * A target's latency as all workers see it: the peak-sensitive moving average of Finagle's `PeakEwma`. It jumps to what is higher at once, comes
 * down with a time constant of 10 s, and goes on coming down while nobody asks.
 */
import type { Clock } from "../net/network.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";

/** Time constant, in ms. */
const DECAY = 10_000;
/** A failure counts as this many times the latency so far, … */
const PENALTY = 10;
/** … and as this many ms at least: what fails fast must not look quick. */
const LEAST_PENALTY = 100;

/** The same moment has about the same number in all processes, which each have a monotonic clock of their own. */
export class LatencyClock {
  private readonly clock: Clock;
  private readonly offset: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.offset = Math.floor(clock.wall() - clock.now);
  }

  /** Milliseconds, modulo 2^32, as a signed number. */
  get stamp(): number {
    return (this.clock.now + this.offset) | 0;
  }
}

/** In ms; 0: not known, or not heard of for so long that it says nothing. */
export function decayed(board: Scoreboard, slot: number, stamp: number): number {
  const latency = board.latency(slot);
  if (latency === 0) return 0;
  const age = (stamp - board.latencyStamp(slot)) | 0;
  return age <= 0 ? latency : latency * Math.exp(-age / DECAY);
}

/** One exchange took this long. */
export function observe(board: Scoreboard, slot: number, stamp: number, milliseconds: number, failed: boolean): void {
  const known = board.latency(slot);
  const seen = failed ? Math.max(milliseconds, known * PENALTY, LEAST_PENALTY) : milliseconds;
  if (seen >= known) {
    board.setLatency(slot, Math.min(seen, 3_600_000), stamp);
    return;
  }
  const age = (stamp - board.latencyStamp(slot)) | 0;
  // What is lower counts by the time that has passed, and within a tick none has.
  if (age === 0) return;
  const weight = age < 0 ? 1 : Math.exp(-age / DECAY);
  board.setLatency(slot, known * weight + seen * (1 - weight), stamp);
}
