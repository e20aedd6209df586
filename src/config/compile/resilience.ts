/** Of an upstream: what is done about requests that fail. */
import type { RawUpstream } from "../schema.ts";
import type { CircuitBreakerConfig, RetryConfig } from "../snapshot.ts";

/** Those of `retry_on`; https://grpc.io/docs/guides/status-codes. */
const GRPC_STATUSES: Readonly<Record<string, number>> = { "grpc-cancelled": 1, "grpc-deadline-exceeded": 4, "grpc-resource-exhausted": 8, "grpc-internal": 13, "grpc-unavailable": 14 };

export function retryOf(raw: RawUpstream): RetryConfig {
  const { retry_on: retryOn = ["connect-failure", "reset", "timeout"] } = raw;
  return {
    retries: raw.retries ?? 1,
    onConnectFailure: retryOn.includes("connect-failure"),
    onReset: retryOn.includes("reset"),
    onTimeout: retryOn.includes("timeout"),
    statuses: retryOn.filter((what) => typeof what === "number"),
    grpcStatuses: retryOn.flatMap((what) => GRPC_STATUSES[what] ?? []),
    backoff: raw.retry_backoff ?? 25,
    backoffMax: raw.retry_backoff_max ?? 250,
    buffer: raw.retry_buffer ?? 64 * 1024,
    budget: raw.retry_budget ?? 20,
    budgetMin: raw.retry_budget_min ?? 3,
  };
}

export function circuitBreakerOf(raw: NonNullable<RawUpstream["circuit_breaker"]>): CircuitBreakerConfig {
  return {
    failureRate: raw.failure_rate ?? 50,
    minRequests: raw.min_requests ?? 20,
    window: raw.window ?? 10_000,
    openFor: raw.open_for ?? 5_000,
    probes: raw.probes ?? 3,
  };
}
