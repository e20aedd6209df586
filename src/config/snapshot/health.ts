/** How it is known who can serve. */
import type { Milliseconds } from "./units.ts";

export interface HealthCheckConfig {
  readonly type: "http" | "tcp" | "grpc" | "command" | "agent";
  readonly interval: Milliseconds;
  readonly timeout: Milliseconds;
  /** Successes in a row that bring a target back. */
  readonly rise: number;
  /** Failures in a row that take it out. */
  readonly fall: number;
  /** In rotation before the first check, or only after it. */
  readonly initial: "up" | "down";
  /** http only. */
  readonly path: string;
  readonly method: string;
  /** The Host field; undefined: the target's address. */
  readonly host?: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  /** Statuses that pass; empty: every 2xx and 3xx. */
  readonly statuses: readonly number[];
  /** Text that the body's first 64 KiB must contain. */
  readonly bodyContains?: string;
  /** Another port to check than the one that is balanced to. */
  readonly port?: number;
  /** As the upstream's tls says; http, tcp and grpc only. */
  readonly tls: boolean;
  /** grpc only: the service asked for; "": the server as a whole (grpc.health.v1). */
  readonly service: string;
  /** command only: program and arguments; exit code 0 passes. */
  readonly command: readonly string[];
  /** agent only: a line to send first. */
  readonly send?: string;
}

/** Passive health: what the traffic says. 0 for a count: that detector is off. */
export interface OutlierConfig {
  /** Replies of 500 to 599 and failures in a row. */
  readonly consecutive5xx: number;
  /** Replies of 502, 503, 504 and failures in a row. */
  readonly consecutiveGateway: number;
  /** Connects that fail, resets and timeouts in a row. */
  readonly consecutiveLocal: number;
  /** Success rate below mean − factor × standard deviation; 0: off. */
  readonly successRateFactor: number;
  /** Targets with enough requests that there must be for the success rate to mean something. */
  readonly successRateMinTargets: number;
  readonly successRateMinRequests: number;
  readonly interval: Milliseconds;
  readonly baseEjection: Milliseconds;
  readonly maxEjection: Milliseconds;
  /** Percent of the targets, but at least one. */
  readonly maxEjected: number;
}

export interface HeartbeatConfig {
  /** When a back end does not say how long its beat is good for. */
  readonly ttl: Milliseconds;
  /** Targets that are not in the file may join. */
  readonly register: boolean;
}
