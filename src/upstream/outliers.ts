/**
 * Counts failures in a row of each target, over all workers, and reports the one that has too many. Whether it is ejected is the
 * supervisor's to decide (health/ejection.ts), which sees all targets.
 *
 * The detectors are those of Envoy's outlier detection: 5xx, gateway failures (502, 503, 504), and failures of our own making
 * (connects, resets, timeouts) apart.
 */
import type { OutlierConfig } from "../config/snapshot.ts";
import type { RoutingOutcome } from "../policies/policy.ts";
import { CONSECUTIVE_5XX, CONSECUTIVE_GATEWAY, CONSECUTIVE_LOCAL, type Scoreboard } from "../scoreboard/scoreboard.ts";

/** In the order in which ejections are counted. */
export const DETECTORS = ["consecutive-5xx", "consecutive-gateway", "consecutive-local", "success-rate"] as const;
export type Detector = (typeof DETECTORS)[number];

/** A target has failed too often in a row. */
export interface OutlierReport {
  readonly upstream: string;
  readonly target: string;
  readonly detector: Detector;
}

export class Outliers {
  private readonly config: OutlierConfig;
  private readonly board: Scoreboard;
  private readonly report: (slot: number, detector: Detector) => void;

  constructor(config: OutlierConfig, board: Scoreboard, report: (slot: number, detector: Detector) => void) {
    this.config = config;
    this.board = board;
    this.report = report;
  }

  ended(slot: number, { failed, status }: RoutingOutcome): void {
    const local = failed && status === 0;
    const gateway = status === 502 || status === 503 || status === 504;
    const any = status >= 500 || (failed && !local);
    const { consecutive5xx, consecutiveGateway, consecutiveLocal } = this.config;
    if (local) this.count(slot, CONSECUTIVE_LOCAL, consecutiveLocal, "consecutive-local");
    else this.reset(slot, CONSECUTIVE_LOCAL);
    // A target that could not be asked has answered neither well nor badly.
    if (local) return;
    if (gateway) this.count(slot, CONSECUTIVE_GATEWAY, consecutiveGateway, "consecutive-gateway");
    else this.reset(slot, CONSECUTIVE_GATEWAY);
    if (any) this.count(slot, CONSECUTIVE_5XX, consecutive5xx, "consecutive-5xx");
    else this.reset(slot, CONSECUTIVE_5XX);
  }

  private count(slot: number, word: number, limit: number, detector: Detector): void {
    if (limit === 0) return;
    const at = this.board.statWordAt(slot, word);
    if (Atomics.add(this.board.words, at, 1) + 1 < limit) return;
    Atomics.store(this.board.words, at, 0);
    this.report(slot, detector);
  }

  /** Success is the rule: it is read, and written only where there is something to reset. */
  private reset(slot: number, word: number): void {
    const at = this.board.statWordAt(slot, word);
    if (this.board.words[at] !== 0) Atomics.store(this.board.words, at, 0);
  }
}
