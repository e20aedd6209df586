/** `[upstreams.health_check]` and `[upstreams.outlier_detection]`. */
import type { RawUpstream } from "../schema.ts";
import type { HealthCheckConfig, OutlierConfig } from "../snapshot.ts";
import { commandOf } from "./command.ts";

/** @param isShort it is the short form @param isSecure its targets are spoken to over TLS @param directory relative paths start here */
export function healthCheckOf(raw: NonNullable<RawUpstream["health_check"]>, isShort: boolean, isSecure: boolean, directory: string): HealthCheckConfig {
  return {
    type: raw.type ?? "http",
    interval: raw.interval ?? 5_000,
    timeout: raw.timeout ?? 2_000,
    rise: raw.rise ?? 2,
    fall: raw.fall ?? 3,
    initial: raw.initial ?? "up",
    // In the short form a target without a path of its own is only connected to.
    path: isShort ? "" : (raw.path ?? "/"),
    method: raw.method ?? "GET",
    ...(raw.host === undefined ? {} : { host: raw.host }),
    headers: Object.entries(raw.headers ?? {}).map(([name, value]) => ({ name, value })),
    statuses: raw.statuses ?? [],
    ...(raw.body_contains === undefined ? {} : { bodyContains: raw.body_contains }),
    ...(raw.port === undefined ? {} : { port: raw.port }),
    tls: isSecure && raw.tls !== false,
    service: raw.service ?? "",
    command: commandOf(raw.command ?? [], directory),
    ...(raw.send === undefined ? {} : { send: raw.send }),
  };
}

/** Without its table only what says that a target cannot be reached counts; false: nothing. */
export function outliersOf(raw: RawUpstream["outlier_detection"]): OutlierConfig {
  const table = raw === false || raw === undefined ? {} : raw;
  const off = raw === false;
  const full = raw !== undefined && raw !== false;
  return {
    consecutive5xx: table.consecutive_5xx ?? (full ? 5 : 0),
    consecutiveGateway: off ? 0 : (table.consecutive_gateway ?? 5),
    consecutiveLocal: off ? 0 : (table.consecutive_local ?? 5),
    successRateFactor: table.success_rate_factor ?? (full ? 1.9 : 0),
    successRateMinTargets: table.success_rate_min_targets ?? 5,
    successRateMinRequests: table.success_rate_min_requests ?? 100,
    interval: table.interval ?? 10_000,
    baseEjection: table.base_ejection ?? 30_000,
    maxEjection: table.max_ejection ?? 300_000,
    maxEjected: table.max_ejected ?? 10,
  };
}
