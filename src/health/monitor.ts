/** Who is in rotation: its one owner, and those who tell it what checks and traffic say, at work together in the one process that decides. */
import type { Snapshot } from "../config/snapshot.ts";
import type { Clock, Network } from "../net/network.ts";
import type { Log } from "../observability/log.ts";
import type { Chronicle } from "../observability/timeline.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";
import type { BreakerChange } from "../upstream/circuit-breaker.ts";
import { HealthChecker } from "./checker.ts";
import { Ejection } from "./ejection.ts";
import { Rotation } from "./rotation.ts";

/** Between two looks whether first checks are done, in ms. */
const LOOK_EVERY = 20;

export interface HealthMonitorOptions {
  readonly network: Network;
  readonly scoreboard: Scoreboard;
  readonly log: Log;
  readonly chronicle: Chronicle;
  /** See CheckContext. */
  readonly starter?: () => readonly string[];
}

export class HealthMonitor {
  readonly rotation: Rotation;
  readonly ejection: Ejection;
  readonly checker: HealthChecker;
  private readonly clock: Clock;
  private readonly chronicle: Chronicle;

  constructor({ network, scoreboard, log, chronicle, starter }: HealthMonitorOptions) {
    const { clock } = network;
    this.clock = clock;
    this.chronicle = chronicle;
    this.rotation = new Rotation({ scoreboard, clock, log, chronicle });
    this.ejection = new Ejection({ scoreboard, rotation: this.rotation, clock, log, chronicle });
    this.checker = new HealthChecker({ network, scoreboard, rotation: this.rotation, log, chronicle, passed: (slot, back) => this.ejection.passed(slot, back), ...(starter === undefined ? {} : { starter }) });
  }

  /** These are the targets from now on. */
  apply(snapshot: Snapshot): void {
    this.rotation.apply(snapshot);
    this.checker.apply(snapshot);
    this.ejection.apply(snapshot);
  }

  /** A worker has turned an upstream's circuit, for all of them. */
  turned({ upstream, from, state }: BreakerChange): void {
    const summary = state === "open" ? (from === "closed" ? "Circuit open: too many of its requests failed" : "Circuit open again: a request that went to try failed") : state === "half-open" ? "Circuit half open: a few requests go to try" : "Circuit closed: those that went to try succeeded";
    const cause = from === "closed" ? 0 : (this.chronicle.latest(upstream, "", "circuit-open", "circuit-half-open")?.id ?? 0);
    this.chronicle.record({ kind: `circuit-${state}`, upstream, summary, cause, by: "circuit-breaker" });
  }

  /** Resolves when each target that has a check was checked once, or after `patience` ms. */
  async firstChecks(patience: number): Promise<void> {
    const until = this.clock.precise() + patience;
    const isChecked = (): boolean => this.checker.status().every(({ check, lastResult }) => check === "none" || lastResult !== undefined);
    while (this.clock.precise() < until && !isChecked()) await new Promise<void>((resolve) => this.clock.after(LOOK_EVERY, resolve));
  }

  stop(): void {
    this.checker.stop();
    this.ejection.stop();
    this.rotation.stop();
  }
}
