/** Makes the resources: what the picture has of each, and all else that is known of one. */
import type { CircuitBreakerConfig, Snapshot, TargetConfig } from "../config/snapshot.ts";
import type { HealthMonitor } from "../health/monitor.ts";
import type { Clock } from "../net/network.ts";
import { BREAKER_SINCE, RETRIES_HELD, type Scoreboard } from "../scoreboard/scoreboard.ts";
import type { InstanceStatus as SupervisedStatus } from "../supervised/supervised.ts";
import { LatencyClock } from "../upstream/latency.ts";
import { listenerOf, targetOf, upstreamOf } from "./named.ts";
import { iso, type Picture } from "./picture.ts";
import type { InstanceResource, ListenerDetail, ResourceSource, TargetDetail, UpstreamDetail, UpstreamSummary } from "./resources.ts";
import { trafficOf } from "./traffic.ts";

export interface DetailSources {
  readonly picture: Picture;
  readonly snapshot: () => Snapshot;
  readonly scoreboard: Scoreboard;
  readonly health: HealthMonitor;
  readonly clock: Clock;
  /** Back ends that we started. */
  readonly supervised: () => readonly SupervisedStatus[];
}

export class Details implements ResourceSource {
  private readonly sources: DetailSources;
  private readonly latencyClock: LatencyClock;

  constructor(sources: DetailSources) {
    this.sources = sources;
    this.latencyClock = new LatencyClock(sources.clock);
  }

  instance(): InstanceResource {
    const { picture, clock } = this.sources;
    const { instance, totals } = picture.brief();
    return { ...instance, uptime_ms: Math.max(0, Math.round(clock.wall() - Date.parse(instance.started_at))), open_clients: totals.open_clients, open_requests: totals.open_requests };
  }

  listeners(): ReturnType<ResourceSource["listeners"]> {
    return this.sources.snapshot().listeners.map((listener) => this.sources.picture.listener(listener));
  }

  listener(name: string): ListenerDetail {
    const { snapshot, picture } = this.sources;
    const config = listenerOf(snapshot(), name);
    const isRouted = config.protocol === "http" || config.protocol === "tls-passthrough";
    const routes = isRouted ? snapshot().routes.filter(({ listeners }) => listeners.length === 0 || listeners.includes(name)) : [];
    return {
      ...picture.listener(config),
      routes: routes.map((route) => picture.route(route).label),
      max_clients: config.maxClients,
      max_clients_per_ip: config.maxClientsPerIp || null,
      proxy_protocol_from: config.proxyProtocol === undefined ? null : [...config.proxyProtocol.from],
      http2: config.protocol === "http" && config.http2.enabled,
      timeouts_ms: snakeKeys(config.timeouts),
    };
  }

  routes(): ReturnType<ResourceSource["routes"]> {
    return this.sources.snapshot().routes.map((route) => this.sources.picture.route(route));
  }

  upstreams(): UpstreamSummary[] {
    const { snapshot, picture } = this.sources;
    return snapshot().upstreams.map((config) => picture.upstreamOnly(config));
  }

  upstream(name: string): UpstreamDetail {
    const { snapshot, scoreboard, picture } = this.sources;
    const config = upstreamOf(snapshot(), name);
    const { slot, queue, retry, hedge, circuitBreaker, healthCheck, targets } = config;
    const { open, requests, failures, retries, hedges, queue: queued, circuitBreaker: breaker } = trafficOf(scoreboard, name, slot, targets);
    return {
      ...picture.upstream(config, Infinity),
      queue: { size: queue.size, timeout_ms: queue.timeout, waiting: Math.max(0, open.queued), waited_total: queued.waited, waited_ms_total: queued.milliseconds, full_total: queued.full, timeout_total: queued.timeouts },
      retry_budget: {
        retries: retry.retries,
        allowed: Math.max(retry.budgetMin, Math.floor((retry.budget / 100) * Math.max(0, open.requests))),
        held: Math.max(0, scoreboard.words[scoreboard.upstreamWordAt(slot, RETRIES_HELD)]!),
        made_total: retries.made,
        refused_total: retries.refusedByBudget,
      },
      hedges: hedge === undefined ? null : { percentile: hedge.percentile, min_delay_ms: hedge.minDelay, sent_total: hedges.sent, won_total: hedges.won },
      circuit_breaker: circuitBreaker === undefined ? null : this.breaker(circuitBreaker, slot, breaker.state as "closed" | "open" | "half-open", breaker.refused),
      panic_threshold: config.panicThreshold,
      sticky_cookie: config.sticky?.cookie ?? null,
      health_check: healthCheck === undefined ? null : { type: healthCheck.type, interval_ms: healthCheck.interval, timeout_ms: healthCheck.timeout, rise: healthCheck.rise, fall: healthCheck.fall },
      slow_start_ms: config.slowStart,
      drain_timeout_ms: config.drainTimeout,
      timeouts_ms: snakeKeys(config.timeouts),
      requests_total: requests,
      failures_total: failures,
    };
  }

  private breaker({ openFor, failureRate }: CircuitBreakerConfig, slot: number, state: "closed" | "open" | "half-open", refused: number): NonNullable<UpstreamDetail["circuit_breaker"]> {
    const { scoreboard, clock } = this.sources;
    const stamp = scoreboard.words[scoreboard.upstreamWordAt(slot, BREAKER_SINCE)]!;
    // Fresh memory: it has been closed from the beginning.
    const since = stamp === 0 ? undefined : clock.wall() - Math.max(0, (this.latencyClock.stamp - stamp) | 0);
    return { state, since: since === undefined ? null : iso(since), until: since === undefined || state !== "open" ? null : iso(since + openFor), failure_rate: failureRate, refused_total: refused };
  }

  target(upstream: string, address: string): TargetDetail {
    const { snapshot, scoreboard, health, picture, supervised } = this.sources;
    const group = upstreamOf(snapshot(), upstream);
    const config = targetOf(snapshot(), upstream, address);
    const told = picture.target(group, config);
    const detail = health.rotation.detail(config.slot);
    const started = supervised().find((instance) => instance.upstream === upstream && instance.address === address);
    const { requests, failures } = trafficOf(scoreboard, upstream, group.slot, [config]);
    return {
      upstream,
      ...told,
      weights: {
        configured: config.weight,
        effective: config.weight * told.share,
        agent_percent: detail?.agentPercent ?? 100,
        heartbeat: detail?.capacity ?? null,
        slow_start_until: optionalTime(detail?.warmAt),
      },
      withdrawn: (detail?.withdrawn ?? []).map(({ since, ...withdrawn }) => ({ ...withdrawn, since: iso(since) })),
      cut_at: optionalTime(detail?.cutAt),
      health: this.health(config, told),
      max_connections: config.maxConnections || null,
      max_requests: config.maxRequests || null,
      requests_total: requests,
      failures_total: failures,
      supervised: started === undefined ? null : { pid: started.pid, state: started.state, restarts: started.restarts },
    };
  }

  private health({ slot }: TargetConfig, { check, since }: { readonly check: TargetDetail["check"]; readonly since: string }): TargetDetail["health"] {
    const checked = this.sources.health.checker.of(slot);
    return { kind: checked?.check ?? "none", up: checked?.up ?? true, since: checked === undefined ? since : iso(checked.since), last: check, successes: checked?.successes ?? 0, failures: checked?.failures ?? 0 };
  }
}

function optionalTime(at: number | undefined): string | null {
  return at === undefined ? null : iso(at);
}

/** `clientHeader` as `client_header`. */
function snakeKeys(timeouts: object): Record<string, number> {
  return Object.fromEntries(Object.entries(timeouts).map(([name, value]) => [name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value as number]));
}
