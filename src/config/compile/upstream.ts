/** `[[upstreams]]`: what they mean, and what of it does not fit together. */
import type { Problem } from "../problem.ts";
import { DEFAULTS, type RawConfig, type RawUpstream } from "../schema.ts";
import type { PolicyConfig, StickyConfig, UpstreamConfig, UpstreamTls } from "../snapshot.ts";
import { takesHeartbeats } from "./admin.ts";
import { healthCheckOf, outliersOf } from "./health.ts";
import { inherit } from "./inherit.ts";
import { circuitBreakerOf, retryOf } from "./resilience.ts";
import { supervisedOf } from "./supervised.ts";
import { type TargetContext, targetsOf } from "./target.ts";

/** What needs another key to mean something. */
export function checkUpstream(upstream: RawUpstream, index: number, raw: RawConfig, problems: Problem[]): void {
  const { health_check: check, sticky, policy } = upstream;
  const at = ["upstreams", index];
  const needs = (key: string, message: string, hint: string): void => void problems.push({ path: [...at, key], about: "key", message, hint });
  if (upstream.prefer_zone === true && raw.zone === undefined) needs("prefer_zone", "it is not said in which zone this instance runs", 'add zone = "…" at the top of the file');
  if (upstream.bounded_load !== undefined && policy !== "hash" && policy !== "ip-hash") needs("bounded_load", 'bounded_load goes with policy = "hash" or "ip-hash"', 'set the policy, or leave it out');
  if (upstream.hash_method !== undefined && policy !== "hash" && policy !== "ip-hash") needs("hash_method", 'hash_method goes with policy = "hash" or "ip-hash"', 'set the policy, or leave it out');
  if (policy === "ip-hash" && upstream.hash_key !== undefined && upstream.hash_key.kind !== "client-ip") needs("hash_key", "ip-hash goes by the client's address", 'set policy = "hash"');
  if (sticky?.same_site === "none" && sticky.secure !== true) problems.push({ path: [...at, "sticky", "same_site"], about: "key", message: 'browsers drop a cookie with SameSite=None that is not secure', hint: "add secure = true" });
  if (upstream.heartbeat !== undefined && !takesHeartbeats(raw)) needs("heartbeat", "heartbeats come in on the admin address and need a token that may send them", 'add [admin] with address, and [[admin.tokens]] with access = "heartbeat"');
  if (check?.type === "command" && check.command === undefined) problems.push({ path: [...at, "health_check"], about: "key", message: "a command check needs its command", hint: 'add command = ["program", "argument"]' });
  const secure = upstream.tls !== undefined && upstream.tls !== false;
  if ((upstream.protocol === "h2" || upstream.protocol === "auto") && !secure) needs("protocol", `${upstream.protocol} is spoken over TLS`, 'add tls = true or [upstreams.tls], or set protocol = "h2c" for HTTP/2 in the clear');
  if (upstream.proxy_protocol !== undefined && (upstream.protocol ?? "h1") !== "h1") needs("proxy_protocol", `${upstream.protocol} connections carry requests of many clients, and the PROXY protocol names one`, 'leave it out (X-Forwarded-For names the client), or set protocol = "h1"');
  if (upstream.protocol === "h2c" && secure) needs("protocol", "h2c is HTTP/2 in the clear", 'set protocol = "h2", or leave tls out');
  if (check?.tls === true && (upstream.tls === undefined || upstream.tls === false)) problems.push({ path: [...at, "health_check", "tls"], about: "key", message: "checks over TLS need to know how", hint: "add tls = true or [upstreams.tls]" });
  if (check?.type === "agent" && check.port === undefined) problems.push({ path: [...at, "health_check"], about: "key", message: "an agent answers on a port of its own", hint: "add port = …" });
}

interface UpstreamContext extends TargetContext {
  readonly policy: PolicyConfig;
  readonly tls: UpstreamTls | undefined;
  /** Relative paths start here. */
  readonly directory: string;
  readonly secret: (() => string) | undefined;
}

/** With so few targets a share of them says little: one that is down and one that restarts would be panic. */
const PANIC_MIN_TARGETS = 4;

export function upstreamOf(raw: RawUpstream, context: UpstreamContext): UpstreamConfig {
  const { policy, plan, healthPaths, tls } = context;
  const { targets = [], host_header: host = "client" } = raw;
  const timeouts = inherit(DEFAULTS.upstreamTimeouts, raw.timeouts);
  const limits = inherit(DEFAULTS.upstreamLimits, raw.limits);
  return {
    name: raw.name,
    slot: plan.upstream(raw.name),
    policy,
    hash: { key: raw.hash_key ?? { kind: "client-ip" }, method: raw.hash_method ?? "ketama", boundedLoad: raw.bounded_load ?? 0 },
    ...(raw.sticky === undefined ? {} : { sticky: stickyOf(raw.sticky, context.secret) }),
    hostHeader: host === "client" || host === "target" ? { kind: host } : { kind: "fixed", value: host },
    protocol: raw.protocol ?? "h1",
    maxStreams: raw.max_concurrent_streams ?? DEFAULTS.http2.max_concurrent_streams,
    timeouts,
    poolSize: raw.pool_size ?? 256,
    retry: retryOf(raw),
    queue: { size: raw.queue_size ?? 1024, timeout: raw.queue_timeout ?? 15_000 },
    ...(raw.hedge === undefined ? {} : { hedge: { percentile: raw.hedge.percentile ?? 95, minDelay: raw.hedge.min_delay ?? 2 } }),
    ...(raw.circuit_breaker === undefined ? {} : { circuitBreaker: circuitBreakerOf(raw.circuit_breaker) }),
    limits: { headerBytes: limits.header_bytes, headerCount: limits.header_count },
    ...(tls === undefined ? {} : { tls }),
    ...(raw.proxy_protocol === undefined ? {} : { proxyProtocol: raw.proxy_protocol }),
    ...(raw.health_check === undefined ? {} : { healthCheck: healthCheckOf(raw.health_check, healthPaths !== undefined, tls !== undefined, context.directory) }),
    outliers: outliersOf(raw.outlier_detection),
    panicThreshold: raw.panic_threshold ?? (targets.length >= PANIC_MIN_TARGETS && healthPaths === undefined ? 50 : 0),
    overprovisioning: raw.overprovisioning ?? 1.4,
    slowStart: raw.slow_start ?? 0,
    drainTimeout: raw.drain_timeout ?? 30_000,
    ...(raw.heartbeat === undefined ? {} : { heartbeat: { ttl: raw.heartbeat.ttl ?? 15_000, register: raw.heartbeat.register ?? true } }),
    ...(raw.supervised === undefined ? {} : { supervised: supervisedOf(raw.supervised, context.directory) }),
    targets: targetsOf(raw, context),
  };
}

function stickyOf(raw: NonNullable<RawUpstream["sticky"]>, secret: (() => string) | undefined): StickyConfig {
  return {
    cookie: raw.cookie ?? "fairlead",
    path: raw.path ?? "/",
    ...(raw.domain === undefined ? {} : { domain: raw.domain }),
    maxAge: Math.ceil((raw.max_age ?? 0) / 1000),
    secure: raw.secure ?? false,
    httpOnly: raw.http_only ?? true,
    sameSite: raw.same_site ?? "lax",
    secret: raw.secret ?? secret?.() ?? "",
    whileDraining: raw.while_draining ?? "stay",
  };
}
