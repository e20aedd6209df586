/**
 * The snapshot: the checked, compiled, immutable configuration that workers run.
 *
 * Plain data only, so that it crosses the process boundary as it is. What can be derived from it
 * (CIDR matchers, route tables, policy objects) is built by the worker that needs it.
 */
import type { AdminConfig } from "./snapshot/admin.ts";
import type { ExchangesConfig } from "./snapshot/exchanges.ts";
import type { FaultRule } from "./snapshot/faults.ts";
import type { ListenerConfig } from "./snapshot/listener.ts";
import type { AccessLogConfig, LogConfig } from "./snapshot/logs.ts";
import type { MetricsConfig } from "./snapshot/metrics.ts";
import type { RouteConfig } from "./snapshot/route.ts";
import type { TracingConfig } from "./snapshot/tracing.ts";
import type { Milliseconds } from "./snapshot/units.ts";
import type { UpstreamConfig } from "./snapshot/upstream.ts";

export type * from "./snapshot/address.ts";
export type * from "./snapshot/admin.ts";
export type * from "./snapshot/exchanges.ts";
export type * from "./snapshot/faults.ts";
export type * from "./snapshot/health.ts";
export type * from "./snapshot/listener.ts";
export type * from "./snapshot/logs.ts";
export type * from "./snapshot/metrics.ts";
export type * from "./snapshot/resilience.ts";
export type * from "./snapshot/route.ts";
export type * from "./snapshot/supervised.ts";
export type * from "./snapshot/target.ts";
export type * from "./snapshot/tls.ts";
export type * from "./snapshot/tracing.ts";
export type * from "./snapshot/units.ts";
export type * from "./snapshot/upstream.ts";

export interface UserConfig {
  /** As the configuration has it. */
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export interface Snapshot {
  /** Counts up by one with each configuration that was applied. */
  readonly generation: number;
  /** Data-plane processes; "auto" is resolved to the number of cores. */
  readonly workers: number;
  /** How long open exchanges may go on after a stop was asked for. */
  readonly drainTimeout: Milliseconds;
  /** Client connections over all listeners and workers. */
  readonly maxClients: number;
  /** Whom workers, back ends of our own and command checks run as, where root starts Fairlead; absent: as it was started. */
  readonly user?: UserConfig;
  readonly admin?: AdminConfig;
  readonly log: LogConfig;
  /** Absent: there is none. */
  readonly accessLog?: AccessLogConfig;
  /** Absent: nothing is traced. */
  readonly tracing?: TracingConfig;
  /** In the order in which they are asked. Absent: no fault may be injected, whoever asks for it. */
  readonly faults?: readonly FaultRule[];
  readonly metrics: MetricsConfig;
  /** Absent: none are kept. */
  readonly exchanges?: ExchangesConfig;
  readonly listeners: readonly ListenerConfig[];
  /** First match wins, in file order. */
  readonly routes: readonly RouteConfig[];
  readonly upstreams: readonly UpstreamConfig[];
}
