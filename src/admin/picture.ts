/** Makes the overview, and its parts, of what those know who decide: configuration, scoreboard, health, sampler. */
import type { ListenAddress, ListenerConfig, RouteConfig, Snapshot, TargetConfig, UpstreamConfig } from "../config/snapshot.ts";
import { formatAddress } from "../config/values.ts";
import type { HealthMonitor } from "../health/monitor.ts";
import type { Clock } from "../net/network.ts";
import { routeLabel } from "../routing/router.ts";
import type { History, PointRates } from "../sampling/history.ts";
import type { Sampler } from "../sampling/sampler.ts";
import { BREAKER_STATE, CLASSES, OPEN_EXCHANGES, OPEN_RETRIES, QUEUED, type Scoreboard, UNHEALTHY, WORKER_CLIENTS, WORKER_LAG } from "../scoreboard/scoreboard.ts";
import { BREAKER_STATES } from "../upstream/circuit-breaker.ts";
import { decayed, LatencyClock } from "../upstream/latency.ts";
import { certificatesOf } from "./certificates.ts";
import type { ListedFault } from "./faults.ts";
import type { ConfigState, HistoryAnswer, Overview, OverviewListener, OverviewRoute, OverviewSource, OverviewTarget, OverviewUpstream, RateByClass } from "./overview.ts";
import { targetOf, upstreamOf } from "./named.ts";

/** Of an upstream's targets the overview has so many at most. */
const MOST_TARGETS = 200;

/** Whom it asks; functions tell what is so at the time of each call. */
export interface PictureSources {
  readonly version: string;
  /** Wall-clock ms since 1970. */
  readonly startedAt: number;
  readonly snapshot: () => Snapshot;
  readonly scoreboard: Scoreboard;
  readonly health: HealthMonitor;
  readonly sampler: Sampler;
  readonly clock: Clock;
  /** Those who serve. */
  readonly workers: () => readonly { readonly pid: number; readonly slot: number }[];
  /** Where a listener's socket is bound; undefined: nowhere yet. */
  readonly boundTo: (listener: string) => ListenAddress | undefined;
  readonly config: () => ConfigState;
  readonly faults: () => readonly ListedFault[];
}

export class Picture implements OverviewSource {
  private readonly sources: PictureSources;
  private readonly latencyClock: LatencyClock;

  constructor(sources: PictureSources) {
    this.sources = sources;
    this.latencyClock = new LatencyClock(sources.clock);
  }

  overview(): Overview {
    const { listeners, routes, upstreams } = this.sources.snapshot();
    return {
      ...this.brief(),
      listeners: listeners.map((listener) => this.listener(listener)),
      routes: routes.map((route) => this.route(route)),
      upstreams: upstreams.map((upstream) => this.upstream(upstream, MOST_TARGETS)),
    };
  }

  /** The instance as a whole. */
  brief(): Pick<Overview, "instance" | "totals"> {
    const { snapshot, scoreboard, sampler } = this.sources;
    const rates = sampler.instance;
    return {
      instance: this.instance(),
      totals: {
        ...told(rates),
        open_requests: snapshot().upstreams.reduce((sum, { slot }) => sum + Math.max(0, scoreboard.upstreams.held(slot, OPEN_EXCHANGES)), 0),
        open_clients: Math.max(0, scoreboard.clients),
        bytes_in_rate: rounded(rates.bytesReceived),
        bytes_out_rate: rounded(rates.bytesSent),
      },
    };
  }

  private instance(): Overview["instance"] {
    const { version, startedAt, snapshot, scoreboard, health, workers, config, faults } = this.sources;
    return {
      version,
      generation: snapshot().generation,
      pid: process.pid,
      started_at: iso(startedAt),
      state: scoreboard.draining ? "draining" : "ok",
      workers: workers().map(({ pid, slot }) => ({ pid, slot, clients: Math.max(0, scoreboard.workerWord(slot, WORKER_CLIENTS)), lag_ms: scoreboard.workerWord(slot, WORKER_LAG) / 1000 })),
      config: config(),
      panicking: health.rotation.panicking,
      // Workers that drain have ended theirs.
      faults: scoreboard.draining ? [] : faults().flatMap(({ active, rule: { name, until, percent } }) => (active && percent > 0 ? [{ name, until: until === undefined ? null : iso(until) }] : [])),
    };
  }

  listener({ name, slot, address, protocol, tls, upstream }: ListenerConfig): OverviewListener {
    const { scoreboard, sampler, boundTo, snapshot } = this.sources;
    const now = this.sources.clock.wall();
    return {
      name,
      address: formatAddress(boundTo(name) ?? address),
      protocol,
      tls: tls !== undefined,
      upstream: upstream ?? null,
      clients: Math.max(0, scoreboard.clientsOf(slot)),
      ...told(sampler.listener(slot)),
      certificates: certificatesOf(snapshot(), now).filter(({ listener }) => listener === name).map(({ names, notAfter, daysLeft }) => ({ names: [...names], not_after: notAfter, days_left: daysLeft })),
    };
  }

  route(route: RouteConfig): OverviewRoute {
    const { slot, listeners, hosts, pathPrefix, methods, headers, upstream } = route;
    return {
      label: routeLabel(route),
      listeners: [...listeners],
      hosts: [...hosts],
      path_prefix: pathPrefix ?? null,
      methods: [...methods],
      headers: headers.map(({ name, value }) => ({ name, value: value ?? null })),
      upstream,
      ...told(this.sources.sampler.route(slot)),
    };
  }

  /** @param most of its targets, those that are not plainly up first, then the busiest */
  upstream(config: UpstreamConfig, most: number): OverviewUpstream {
    return { ...this.upstreamOnly(config), targets: this.noteworthy(config.targets, most).map((target) => this.target(config, target)) };
  }

  upstreamOnly(config: UpstreamConfig): Omit<OverviewUpstream, "targets"> {
    const { scoreboard, health, sampler } = this.sources;
    const { name, slot, policy, protocol, circuitBreaker, targets } = config;
    const rates = sampler.upstream(slot);
    const of = (word: number): number => Math.max(0, scoreboard.upstreams.held(slot, word));
    return {
      name,
      policy: policy.kind === "builtin" ? policy.name : policy.path,
      protocol,
      open_requests: of(OPEN_EXCHANGES),
      queued: of(QUEUED),
      retries_open: of(OPEN_RETRIES),
      retry_rate: rates.retries,
      breaker: circuitBreaker === undefined ? null : BREAKER_STATES[scoreboard.words[scoreboard.upstreamWordAt(slot, BREAKER_STATE)]! as 0 | 1 | 2],
      panic: health.rotation.panicking.includes(name),
      ...told(rates),
      target_count: targets.length,
      healthy_count: targets.reduce((count, target) => ((scoreboard.flags(target.slot) & UNHEALTHY) === 0 ? count + 1 : count), 0),
    };
  }

  /** Those that are not plainly up, then the busiest; in the order of the configuration where there are few. */
  private noteworthy(targets: readonly TargetConfig[], most: number): readonly TargetConfig[] {
    if (targets.length <= most) return targets;
    const { scoreboard, sampler } = this.sources;
    const out = targets.filter(({ slot }) => scoreboard.flags(slot) !== 0).slice(0, most);
    const known = new Set(out);
    const busy = targets.filter((target) => !known.has(target)).map((target) => ({ target, load: sampler.ended(target.slot) + scoreboard.openRequests(target.slot) }));
    busy.sort((a, b) => b.load - a.load);
    return [...out, ...busy.slice(0, most - out.length).map(({ target }) => target)];
  }

  target({ name: upstream }: UpstreamConfig, { name, slot, weight, zone, tier }: TargetConfig): OverviewTarget {
    const { scoreboard, health, sampler } = this.sources;
    const latency = decayed(scoreboard, slot, this.latencyClock.stamp);
    const last = health.checker.of(slot)?.lastResult;
    const ejected = health.ejection.of(upstream, slot);
    return {
      address: name,
      ...health.rotation.status(slot),
      since: iso(health.rotation.since(slot)),
      weight,
      zone,
      tier,
      open_requests: scoreboard.openRequests(slot),
      open_connections: scoreboard.openConnections(slot),
      ...told(sampler.target(slot)),
      latency_ms: latency === 0 ? null : rounded(latency),
      check: last === undefined ? null : { ok: last.ok, reason: last.reason, at: iso(last.at), milliseconds: rounded(last.milliseconds) },
      ejected: ejected === undefined ? null : { detector: ejected.detector, until: iso(ejected.until), times: ejected.times },
    };
  }

  history(upstream: string | undefined, target: string | undefined): HistoryAnswer {
    const { sampler, snapshot } = this.sources;
    if (upstream === undefined) return historyOf(sampler.instanceHistory);
    if (target === undefined) return historyOf(sampler.upstreamHistory(upstreamOf(snapshot(), upstream).slot));
    return historyOf(sampler.targetHistory(targetOf(snapshot(), upstream, target).slot));
  }
}

function historyOf({ interval, points }: History): HistoryAnswer {
  return { interval_ms: interval, points: points.map(({ at, rates, open }) => ({ at: iso(at), ...told(rates), open })) };
}

function told({ total, classes, p50, p99 }: PointRates): { rate: number; rate_by_class: RateByClass; p50_ms: number | null; p99_ms: number | null } {
  return {
    rate: rounded(total),
    rate_by_class: Object.fromEntries(CLASSES.map((name, index) => [name, rounded(classes[index]!)])) as RateByClass,
    p50_ms: p50 === undefined ? null : rounded(p50),
    p99_ms: p99 === undefined ? null : rounded(p99),
  };
}

/** More digits would say nothing, and cost bytes. */
function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

export function iso(at: number): string {
  return new Date(at).toISOString();
}
