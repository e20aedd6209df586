/** A group of targets, and how requests get to them. */
import type { HealthCheckConfig, HeartbeatConfig, OutlierConfig } from "./health.ts";
import type { CircuitBreakerConfig, HedgeConfig, QueueConfig, RetryConfig } from "./resilience.ts";
import type { SupervisedConfig } from "./supervised.ts";
import type { TargetConfig } from "./target.ts";
import type { UpstreamTls } from "./tls.ts";
import type { Bytes, Milliseconds } from "./units.ts";

export interface UpstreamConfig {
  readonly name: string;
  /** Index of this upstream's shared words in the scoreboard; kept over reloads. */
  readonly slot: number;
  readonly policy: PolicyConfig;
  /** What `request.key` is, and what the hash policies go by. */
  readonly hash: HashConfig;
  readonly sticky?: StickyConfig;
  /** The Host header that targets see: the client's, the target's address, or a fixed text. */
  readonly hostHeader: { readonly kind: "client" } | { readonly kind: "target" } | { readonly kind: "fixed"; readonly value: string };
  /** What its targets speak: HTTP/1.1; HTTP/2 over TLS or in the clear; over TLS whichever they choose. */
  readonly protocol: "h1" | "h2" | "h2c" | "auto";
  /** Streams on one HTTP/2 connection; the target may allow fewer. */
  readonly maxStreams: number;
  readonly timeouts: UpstreamTimeouts;
  /** Idle connections kept for each target and worker. */
  readonly poolSize: number;
  readonly retry: RetryConfig;
  readonly queue: QueueConfig;
  readonly hedge?: HedgeConfig;
  readonly circuitBreaker?: CircuitBreakerConfig;
  /** Limits on a reply's head: more is 502. */
  readonly limits: { readonly headerBytes: Bytes; readonly headerCount: number };
  /** Absent: cleartext. */
  readonly tls?: UpstreamTls;
  /** What each connection to a target begins with; absent: nothing of the kind. */
  readonly proxyProtocol?: "v1" | "v2";
  readonly healthCheck?: HealthCheckConfig;
  readonly outliers: OutlierConfig;
  /** Percent of a tier's targets that must be healthy; below it all are used; 0: never. */
  readonly panicThreshold: number;
  /** A tier takes this many times its healthy share of the traffic, at most all of it. */
  readonly overprovisioning: number;
  /** How long a target that comes back takes to reach its whole weight; 0: at once. */
  readonly slowStart: Milliseconds;
  /** How long a draining target may keep what is open, and its sticky clients. */
  readonly drainTimeout: Milliseconds;
  readonly heartbeat?: HeartbeatConfig;
  readonly supervised?: SupervisedConfig;
  readonly targets: readonly TargetConfig[];
}

export interface UpstreamTimeouts {
  readonly connect: Milliseconds;
  /** From the request's last byte to the reply's first (time to first byte). */
  readonly response: Milliseconds;
  /** The same for one attempt of several: after it another target is tried; 0: off. */
  readonly attempt: Milliseconds;
  /** Between two reads of a reply's body, and between two writes of a request body that the target does not read. */
  readonly body: Milliseconds;
  /** A pooled connection without a request. */
  readonly idle: Milliseconds;
}

export type PolicyConfig =
  | { readonly kind: "builtin"; readonly name: string }
  /** `version` changes when the file does, so that a reload loads the new code. */
  | { readonly kind: "module"; readonly path: string; readonly version: string; readonly timeout: Milliseconds };

/** What of a request is hashed. */
export type HashKey =
  | { readonly kind: "client-ip" | "uri" | "path" }
  | { readonly kind: "header" | "cookie" | "query"; readonly name: string };

export interface HashConfig {
  readonly key: HashKey;
  readonly method: "ketama" | "maglev" | "rendezvous";
  /** No target gets more than this many times its share of the open requests; 0: no bound. */
  readonly boundedLoad: number;
}

export interface StickyConfig {
  readonly cookie: string;
  readonly path: string;
  readonly domain?: string;
  /** Seconds; 0: until the browser closes. */
  readonly maxAge: number;
  readonly secure: boolean;
  readonly httpOnly: boolean;
  readonly sameSite: "strict" | "lax" | "none";
  /** Key of the signature; the same on every node of a fleet. */
  readonly secret: string;
  /** Clients of a draining target stay until its deadline, or move at once. */
  readonly whileDraining: "stay" | "move";
}
