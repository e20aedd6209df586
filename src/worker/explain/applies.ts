/** The rules that a request would be under: timeouts, retries, hedging, limits. */
import type { Applies } from "../../admin/explained.ts";
import type { ListenerConfig } from "../../config/snapshot.ts";
import { MAX_CONNECT_ATTEMPTS } from "../../upstream/retry.ts";
import type { Upstream } from "../../upstream/upstream.ts";

/** What the request has to do with them. */
export interface Manner {
  /** ms; 0: no limit. */
  readonly whole: number;
  readonly idempotent: boolean;
  readonly upgrade: boolean;
  /** It is one, and not a connection or a client of udp. */
  readonly isRequest: boolean;
}

export function appliesOf({ protocol, timeouts: own, limits }: ListenerConfig, { config, durations }: Upstream, { whole, idempotent, upgrade, isRequest }: Manner): Applies {
  const { timeouts, retry, hedge } = config;
  const idle = isRequest ? timeouts.idle : protocol === "udp" ? own.udpIdle : own.tunnelIdle;
  const usual = hedge === undefined ? undefined : durations?.at(hedge.percentile);
  const hedged = idempotent && !upgrade;
  return {
    timeouts: { request_ms: whole, connect_ms: timeouts.connect, response_ms: isRequest ? timeouts.response : 0, attempt_ms: isRequest ? timeouts.attempt : 0, body_ms: isRequest ? timeouts.body : 0, idle_ms: idle },
    retries: {
      connect_attempts: protocol !== "udp" && retry.onConnectFailure && retry.retries > 0 ? MAX_CONNECT_ATTEMPTS : 1,
      further_attempts: protocol === "udp" ? 0 : retry.retries,
      idempotent,
      on: retry.retries === 0 || protocol === "udp" ? [] : triggers(retry, idempotent, isRequest, timeouts.attempt),
      backoff_ms: retry.backoff,
      backoff_max_ms: retry.backoffMax,
      note: isRequest && !idempotent ? "the method is not idempotent: only what no target can have begun is tried again" : "",
    },
    hedge:
      hedge === undefined || !isRequest
        ? null
        : {
            percentile: hedge.percentile,
            after_ms: !hedged || usual === undefined ? null : Math.round(Math.max(hedge.minDelay, usual)),
            note: !hedged ? "a request that is not idempotent, or asks for another protocol, is not hedged" : usual === undefined ? "too few requests were seen to know how long they take" : "",
          },
    limits: { header_bytes: limits.headerBytes, header_count: limits.headerCount, request_line_bytes: limits.requestLineBytes, body_bytes: limits.bodyBytes, reply_header_bytes: config.limits.headerBytes },
  };
}

function triggers(retry: Upstream["config"]["retry"], idempotent: boolean, isRequest: boolean, attempt: number): string[] {
  const on: string[] = [];
  if (!isRequest) return on;
  if (idempotent && retry.onReset) on.push("reset");
  if (idempotent && retry.onTimeout && attempt > 0) on.push("timeout of an attempt");
  if (idempotent) on.push(...retry.statuses.map((status) => `status ${status}`));
  return [...on, ...retry.grpcStatuses.map((status) => `grpc-status ${status}`)];
}
