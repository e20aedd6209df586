/** One of an upstream's addresses. */
import type { Address } from "./address.ts";

export interface TargetConfig {
  readonly address: Address;
  /** The address as written: the target's name in logs, metrics and the API. */
  readonly name: string;
  readonly weight: number;
  /** Index of this target's row in the scoreboard; kept over reloads. */
  readonly slot: number;
  /** Where it runs; "": not said. */
  readonly zone: string;
  /** Targets of tier 0 are used before those of tier 1, and so on: from priority and zone. */
  readonly tier: number;
  /** Open connections and requests over all workers; 0: no limit. */
  readonly maxConnections: number;
  readonly maxRequests: number;
  /** No new requests. */
  readonly drain: boolean;
  /** Own path for the http health check (`health_check_endpoint` of the short form). */
  readonly healthPath?: string;
}
