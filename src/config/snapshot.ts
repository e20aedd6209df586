/**
 * The snapshot: the checked, compiled, immutable configuration that workers run.
 *
 * Plain data only, so that it crosses the process boundary as it is. What can be derived from it
 * (CIDR matchers, route tables, policy objects) is built by the worker that needs it.
 */

import type { AccessFormat } from "../observability/access/format.ts";
import type { LogLevels } from "../observability/log.ts";

/** A duration in milliseconds; 0 means "off" wherever a timeout may be off. */
export type Milliseconds = number;
/** A size in bytes; 0 means "no limit" wherever a limit may be off. */
export type Bytes = number;

/** Where something listens or can be reached. */
export type Address =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** Where a listener's socket is from: bound by us, or made by systemd and known by its name. */
export type ListenAddress = Address | { readonly kind: "systemd"; readonly name: string };

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

/** What is made to go wrong, and for whom. */
export interface FaultRule {
  readonly name: string;
  /** Names; empty, as all lists here: every one. */
  readonly listeners: readonly string[];
  /** Labels. */
  readonly routes: readonly string[];
  readonly upstreams: readonly string[];
  /** Lower-case names, `*.example.org` for any name below it. */
  readonly hosts: readonly string[];
  /** Of HTTP, as are headers. */
  readonly methods: readonly string[];
  readonly headers: RouteConfig["headers"];
  /** Of those for whom all of that holds, from 0 to 100. */
  readonly percent: number;
  readonly effect: FaultEffect;
  /** When it ends, in wall-clock ms since 1970; absent: it does not by itself. */
  readonly until?: number;
}

export type FaultEffect =
  /** Towards the client. */
  | ({ readonly side: "client" } & ClientFault)
  /** The same, as the client's own header says. */
  | { readonly side: "chosen" }
  /** As if a target did it. */
  | ({ readonly side: "target" } & TargetFault);

/** From and to, both included: one is drawn for each exchange. */
export interface FaultDelay {
  readonly from: Milliseconds;
  readonly to: Milliseconds;
}

export interface ClientFault {
  /** Before all else. */
  readonly delay?: FaultDelay;
  /** The reply in place of a target's; a gRPC status is for calls, and without `abort` the rule is for calls only. */
  readonly abort?: number;
  readonly grpcStatus?: number;
  /** No reply: the connection, with HTTP/2 the stream, is reset. */
  readonly reset: boolean;
  /** Bytes of the reply's body a second; 0: as fast as it comes. */
  readonly throttle: number;
  /** Bytes of the reply's body after which it breaks off; absent: it is whole. */
  readonly truncate?: number;
}

export type TargetError = "connect-refused" | "connect-timeout" | "response-timeout" | "target-reset";

export interface TargetFault {
  /** Addresses as written; empty: every one. */
  readonly targets: readonly string[];
  /** Before the attempt goes on its way. */
  readonly delay?: FaultDelay;
  /** What it comes to. */
  readonly error?: TargetError;
}

export interface TracingConfig {
  /** Where spans are sent (OTLP/HTTP), with its path. */
  readonly endpoint: string;
  /** Sent with them: secrets. */
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  /** Share of the traces that begin here which are recorded, from 0 to 1. */
  readonly sample: number;
  /** Is a client's traceparent believed? */
  readonly parent: "trust" | "ignore";
  /** What follows the ? of paths. */
  readonly query: "keep" | "drop";
  /** For sending a batch, with all tries. */
  readonly timeout: Milliseconds;
  /** The longest that a span waits for others. */
  readonly interval: Milliseconds;
  /** Spans in one request. */
  readonly batch: number;
  /** Spans that wait in each worker; more are lost. */
  readonly queue: number;
}

export interface AdminConfig {
  readonly address: Address;
  /** Of which whoever asks must show one (`Authorization: Bearer …`); empty: the address is a loopback one or a unix socket. */
  readonly tokens: readonly AdminToken[];
  /** Absolute path of where what people said survives a stop. */
  readonly stateFile?: string;
}

export interface AdminToken {
  /** By which people know who did something; no two are the same. */
  readonly name: string;
  readonly token: string;
  /** Look; and change what targets do; and bring a configuration. */
  readonly access: "read" | "steer" | "configure";
}

export interface LogConfig extends LogLevels {
  /** Of its file; absent: standard error. */
  readonly path?: string;
}

export interface AccessLogConfig {
  /** Absent: as the service log. */
  readonly format?: AccessFormat;
  /** "stderr", "stdout", or where the file is. */
  readonly path: string;
  /** The share of exchanges that are logged, from 0 to 1. */
  readonly sample: number;
  /** What fails is logged in any case. */
  readonly sampleErrors: boolean;
  /** Lines that a worker gathers before it writes. */
  readonly buffer: Bytes;
  /** The longest that one waits. */
  readonly flush: Milliseconds;
  /** A file of this size is renamed; 0: never. */
  readonly rotateSize: Bytes;
  /** Renamed files that are kept. */
  readonly keep: number;
}

export interface MetricsConfig {
  /** Upper bounds of histograms, in ms with fraction, ascending; 1 to 30. */
  readonly buckets: readonly number[];
  /** Targets that have metrics of their own. */
  readonly perTargetLimit: number;
}

/** Which exchanges are kept for people to look at. */
export interface ExchangesConfig {
  /** How many, and in how many bytes. */
  readonly keep: number;
  readonly memory: Bytes;
  /** 0: none is kept for it. */
  readonly slow: Milliseconds;
  /** The part of all others, from 0 to 1. */
  readonly sample: number;
  readonly query: "keep" | "drop";
}

export interface ListenerConfig {
  readonly name: string;
  /** Its row in the scoreboard; kept over reloads. */
  readonly slot: number;
  readonly address: ListenAddress;
  readonly protocol: "http" | "tcp" | "tls-passthrough" | "udp";
  /** Where goes what matches no route; none: 404. */
  readonly upstream?: string;
  /** Answers 200 here (503 while draining) without an upstream. */
  readonly healthPath?: string;
  /** Who tells the client's address by the PROXY protocol; undefined: nobody. */
  readonly proxyProtocol?: ProxyProtocolConfig;
  /** What a tcp client is told when no target is usable. */
  readonly tcpUnavailable: "close" | "http-503";
  /** udp: replies that a client's datagram gets; when all have come the client is forgotten. Undefined: nobody knows. */
  readonly udpResponses?: number;
  /** Client connections on this listener over all workers. */
  readonly maxClients: number;
  /** Client connections of one client address on this listener over all workers; 0: no limit. */
  readonly maxClientsPerIp: number;
  /** Absent: cleartext. */
  readonly tls?: ListenerTls;
  /** Port of https that clients are sent to; absent: they are served. */
  readonly redirectHttps?: number;
  readonly timeouts: ListenerTimeouts;
  readonly limits: ListenerLimits;
  readonly forwarding: ForwardingConfig;
  readonly http2: Http2Config;
  /** Its exchanges are in the access log, if there is one. */
  readonly accessLog: boolean;
  /** Field names with `_`: pass on, leave out, or answer 400. */
  readonly underscoreNames: "allow" | "drop" | "reject";
}

export interface ProxyProtocolConfig {
  /** CIDR blocks, addresses and "unix": from them the header is required, from others it is not read. */
  readonly from: readonly string[];
  /** From the connect to the header's last byte. */
  readonly timeout: Milliseconds;
  /** Of a header of version 2. */
  readonly headerBytes: Bytes;
}

export interface ListenerTls {
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** OpenSSL's list for TLS 1.2. */
  readonly ciphers: string;
  /** Offered by preference; empty: none. */
  readonly alpn: readonly string[];
  /** PEM of authorities; absent: clients are not asked for a certificate. */
  readonly clientCa?: string;
  readonly clientCertificate: "none" | "optional" | "required";
  /** Tells targets its subject. */
  readonly clientSubjectHeader?: string;
  /** Its certificate is one for development. */
  readonly selfSigned?: true;
  /** Value of Strict-Transport-Security (RFC 6797). */
  readonly hsts?: string;
  /** At least one where it is served; the first is for clients whose name none of them has. */
  readonly certificates: readonly CertificateConfig[];
  /** The last of them, which we get by ourselves. */
  readonly acme?: AcmeCertificateConfig;
}

/** Read from its files when the configuration was, so that workers need no access to them. */
export interface CertificateConfig {
  /** The file of the chain, for people. */
  readonly file: string;
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  /** What it is good for: lower-case names, `*.example.org`, addresses. */
  readonly names: readonly string[];
  /** Wall-clock ms since 1970. */
  readonly notAfter: number;
}

export type TlsVersion = "1.2" | "1.3";

export type AcmeChallenge = "http-01" | "tls-alpn-01";
export type AcmeKeyType = "ec256" | "rsa2048";

export interface AcmeCertificateConfig {
  readonly account: AcmeAccountConfig;
  /** Lower-case names, at least one. */
  readonly domains: readonly string[];
  /** What may be tried, by preference; at least one. */
  readonly challenges: readonly AcmeChallenge[];
  readonly keyType: AcmeKeyType;
  /** Absent: a third of its lifetime. */
  readonly renewBefore?: Milliseconds;
  /** Where it is kept, with its key: one PEM file. */
  readonly file: string;
}

export interface AcmeAccountConfig {
  /** URL of the ACME server's directory (RFC 8555 section 7.1.1). */
  readonly directory: string;
  readonly email?: string;
  /** PEM file of what the server's own certificate is checked against; absent: authorities of the system. */
  readonly ca?: string;
  /** RFC 8555 section 7.3.4; the key in base64url. */
  readonly externalAccount?: { readonly kid: string; readonly hmacKey: string };
  /** Where its key is kept. */
  readonly file: string;
}

export interface ListenerTimeouts {
  /** From accept to the end of the TLS handshake. */
  readonly tlsHandshake: Milliseconds;
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
  /** A udp client without a datagram either way. */
  readonly udpIdle: Milliseconds;
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
  /** What a client of a tls-passthrough listener may send before its name is known. */
  readonly clientHelloBytes: Bytes;
}

/** What a client may do with HTTP/2 (RFC 9113). */
export interface Http2Config {
  /** Spoken to whoever asks for it: by ALPN, or in the clear by prior knowledge. */
  readonly enabled: boolean;
  /** Open streams of a connection. */
  readonly maxStreams: number;
  /** What may be sent ahead of its target, for each stream and for a connection. */
  readonly streamWindow: Bytes;
  readonly connectionWindow: Bytes;
  /** CONTINUATION frames in one header block. */
  readonly continuations: number;
  /** Streams that end by a reset of the client's making: so many at once, and so many more each second. */
  readonly resets: number;
  readonly resetsPerSecond: number;
  /** Frames that do nothing. */
  readonly glitches: number;
  readonly glitchesPerSecond: number;
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
  /** Its row in the scoreboard; kept over reloads as long as its label is. The last one is for all that have none of their own. */
  readonly slot: number;
  /** How people call it; absent: by what it matches (`routeLabel`). No two routes are called the same. */
  readonly name?: string;
  /** Names of listeners; empty: every one that has routes. */
  readonly listeners: readonly string[];
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

export interface UpstreamTls {
  /** Check the target's certificate. */
  readonly verify: boolean;
  /** SNI, and what the certificate is checked for; absent: the host of the target's address. */
  readonly serverName?: string;
  /** PEM; absent: authorities of the system. */
  readonly ca?: string;
  /** PEM: what we show of ourselves. */
  readonly certificate?: string;
  readonly key?: string;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
}

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

export interface RetryConfig {
  /** Further attempts after the first, each on another target if one is there. */
  readonly retries: number;
  /** A connect that failed. */
  readonly onConnectFailure: boolean;
  /** A connection that closed or was reset before a reply. */
  readonly onReset: boolean;
  /** No reply within the attempt's time. */
  readonly onTimeout: boolean;
  readonly statuses: readonly number[];
  /** gRPC's; they hold for every call, whatever its method does. */
  readonly grpcStatuses: readonly number[];
  /** Before the second attempt on a live target, at random between 0 and this; doubles with each attempt. */
  readonly backoff: Milliseconds;
  readonly backoffMax: Milliseconds;
  /** Of a request's body this much is kept to be sent once more. */
  readonly buffer: Bytes;
  /** Percent of the open requests that may be retries or hedges at a time. */
  readonly budget: number;
  /** So many may be at any rate. */
  readonly budgetMin: number;
}

export interface QueueConfig {
  /** Requests of this upstream that wait for a place, over all workers; 0: none waits. */
  readonly size: number;
  readonly timeout: Milliseconds;
}

export interface HedgeConfig {
  /** The share of requests, in percent, that are answered before a hedge is sent. */
  readonly percentile: number;
  /** Never sooner than this. */
  readonly minDelay: Milliseconds;
}

export interface CircuitBreakerConfig {
  /** Percent of failures that opens it. */
  readonly failureRate: number;
  /** Of at least so many requests in one window. */
  readonly minRequests: number;
  readonly window: Milliseconds;
  /** How long it stays open before it tries again. */
  readonly openFor: Milliseconds;
  /** Requests that are let through to try. */
  readonly probes: number;
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

/** Back ends that Fairlead starts itself. */
export interface SupervisedConfig {
  readonly command: readonly string[];
  readonly instances: number;
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** First port to hand out; 0: any free one. */
  readonly port: number;
  /** Unhealthy for this long: replaced; 0: never. */
  readonly replaceAfter: Milliseconds;
  /** Restarts of one instance in restartWindow before it is given up. */
  readonly maxRestarts: number;
  readonly restartWindow: Milliseconds;
  /** First pause before a restart; it doubles. */
  readonly backoff: Milliseconds;
  readonly backoffMax: Milliseconds;
  /** Between SIGTERM and SIGKILL. */
  readonly stopTimeout: Milliseconds;
  /** Until its health check passes. */
  readonly startTimeout: Milliseconds;
  /** A reload replaces them even if nothing about them has changed. */
  readonly rollOnReload: boolean;
}

export type PolicyConfig =
  | { readonly kind: "builtin"; readonly name: string }
  /** `version` changes when the file does, so that a reload loads the new code. */
  | { readonly kind: "module"; readonly path: string; readonly version: string; readonly timeout: Milliseconds };

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
