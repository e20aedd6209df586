/** When a request is tried again, and how long after. */
import type { RetryConfig, UpstreamConfig } from "../config/snapshot.ts";
import type { Cause } from "../observability/cause.ts";

/** Connects that fail cost nothing to repeat elsewhere; this bounds how many for one request. */
export const MAX_CONNECT_ATTEMPTS = 8;

/** A target that refused has done no work, so going elsewhere is no further load: neither pause nor budget. */
export type RetryHow = "no" | "at once" | "within budget";

/**
 * @param attempts so far
 * @param repeatable it may be sent once more though the target may have done it: idempotent, and all of its bytes are here
 */
export function mayRetry({ retry, timeouts }: UpstreamConfig, cause: Cause, attempts: number, repeatable: boolean): RetryHow {
  const left = attempts <= retry.retries;
  switch (cause) {
    case "connect-refused":
    case "connect-failed":
    case "tls-verify-failed":
    case "tls-connect-failed":
      return retry.onConnectFailure && retry.retries > 0 && attempts < MAX_CONNECT_ATTEMPTS ? "at once" : "no";
    case "connect-timeout":
      return retry.onConnectFailure && left ? "at once" : "no";
    case "stream-refused":
      return left && repeatable ? "at once" : "no";
    case "target-closed":
    case "target-reset":
      return retry.onReset && left && repeatable ? "within budget" : "no";
    case "response-timeout":
      // The whole time that the config gives to an answer is spent, unless an attempt has its own.
      return retry.onTimeout && timeouts.attempt > 0 && left && repeatable ? "within budget" : "no";
    default:
      return "no";
  }
}

/** @param repeatable it may be sent once more though the target may have done it */
export function mayRetryStatus(retry: RetryConfig, status: number, attempts: number, repeatable: boolean): boolean {
  return repeatable && retry.statuses.length > 0 && attempts <= retry.retries && retry.statuses.includes(status);
}

/** Whoever names a gRPC status says that a call that ends so may be made once more, whatever it does. */
export function mayRetryCall(retry: RetryConfig, grpcStatus: number, attempts: number): boolean {
  return attempts <= retry.retries && retry.grpcStatuses.includes(grpcStatus);
}

/**
 * Exponential, with full jitter (M. Brooker, "Exponential Backoff And Jitter", 2015).
 * @param random uniform in [0, 1)
 * @returns ms; 0: at once
 */
export function backoff(retry: RetryConfig, attempts: number, random: number): number {
  return Math.round(random * Math.min(retry.backoffMax, retry.backoff * 2 ** (attempts - 1)));
}
