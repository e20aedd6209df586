/**
 * The snapshot: the checked, compiled, immutable configuration that workers run.
 *
 * Plain data only, so that it crosses the process boundary as it is. What can be derived from it
 * (CIDR matchers, route tables, policy objects) is built by the worker that needs it.
 */

/** A duration in milliseconds; 0 means "off" wherever a timeout may be off. */
export type Milliseconds = number;
/** A size in bytes; 0 means "no limit" wherever a limit may be off. */
export type Bytes = number;

/** Where something listens or can be reached. */
export type Address =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

export interface Snapshot {
  /** Counts up by one with each configuration that was applied. */
  readonly generation: number;
  /** Data-plane processes; "auto" is resolved to the number of cores. */
  readonly workers: number;
  /** How long open exchanges may go on after a stop was asked for. */
  readonly drainTimeout: Milliseconds;
  /** Client connections over all listeners and workers. */
  readonly maxConnections: number;
  readonly admin?: { readonly address: Address };
  readonly log: LogConfig;
  readonly listeners: readonly ListenerConfig[];
  /** First match wins, in file order. */
  readonly routes: readonly RouteConfig[];
  readonly upstreams: readonly UpstreamConfig[];
}

export interface LogConfig {
  readonly level: "debug" | "info" | "warn" | "error";
  /** One line an exchange on stderr. */
  readonly access: boolean;
}

export interface ListenerConfig {
  readonly name: string;
  readonly address: Address;
  readonly protocol: "http" | "tcp";
  /** Where goes what matches no route; none: 404. */
  readonly upstream?: string;
  /** Answers 200 here (503 while draining) without an upstream. */
  readonly healthPath?: string;
  /** What a tcp client is told when no target is usable. */
  readonly tcpUnavailable: "close" | "http-503";
  /** Client connections on this listener over all workers. */
  readonly maxConnections: number;
  readonly timeouts: ListenerTimeouts;
  readonly limits: ListenerLimits;
  readonly forwarding: ForwardingConfig;
  /** Field names with `_`: pass on, leave out, or answer 400. */
  readonly underscoreNames: "allow" | "drop" | "reject";
}

export interface ListenerTimeouts {
  /** From the first byte of a request head to its last. */
  readonly clientHeader: Milliseconds;
  /** Between two reads of a request body, and between two writes of a reply that the client does not read. */
  readonly clientBody: Milliseconds;
  /** A keep-alive connection without a request. */
  readonly clientIdle: Milliseconds;
  /** From the head of a request to the last byte of its reply; 0 is off. */
  readonly request: Milliseconds;
  /** A tunnel (101, CONNECT) or tcp connection without a byte either way. */
  readonly tunnelIdle: Milliseconds;
}

export interface ListenerLimits {
  /** All of a request head; more is 431. */
  readonly headerBytes: Bytes;
  /** Field lines in a request head or in trailers; more is 431. */
  readonly headerCount: number;
  /** The request line; more is 414. */
  readonly requestLineBytes: Bytes;
  /** A request body; more is 413; 0 is no limit. */
  readonly bodyBytes: Bytes;
}

export interface ForwardingConfig {
  /** Set X-Forwarded-For, -Proto and -Host. */
  readonly xForwarded: boolean;
  /** Set Forwarded (RFC 7239). */
  readonly forwarded: boolean;
  /** Add Via (RFC 9110 section 7.6.3). */
  readonly via: boolean;
  /** X-Request-ID: leave alone, make one when it is missing, or always make one. */
  readonly requestId: "off" | "missing" | "always";
  /** CIDR blocks whose X-Forwarded-*, Forwarded and X-Request-ID are believed and appended to. */
  readonly trustedProxies: readonly string[];
}

export interface RouteConfig {
  /** Lower-case names, `*.example.org` for any name below it; empty: every host. */
  readonly hosts: readonly string[];
  /** Matches whole path segments from the start of the normalised path; undefined: every path. */
  readonly pathPrefix?: string;
  /** Upper-case methods; empty: every method. */
  readonly methods: readonly string[];
  /** Every one must be there; an undefined value means that any value will do. */
  readonly headers: readonly { readonly name: string; readonly value?: string }[];
  readonly upstream: string;
}

export interface UpstreamConfig {
  readonly name: string;
  /** Index of this upstream's shared cursor in the scoreboard; kept over reloads. */
  readonly slot: number;
  readonly policy: PolicyConfig;
  /** The Host header that targets see: the client's, the target's address, or a fixed text. */
  readonly hostHeader: { readonly kind: "client" } | { readonly kind: "target" } | { readonly kind: "fixed"; readonly value: string };
  readonly timeouts: UpstreamTimeouts;
  /** Idle connections kept for each target and worker. */
  readonly poolSize: number;
  /** Further attempts after the first, each on another target if one is there. */
  readonly retries: number;
  /** Limits on a reply's head: more is 502. */
  readonly limits: { readonly headerBytes: Bytes; readonly headerCount: number };
  readonly healthCheck?: HealthCheckConfig;
  readonly targets: readonly TargetConfig[];
}

export type PolicyConfig =
  | { readonly kind: "builtin"; readonly name: string }
  /** `version` changes when the file does, so that a reload loads the new code. */
  | { readonly kind: "module"; readonly path: string; readonly version: string; readonly timeout: Milliseconds };

export interface UpstreamTimeouts {
  readonly connect: Milliseconds;
  /** From the request's last byte to the reply's first (time to first byte). */
  readonly response: Milliseconds;
  /** Between two reads of a reply's body, and between two writes of a request body that the target does not read. */
  readonly body: Milliseconds;
  /** A pooled connection without a request. */
  readonly idle: Milliseconds;
}

export interface TargetConfig {
  readonly address: Address;
  /** The address as written: the target's name in logs, metrics and the API. */
  readonly name: string;
  readonly weight: number;
  /** Index of this target's row in the scoreboard; kept over reloads. */
  readonly slot: number;
  /** Own path for the http health check (`health_check_endpoint` of the short form). */
  readonly healthPath?: string;
}

export interface HealthCheckConfig {
  readonly type: "http" | "tcp";
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
}
