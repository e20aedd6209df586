/** A config whose every value is right by itself becomes a Snapshot, or a list of what does not fit together. */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { distance } from "fastest-levenshtein";
import { POLICY_NAMES } from "../policies/registry.ts";
import { routeLabel } from "../routing/router.ts";
import type { Path } from "./positions.ts";
import { acmeOf, checkAcme } from "./acme.ts";
import { checkFaults, faultsOf } from "./faults.ts";
import { checkLogs, logsOf } from "./logs.ts";
import { adminOf, mayBeSteered } from "./admin.ts";
import { type Overrides, overridden } from "./overrides.ts";
import { checkTracing, tracingOf } from "./tracing.ts";
import { checkRoutes, isRouteFor, listenerName, routesOf } from "./routes.ts";
import { DEFAULTS, type RawConfig, type RawListener, type RawUpstream } from "./schema.ts";
import { MAX_LISTENERS } from "../scoreboard/words.ts";
import type { SecretFiles } from "./secret-files.ts";
import type { SlotAllocator, SlotPlan } from "./slots.ts";
import type { HealthCheckConfig, ListenerConfig, ListenerTls, OutlierConfig, PolicyConfig, Snapshot, StickyConfig, TargetConfig, UpstreamConfig, UpstreamTls } from "./snapshot.ts";
import { listenerTls, type TlsSources, upstreamTls } from "./tls.ts";
import { statOf } from "./stat.ts";
import { addressKey, checkUdp } from "./udp.ts";
import { userOf } from "./user.ts";
import { formatAddress, parseAddress } from "./values.ts";

/** Something wrong at a path of the config; load.ts finds its place in the file. */
export interface Problem {
  readonly path: Path;
  /** Is it the key that is wrong, or its value? */
  readonly about: "key" | "value";
  readonly message: string;
  readonly hint?: string;
}

export interface CompileOptions extends TlsSources {
  readonly slots: SlotAllocator;
  readonly generation: number;
  /** Relative policy files start here. */
  readonly directory: string;
  /** Policies that exist beyond the built-in ones; for the library. */
  readonly policies?: readonly string[];
  readonly secrets: SecretFiles;
  /** Gives what signs sticky cookies where the config names no secret; called only then. */
  readonly secret?: () => string;
  /** Targets beyond the file's, by upstream: what registered itself or was started. */
  readonly joined?: ReadonlyMap<string, readonly JoinedTarget[]>;
  /** What was said of upstreams and their targets since the file was read; laid over those that joined, too. */
  readonly overrides?: Overrides;
}

/** A target that is not in the file. */
export interface JoinedTarget {
  readonly address: string;
  readonly weight?: number;
  readonly zone?: string;
}

/** Addresses of the targets that the file names, by upstream. */
export type ListedTargets = ReadonlyMap<string, ReadonlySet<string>>;

export type Compiled = { readonly ok: true; readonly snapshot: Snapshot; readonly plan: SlotPlan; readonly listed: ListedTargets } | { readonly ok: false; readonly problems: readonly Problem[] };

/** `did you mean "x"?` when something known is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.ceil(word.length / 3)) + 1;
  for (const candidate of known) {
    const far = distance(word.toLowerCase(), candidate.toLowerCase());
    if (far < least) {
      least = far;
      best = candidate;
    }
  }
  return best === undefined ? undefined : `did you mean "${best}"?`;
}

/** The hint for a name that is not there: the nearest, else all of them. */
export function suggestion(word: string, known: readonly string[]): { hint?: string } {
  const near = nearest(word, known);
  if (near !== undefined) return { hint: near };
  return known.length === 0 ? {} : { hint: `known: ${known.slice(0, 10).join(", ")}${known.length > 10 ? ", …" : ""}` };
}

export function compile(raw: RawConfig, options: CompileOptions): Compiled {
  const problems: Problem[] = [];
  const long = expandShortForm(raw, problems);
  const listeners = long.listeners ?? [];
  const upstreams = (long.upstreams ?? []).map((upstream) => overridden(withJoined(upstream, options.joined?.get(upstream.name) ?? []), options.overrides?.get(upstream.name)));
  const admin = adminOf(raw, options.secrets, options.directory, problems);
  const user = userOf(raw, problems);
  checkTracing(raw.tracing, problems);
  checkLogs(raw, options.directory, nearest, problems);
  checkListeners(listeners, long, problems);
  checkUdp(listeners, upstreams, problems);
  checkNames(upstreams, "upstream", problems);
  checkNames(long.routes ?? [], "route", problems);
  checkReferences(long, problems);
  checkAcme(listeners, long.routes ?? [], options.directory, problems);
  checkRoutes(long.routes ?? [], listeners, suggestion, problems);
  checkFaults(raw.faults, { listeners: listeners.map((listener, index) => ({ name: listenerName(listener, index), protocol: listener.protocol ?? "http" })), routes: routesOf(long.routes ?? []).map(routeLabel), upstreams: upstreams.map(({ name }) => name) }, suggestion, problems);
  const strange = strangePolicies(long.upstreams ?? [], options, problems);
  const policies = upstreams.map((upstream, index) => (strange.has(upstream.name) ? ROUND_ROBIN : policyOf(upstream, ["upstreams", index], options, problems)));
  for (const [index, upstream] of upstreams.entries()) {
    checkTargets(upstream, index, problems);
    checkUpstream(upstream, index, raw, problems);
  }
  const hosts = (long.routes ?? []).flatMap((route) => (route.hosts ?? []).map((host) => host.toLowerCase()));
  const tlsOfListeners = listeners.map((listener, index) => listenerTls(listener, hosts, http2Of(listener, raw).enabled, ["listeners", index], options, acmeOf(listener, listeners, long.routes ?? [], options.directory), problems));
  const tlsOfUpstreams = upstreams.map((upstream, index) => upstreamTls(upstream, ["upstreams", index], options, problems));
  if (problems.length > 0) return { ok: false, problems };

  const routes = routesOf(long.routes ?? []);
  const plan = options.slots.plan({
    upstreams: upstreams.map(({ name, targets = [] }) => ({ name, targets: targets.map(({ address }) => ({ name: address })) })),
    listeners: listeners.map(listenerName),
    routes: routes.map(routeLabel),
  });
  if (plan === undefined) {
    const { targets, upstreams: groups } = options.slots.capacity;
    return { ok: false, problems: [{ path: ["upstreams"], about: "key", message: `more targets or upstreams than this process made room for (${targets} targets, ${groups} upstreams)`, hint: "stop and start Fairlead with this config" }] };
  }
  const workers = raw.workers === undefined || raw.workers === "auto" ? availableParallelism() : raw.workers;
  const snapshot: Snapshot = {
    generation: options.generation,
    workers,
    drainTimeout: raw.drain_timeout ?? 30_000,
    maxClients: raw.max_clients ?? 50_000,
    ...(user === undefined ? {} : { user }),
    ...(admin === undefined ? {} : { admin }),
    ...(raw.tracing === undefined ? {} : { tracing: tracingOf(raw.tracing) }),
    ...faultsOf(raw.faults),
    ...exchangesOf(raw),
    ...logsOf(raw, options.directory),
    metrics: { buckets: raw.metrics?.buckets ?? DEFAULTS.metrics.buckets, perTargetLimit: raw.metrics?.per_target_limit ?? DEFAULTS.metrics.per_target_limit },
    listeners: listeners.map((listener, index) => listenerOf(listener, index, plan.listener(listenerName(listener, index)), raw, tlsOfListeners[index])),
    routes: routes.map((route) => ({ ...route, slot: plan.route(routeLabel(route)) })),
    upstreams: upstreams.map((upstream, index) => upstreamOf(upstream, { policy: policies[index]!, tls: tlsOfUpstreams[index], plan, healthPaths: long.healthPaths, zone: raw.zone, directory: options.directory, secret: options.secret })),
  };
  return { ok: true, snapshot, plan, listed: new Map((long.upstreams ?? []).map(({ name, targets = [] }) => [name, new Set(targets.map(({ address }) => address))])) };
}

/** Nobody could look at them without an admin address. */
function exchangesOf({ admin, exchanges: { keep = 1000, memory = 8 * 1024 * 1024, slow = 1_000, sample = 0.001, query = "drop" } = {} }: RawConfig): Pick<Snapshot, "exchanges"> {
  return admin === undefined || keep === 0 ? {} : { exchanges: { keep, memory, slow, sample, query } };
}

interface LongForm {
  readonly listeners: RawConfig["listeners"];
  readonly routes: RawConfig["routes"];
  readonly upstreams: RawConfig["upstreams"];
  /** Short form: own check paths by target address. */
  readonly healthPaths?: ReadonlyMap<string, string>;
  readonly isShort: boolean;
}

/** The short form is one listener and one upstream, checked every 5 s: out after one failure, back after one success. */
function expandShortForm(raw: RawConfig, problems: Problem[]): LongForm {
  if (raw.targets === undefined) {
    for (const key of ["address", "protocol"] as const) {
      if (raw[key] !== undefined) problems.push({ path: [key], about: "key", message: `"${key}" at the top belongs to the short form, which has [[targets]]`, hint: `write it in [[listeners]], or add [[targets]]` });
    }
    if (raw.listeners === undefined || raw.listeners.length === 0) problems.push({ path: [], about: "key", message: "nothing to listen on", hint: "add [[listeners]] and [[upstreams]], or just [[targets]]" });
    return { listeners: raw.listeners, routes: raw.routes, upstreams: raw.upstreams, isShort: false };
  }
  for (const key of ["listeners", "routes", "upstreams"] as const) {
    if (raw[key] !== undefined) problems.push({ path: [key], about: "key", message: `[[${key}]] cannot stand beside the short form's top-level [[targets]]`, hint: "move the targets into [[upstreams.targets]], or leave the rest out" });
  }
  const healthPaths = new Map(raw.targets.flatMap(({ address, health_check_endpoint: path }) => (path === undefined ? [] : [[address, path] as const])));
  return {
    listeners: [{ name: "default", address: raw.address ?? { kind: "tcp", host: "0.0.0.0", port: 80 }, protocol: raw.protocol ?? "http", upstream: "default", tcp_unavailable: "http-503" }],
    routes: undefined,
    upstreams: [
      {
        name: "default",
        targets: raw.targets.map(({ address, weight }) => ({ address, weight })),
        health_check: { type: healthPaths.size > 0 ? "http" : "tcp", interval: 5_000, rise: 1, fall: 1 },
      },
    ],
    healthPaths,
    isShort: true,
  };
}

function checkNames(items: readonly { readonly name?: string | undefined }[], what: string, problems: Problem[]): void {
  const seen = new Set<string>();
  for (const [index, { name }] of items.entries()) {
    if (name === undefined) continue;
    if (seen.has(name)) problems.push({ path: [`${what}s`, index, "name"], about: "value", message: `there is already ${what === "upstream" ? "an" : "a"} ${what} "${name}"`, hint: `each ${what} has a name of its own` });
    seen.add(name);
  }
}

/** Of listeners that read requests. */
const HTTP_KEYS = ["health_path", "http2", "underscore_names", "forwarding"] as const;

function checkListeners(listeners: readonly RawListener[], long: LongForm, problems: Problem[]): void {
  checkNames(listeners, "listener", problems);
  if (listeners.length > MAX_LISTENERS) problems.push({ path: ["listeners", MAX_LISTENERS], about: "key", message: `more than ${MAX_LISTENERS} listeners` });
  const addresses = new Map<string, number>();
  for (const [index, listener] of listeners.entries()) {
    const address = formatAddress(listener.address);
    const key = addressKey(listener.protocol, listener.address);
    const other = addresses.get(key);
    if (other !== undefined && !address.endsWith(":0")) problems.push({ path: ["listeners", index, "address"], about: "value", message: `${address} is taken by listener ${other + 1}`, hint: "each listener has an address of its own" });
    addresses.set(key, index);
    const { address: at } = listener;
    // The system refuses two sockets for one address, and this says why.
    const dual = at.kind !== "tcp" || at.port === 0 ? undefined : at.host === "0.0.0.0" ? { ...at, host: "::" } : at.host === "::" ? { ...at, host: "0.0.0.0" } : undefined;
    const both = dual === undefined ? undefined : addresses.get(addressKey(listener.protocol, dual));
    if (dual !== undefined && both !== undefined) problems.push({ path: ["listeners", index, "address"], about: "value", message: `${address} and ${formatAddress(dual)} of listener ${both + 1} are the same: [::] takes IPv4 clients too`, hint: "leave out the listener on 0.0.0.0" });
    if (listener.protocol === "tls-passthrough" && listener.tls !== undefined) problems.push({ path: ["listeners", index, "tls"], about: "key", message: "on a tls-passthrough listener TLS ends at the targets", hint: 'leave it out, or set protocol = "http" or "tcp"' });
    if (listener.protocol === "tls-passthrough" && listener.tcp_unavailable === "http-503") problems.push({ path: ["listeners", index, "tcp_unavailable"], about: "value", message: "a client that speaks TLS cannot read an HTTP answer", hint: 'set "close", or leave it out' });
    if (listener.redirect_https !== undefined && listener.redirect_https !== false && (listener.tls !== undefined || (listener.protocol ?? "http") !== "http")) {
      problems.push({ path: ["listeners", index, "redirect_https"], about: "key", message: "only http in the clear can be sent to https", hint: "leave it out here, and set it on the listener of port 80" });
    }
    if (listener.protocol === "tcp" || listener.protocol === "tls-passthrough") {
      for (const key of HTTP_KEYS) if (listener[key] !== undefined) problems.push({ path: ["listeners", index, key], about: "key", message: `${key} goes with protocol = "http"`, hint: "leave it out" });
    }
    if (listener.upstream !== undefined) continue;
    if (listener.protocol === "tcp" || listener.protocol === "udp") problems.push({ path: ["listeners", index], about: "key", message: `a ${listener.protocol} listener needs an upstream`, hint: 'add upstream = "…"' });
    else if ((listener.redirect_https ?? false) === false && !(long.routes ?? []).some((route) => isRouteFor(route, listenerName(listener, index)))) problems.push({ path: ["listeners", index], about: "key", message: "this listener has no upstream, and there are no routes", hint: 'add upstream = "…" or [[routes]]' });
  }
}

function checkReferences(long: LongForm, problems: Problem[]): void {
  const names = (long.upstreams ?? []).map(({ name }) => name);
  const check = (kind: "listeners" | "routes", index: number, name: string | undefined): void => {
    if (name === undefined || names.includes(name)) return;
    problems.push({ path: [kind, index, "upstream"], about: "value", message: `there is no upstream "${name}"`, ...suggestion(name, names) });
  };
  for (const [index, listener] of (long.listeners ?? []).entries()) check("listeners", index, listener.upstream);
  for (const [index, route] of (long.routes ?? []).entries()) check("routes", index, route.upstream);
}

function withJoined(upstream: RawUpstream, joined: readonly JoinedTarget[]): RawUpstream {
  if (joined.length === 0) return upstream;
  const own = upstream.targets ?? [];
  const known = new Set(own.map(({ address }) => address));
  return { ...upstream, targets: [...own, ...joined.filter(({ address }) => !known.has(address))] };
}

/** Upstreams whose policy somebody who steers has named, as a file that the configuration does not name: that would be code of anybody's. */
function strangePolicies(upstreams: readonly RawUpstream[], { overrides }: CompileOptions, problems: Problem[]): ReadonlySet<string> {
  const known = new Set(upstreams.map(({ policy }) => policy));
  const strange = upstreams.map(({ name }, index) => ({ name, index, policy: overrides?.get(name)?.policy?.policy ?? "" })).filter(({ policy }) => isPolicyFile(policy) && !known.has(policy));
  for (const { index, policy } of strange) problems.push({ path: ["upstreams", index, "policy"], about: "value", message: `policy file "${policy}" is not named by the configuration`, hint: `built-in ones: ${POLICY_NAMES.join(", ")}` });
  return new Set(strange.map(({ name }) => name));
}

function isPolicyFile(policy: string): boolean {
  return /^\.{0,2}\/|\.[cm]?[jt]s$/.test(policy);
}

function checkTargets(upstream: RawUpstream, index: number, problems: Problem[]): void {
  const { targets = [], supervised, heartbeat } = upstream;
  if (targets.length === 0 && supervised === undefined && heartbeat?.register === undefined && heartbeat === undefined) {
    const empty = upstream.targets !== undefined;
    problems.push({ path: empty ? ["upstreams", index, "targets"] : ["upstreams", index], about: empty ? "value" : "key", message: empty ? "an upstream needs at least one target" : `[[upstreams]] needs "targets"`, hint: "add [[upstreams.targets]], [upstreams.supervised] or [upstreams.heartbeat]" });
  }
  const seen = new Set<string>();
  for (const [at, { address, backup, priority }] of targets.entries()) {
    const path = ["upstreams", index, "targets", at];
    if (seen.has(address)) problems.push({ path: [...path, "address"], about: "value", message: `${address} is in upstream "${upstream.name}" already`, hint: "give it a weight instead of naming it twice" });
    seen.add(address);
    if (backup === true && priority === 0) problems.push({ path: [...path, "backup"], about: "key", message: "a backup is not of priority 0", hint: "leave one of the two out" });
  }
}

/** What needs another key to mean something. */
function checkUpstream(upstream: RawUpstream, index: number, raw: RawConfig, problems: Problem[]): void {
  const { health_check: check, sticky, policy } = upstream;
  const at = ["upstreams", index];
  const needs = (key: string, message: string, hint: string): void => void problems.push({ path: [...at, key], about: "key", message, hint });
  if (upstream.prefer_zone === true && raw.zone === undefined) needs("prefer_zone", "it is not said in which zone this instance runs", 'add zone = "…" at the top of the file');
  if (upstream.bounded_load !== undefined && policy !== "hash" && policy !== "ip-hash") needs("bounded_load", 'bounded_load goes with policy = "hash" or "ip-hash"', 'set the policy, or leave it out');
  if (upstream.hash_method !== undefined && policy !== "hash" && policy !== "ip-hash") needs("hash_method", 'hash_method goes with policy = "hash" or "ip-hash"', 'set the policy, or leave it out');
  if (policy === "ip-hash" && upstream.hash_key !== undefined && upstream.hash_key.kind !== "client-ip") needs("hash_key", "ip-hash goes by the client's address", 'set policy = "hash"');
  if (sticky?.same_site === "none" && sticky.secure !== true) problems.push({ path: [...at, "sticky", "same_site"], about: "key", message: 'browsers drop a cookie with SameSite=None that is not secure', hint: "add secure = true" });
  if (upstream.heartbeat !== undefined && !mayBeSteered(raw)) needs("heartbeat", "heartbeats come in on the admin address and need a token that may steer", 'add [admin] with address and token');
  if (check?.type === "command" && check.command === undefined) problems.push({ path: [...at, "health_check"], about: "key", message: "a command check needs its command", hint: 'add command = ["program", "argument"]' });
  const secure = upstream.tls !== undefined && upstream.tls !== false;
  if ((upstream.protocol === "h2" || upstream.protocol === "auto") && !secure) needs("protocol", `${upstream.protocol} is spoken over TLS`, 'add tls = true or [upstreams.tls], or set protocol = "h2c" for HTTP/2 in the clear');
  if (upstream.proxy_protocol !== undefined && (upstream.protocol ?? "h1") !== "h1") needs("proxy_protocol", `${upstream.protocol} connections carry requests of many clients, and the PROXY protocol names one`, 'leave it out (X-Forwarded-For names the client), or set protocol = "h1"');
  if (upstream.protocol === "h2c" && secure) needs("protocol", "h2c is HTTP/2 in the clear", 'set protocol = "h2", or leave tls out');
  if (check?.tls === true && (upstream.tls === undefined || upstream.tls === false)) problems.push({ path: [...at, "health_check", "tls"], about: "key", message: "checks over TLS need to know how", hint: "add tls = true or [upstreams.tls]" });
  if (check?.type === "agent" && check.port === undefined) problems.push({ path: [...at, "health_check"], about: "key", message: "an agent answers on a port of its own", hint: "add port = …" });
}

const ROUND_ROBIN: PolicyConfig = { kind: "builtin", name: "round-robin" };

function policyOf(upstream: RawUpstream, at: Path, options: CompileOptions, problems: Problem[]): PolicyConfig {
  const { policy = "round-robin" } = upstream;
  const known = [...POLICY_NAMES, ...(options.policies ?? [])];
  if (known.includes(policy)) return { kind: "builtin", name: policy };
  if (!isPolicyFile(policy)) {
    problems.push({ path: [...at, "policy"], about: "value", message: `there is no policy "${policy}"`, hint: `${nearest(policy, known) ?? `known: ${known.join(", ")}`}; a file of your own starts with "./"` });
    return ROUND_ROBIN;
  }
  const path = resolve(options.directory, policy);
  const file = statOf(path);
  if (typeof file !== "object" || !file.isFile()) problems.push({ path: [...at, "policy"], about: "value", message: `no file ${path}`, hint: "a policy's path is relative to the config file" });
  return { kind: "module", path, version: typeof file !== "object" ? "" : `${file.mtimeMs}-${file.size}`, timeout: upstream.policy_timeout ?? 1_000 };
}

/** The first layer that says something wins, the defaults last. */
function inherit<T extends object>(defaults: T, ...layers: readonly ({ readonly [K in keyof T]?: T[K] | undefined } | undefined)[]): T {
  const merged = { ...defaults };
  for (const layer of layers) for (const [name, value] of Object.entries(layer ?? {})) if (value !== undefined) merged[name as keyof T] = value as T[keyof T];
  return merged;
}

function http2Of(raw: RawListener, config: RawConfig): typeof DEFAULTS.http2 {
  return inherit(DEFAULTS.http2, config.http2, typeof raw.http2 === "boolean" ? { enabled: raw.http2 } : raw.http2);
}

function listenerOf(raw: RawListener, index: number, slot: number, config: RawConfig, tls: ListenerTls | undefined): ListenerConfig {
  const timeouts = inherit(DEFAULTS.timeouts, config.timeouts, raw.timeouts);
  const limits = inherit(DEFAULTS.limits, config.limits, raw.limits);
  const forwarding = inherit(DEFAULTS.forwarding, config.forwarding, raw.forwarding);
  const http2 = http2Of(raw, config);
  return {
    name: listenerName(raw, index),
    slot,
    address: raw.address,
    protocol: raw.protocol ?? "http",
    ...(raw.upstream === undefined ? {} : { upstream: raw.upstream }),
    ...(raw.health_path === undefined ? {} : { healthPath: raw.health_path }),
    ...(raw.proxy_protocol === undefined ? {} : { proxyProtocol: { from: raw.proxy_protocol.from, timeout: raw.proxy_protocol.timeout ?? 5_000, headerBytes: raw.proxy_protocol.header_bytes ?? 4096 } }),
    tcpUnavailable: raw.tcp_unavailable ?? "close",
    ...(raw.udp_responses === undefined ? {} : { udpResponses: raw.udp_responses }),
    maxClients: raw.max_clients ?? 10_000,
    maxClientsPerIp: raw.max_clients_per_ip ?? 0,
    http2: {
      enabled: http2.enabled,
      maxStreams: http2.max_concurrent_streams,
      streamWindow: http2.stream_window,
      connectionWindow: http2.connection_window,
      continuations: http2.continuations,
      resets: http2.resets,
      resetsPerSecond: http2.resets_per_second,
      glitches: http2.glitches,
      glitchesPerSecond: http2.glitches_per_second,
    },
    accessLog: raw.access_log ?? true,
    underscoreNames: raw.underscore_names ?? "reject",
    ...(tls === undefined ? {} : { tls }),
    ...(raw.redirect_https === undefined || raw.redirect_https === false ? {} : { redirectHttps: raw.redirect_https === true ? 443 : raw.redirect_https }),
    timeouts: {
      tlsHandshake: timeouts.tls_handshake,
      clientHeader: timeouts.client_header,
      clientBody: timeouts.client_body,
      clientIdle: timeouts.client_idle,
      request: timeouts.request,
      tunnelIdle: timeouts.tunnel_idle,
      udpIdle: timeouts.udp_idle,
    },
    limits: { headerBytes: limits.header_bytes, headerCount: limits.header_count, requestLineBytes: limits.request_line_bytes, bodyBytes: limits.body_bytes, clientHelloBytes: limits.client_hello_bytes },
    forwarding: {
      xForwarded: forwarding.x_forwarded,
      forwarded: forwarding.forwarded,
      via: forwarding.via,
      requestId: forwarding.request_id,
      trustedProxies: forwarding.trusted_proxies,
    },
  };
}

interface UpstreamContext {
  readonly policy: PolicyConfig;
  readonly tls: UpstreamTls | undefined;
  readonly plan: SlotPlan;
  readonly healthPaths: ReadonlyMap<string, string> | undefined;
  readonly zone: string | undefined;
  readonly directory: string;
  readonly secret: (() => string) | undefined;
}

/** With so few targets a share of them says little: one that is down and one that restarts would be panic. */
const PANIC_MIN_TARGETS = 4;

/** Those of `retry_on`; https://grpc.io/docs/guides/status-codes. */
const GRPC_STATUSES: Readonly<Record<string, number>> = { "grpc-cancelled": 1, "grpc-deadline-exceeded": 4, "grpc-resource-exhausted": 8, "grpc-internal": 13, "grpc-unavailable": 14 };

function upstreamOf(raw: RawUpstream, context: UpstreamContext): UpstreamConfig {
  const { policy, plan, healthPaths, tls } = context;
  const { targets = [] } = raw;
  const timeouts = inherit(DEFAULTS.upstreamTimeouts, raw.timeouts);
  const limits = inherit(DEFAULTS.upstreamLimits, raw.limits);
  const { host_header: host = "client", retry_on: retryOn = ["connect-failure", "reset", "timeout"], circuit_breaker: breaker, supervised } = raw;
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
    retry: {
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
    },
    queue: { size: raw.queue_size ?? 1024, timeout: raw.queue_timeout ?? 15_000 },
    ...(raw.hedge === undefined ? {} : { hedge: { percentile: raw.hedge.percentile ?? 95, minDelay: raw.hedge.min_delay ?? 2 } }),
    ...(breaker === undefined
      ? {}
      : { circuitBreaker: { failureRate: breaker.failure_rate ?? 50, minRequests: breaker.min_requests ?? 20, window: breaker.window ?? 10_000, openFor: breaker.open_for ?? 5_000, probes: breaker.probes ?? 3 } }),
    limits: { headerBytes: limits.header_bytes, headerCount: limits.header_count },
    ...(tls === undefined ? {} : { tls }),
    ...(raw.proxy_protocol === undefined ? {} : { proxyProtocol: raw.proxy_protocol }),
    ...(raw.health_check === undefined ? {} : { healthCheck: healthCheckOf(raw.health_check, healthPaths !== undefined, context) }),
    outliers: outliersOf(raw.outlier_detection),
    panicThreshold: raw.panic_threshold ?? (targets.length >= PANIC_MIN_TARGETS && healthPaths === undefined ? 50 : 0),
    overprovisioning: raw.overprovisioning ?? 1.4,
    slowStart: raw.slow_start ?? 0,
    drainTimeout: raw.drain_timeout ?? 30_000,
    ...(raw.heartbeat === undefined ? {} : { heartbeat: { ttl: raw.heartbeat.ttl ?? 15_000, register: raw.heartbeat.register ?? true } }),
    ...(supervised === undefined
      ? {}
      : {
          supervised: {
            command: commandOf(supervised.command, context.directory),
            instances: supervised.instances ?? 1,
            directory: resolve(context.directory, supervised.directory ?? "."),
            environment: supervised.environment ?? {},
            port: supervised.port ?? 0,
            replaceAfter: supervised.replace_after ?? 30_000,
            maxRestarts: supervised.max_restarts ?? 10,
            restartWindow: supervised.restart_window ?? 600_000,
            backoff: supervised.backoff ?? 100,
            backoffMax: supervised.backoff_max ?? 30_000,
            stopTimeout: supervised.stop_timeout ?? 10_000,
            startTimeout: supervised.start_timeout ?? 30_000,
            rollOnReload: supervised.roll_on_reload ?? true,
          },
        }),
    targets: targetsOf(raw, context),
  };
}

/** Tiers are priorities, and within each those of our own zone before the others; numbered without gaps. */
function targetsOf(raw: RawUpstream, { plan, healthPaths, zone }: UpstreamContext): TargetConfig[] {
  const targets = raw.targets ?? [];
  const rankOf = ({ priority, backup, zone: its }: (typeof targets)[number]): number => (priority ?? (backup === true ? 1 : 0)) * 2 + (raw.prefer_zone === true && its !== zone ? 1 : 0);
  const ranks = [...new Set(targets.map(rankOf))].toSorted((a, b) => a - b);
  const tiers = new Map(ranks.map((rank, tier) => [rank, tier]));
  return targets.map((target) => {
    const { address, weight } = target;
    const path = healthPaths?.get(address);
    return {
      address: parseAddress(address, false)!,
      name: address,
      weight: weight ?? 1,
      slot: plan.target(raw.name, address),
      zone: target.zone ?? "",
      tier: tiers.get(rankOf(target))!,
      maxConnections: target.max_connections ?? raw.max_connections ?? 0,
      maxRequests: target.max_requests ?? raw.max_requests ?? 0,
      drain: target.drain ?? false,
      ...(path === undefined ? {} : { healthPath: path }),
    };
  });
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

/** Without its table only what says that a target cannot be reached counts; false: nothing. */
function outliersOf(raw: RawUpstream["outlier_detection"]): OutlierConfig {
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

function healthCheckOf(raw: NonNullable<RawUpstream["health_check"]>, short: boolean, { directory, tls }: UpstreamContext): HealthCheckConfig {
  return {
    type: raw.type ?? "http",
    interval: raw.interval ?? 5_000,
    timeout: raw.timeout ?? 2_000,
    rise: raw.rise ?? 2,
    fall: raw.fall ?? 3,
    initial: raw.initial ?? "up",
    // In the short form a target without a path of its own is only connected to.
    path: short ? "" : (raw.path ?? "/"),
    method: raw.method ?? "GET",
    ...(raw.host === undefined ? {} : { host: raw.host }),
    headers: Object.entries(raw.headers ?? {}).map(([name, value]) => ({ name, value })),
    statuses: raw.statuses ?? [],
    ...(raw.body_contains === undefined ? {} : { bodyContains: raw.body_contains }),
    ...(raw.port === undefined ? {} : { port: raw.port }),
    tls: tls !== undefined && raw.tls !== false,
    service: raw.service ?? "",
    command: commandOf(raw.command ?? [], directory),
    ...(raw.send === undefined ? {} : { send: raw.send }),
  };
}

/** A program that is named with ./ or ../ stands beside the config file; one without a slash is found in PATH. */
function commandOf([program = "", ...args]: readonly string[], directory: string): string[] {
  if (program === "") return [];
  return [/^\.{1,2}\//.test(program) ? resolve(directory, program) : program, ...args];
}
