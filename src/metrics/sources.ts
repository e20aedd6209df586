/** Whom metrics are read from; functions tell what is so at the time of each call. */
import type { Snapshot } from "../config/snapshot.ts";
import type { HealthMonitor } from "../health/monitor.ts";
import type { Clock } from "../net/network.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";
import type { ProcessUsage } from "./processes.ts";

export interface MetricsSources {
  readonly version: string;
  /** Wall-clock ms since 1970. */
  readonly startedAt: number;
  readonly clock: Clock;
  readonly scoreboard: Scoreboard;
  readonly snapshot: () => Snapshot;
  readonly health: HealthMonitor;
  /** Those who serve. */
  readonly workers: () => readonly { readonly pid: number; readonly slot: number }[];
  /** Whose use of the machine is told. */
  readonly processes: () => readonly { readonly name: string; readonly pid: number }[];
  /** Workers that died and were replaced. */
  readonly restarts: () => number;
  /** Times as ISO 8601. */
  readonly config: () => { readonly applied: { readonly generation: number; readonly at: string }; readonly rejected: { readonly at: string } | null };
  /** As last measured. */
  readonly usage: readonly ProcessUsage[];
}
