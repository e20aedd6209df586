/** A config whose every value is right by itself becomes a Snapshot, or a list of what does not fit together. */
import { availableParallelism } from "node:os";
import { routeLabel } from "../routing/router.ts";
import { acmeOf, checkAcme } from "./compile/acme.ts";
import { adminOf } from "./compile/admin.ts";
import { exchangesOf } from "./compile/exchanges.ts";
import { checkListeners, http2Of, listenerOf } from "./compile/listener.ts";
import { checkLogs, logsOf } from "./compile/logs.ts";
import { metricsOf } from "./compile/metrics.ts";
import { checkNames, checkReferences, listenerName } from "./compile/names.ts";
import { policyOf, type PolicySources, ROUND_ROBIN, strangePolicies } from "./compile/policy.ts";
import { checkRoutes, routesOf } from "./compile/route.ts";
import { expandShortForm } from "./compile/short-form.ts";
import { checkTargets } from "./compile/target.ts";
import { listenerTls, type TlsSources, upstreamTls } from "./compile/tls.ts";
import { checkTracing, tracingOf } from "./compile/tracing.ts";
import { checkUdp } from "./compile/udp.ts";
import { checkUpstream, upstreamOf } from "./compile/upstream.ts";
import { userOf } from "./compile/user.ts";
import { checkFaults, faultsOf, grows } from "./faults.ts";
import { type JoinedTarget, withJoined } from "./joined.ts";
import { type Overrides, overridden } from "./overrides.ts";
import type { Problem } from "./problem.ts";
import type { RawConfig } from "./schema.ts";
import type { SecretFiles } from "./secret-files.ts";
import type { SlotAllocator, SlotPlan } from "./slots.ts";
import type { Snapshot } from "./snapshot.ts";

export interface CompileOptions extends TlsSources, PolicySources {
  /** Keeps rows of the scoreboard over reloads. */
  readonly slots: SlotAllocator;
  readonly generation: number;
  readonly secrets: SecretFiles;
  /** Gives what signs sticky cookies where the config names no secret; called only then. */
  readonly secret?: () => string;
  /** Targets beyond the file's, by upstream: what registered itself or was started. */
  readonly joined?: ReadonlyMap<string, readonly JoinedTarget[]>;
  /** What was said of upstreams and their targets since the file was read; laid over those that joined, too. */
  readonly overrides?: Overrides;
}

/** Addresses of the targets that the file names, by upstream. */
export type ListedTargets = ReadonlyMap<string, ReadonlySet<string>>;

export type Compiled = { readonly ok: true; readonly snapshot: Snapshot; readonly plan: SlotPlan; readonly listed: ListedTargets } | { readonly ok: false; readonly problems: readonly Problem[] };

export function compile(raw: RawConfig, options: CompileOptions): Compiled {
  const problems: Problem[] = [];
  const long = expandShortForm(raw, problems);
  const { listeners } = long;
  const upstreams = long.upstreams.map((upstream) => overridden(withJoined(upstream, options.joined?.get(upstream.name) ?? []), options.overrides?.get(upstream.name)));
  const admin = adminOf(raw, options.secrets, options.directory, problems);
  const user = userOf(raw, problems);
  checkTracing(raw.tracing, problems);
  checkLogs(raw, options.directory, problems);
  checkListeners(listeners, long.routes, problems);
  checkUdp(listeners, upstreams, problems);
  checkNames(upstreams, "upstream", problems);
  checkNames(long.routes, "route", problems);
  checkReferences(long, problems);
  checkAcme(listeners, long.routes, options.directory, problems);
  checkRoutes(long.routes, listeners, problems);
  checkFaults(raw.faults, { listeners: listeners.map((listener, index) => ({ name: listenerName(listener, index), protocol: listener.protocol ?? "http" })), routes: routesOf(long.routes).map(routeLabel), upstreams: long.upstreams.map((upstream) => ({ name: upstream.name, targets: (upstream.targets ?? []).map(({ address }) => address), grows: grows(upstream) })) }, problems);
  const strange = strangePolicies(long.upstreams, options.overrides, problems);
  const policies = upstreams.map((upstream, index) => (strange.has(upstream.name) ? ROUND_ROBIN : policyOf(upstream, ["upstreams", index], options, problems)));
  for (const [index, upstream] of upstreams.entries()) {
    checkTargets(upstream, index, problems);
    checkUpstream(upstream, index, raw, problems);
  }
  const hosts = long.routes.flatMap((route) => (route.hosts ?? []).map((host) => host.toLowerCase()));
  const tlsOfListeners = listeners.map((listener, index) => listenerTls(listener, hosts, http2Of(listener, raw).enabled, ["listeners", index], options, acmeOf(listener, listeners, long.routes, options.directory), problems));
  const tlsOfUpstreams = upstreams.map((upstream, index) => upstreamTls(upstream, ["upstreams", index], options, problems));
  if (problems.length > 0) return { ok: false, problems };

  const routes = routesOf(long.routes);
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
    metrics: metricsOf(raw),
    listeners: listeners.map((listener, index) => listenerOf(listener, index, plan.listener(listenerName(listener, index)), raw, tlsOfListeners[index])),
    routes: routes.map((route) => ({ ...route, slot: plan.route(routeLabel(route)) })),
    upstreams: upstreams.map((upstream, index) => upstreamOf(upstream, { policy: policies[index]!, tls: tlsOfUpstreams[index], plan, healthPaths: long.healthPaths, zone: raw.zone, directory: options.directory, secret: options.secret })),
  };
  return { ok: true, snapshot, plan, listed: new Map(long.upstreams.map(({ name, targets = [] }) => [name, new Set(targets.map(({ address }) => address))])) };
}
