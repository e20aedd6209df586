/**
 * One policy in one scenario: the product's own upstream, policy, rotation, outlier detection and retries, with virtual time and modelled targets
 * instead of sockets. Deterministic: everything is drawn from the seed, and each policy meets the same requests.
 *
 * Not modelled: the network, the balancer's own time, bodies, sticky sessions, hedging, and the queue's limits.
 */
import type { Snapshot, UpstreamConfig } from "../config/snapshot.ts";
import { Ejection } from "../health/ejection.ts";
import { TargetHealth } from "../health/health.ts";
import { Rotation } from "../health/rotation.ts";
import { backoff, mayRetry } from "../upstream/retry.ts";
import { silentLog } from "../observability/log.ts";
import type { BalancerContext } from "../policies/balanced.ts";
import type { RoutingPolicy, RoutingRequest } from "../policies/policy.ts";
import { Flag, Scoreboard } from "../scoreboard/scoreboard.ts";
import { LatencyClock } from "../upstream/latency.ts";
import { Target } from "../upstream/target.ts";
import { Upstream, type UpstreamHost } from "../upstream/upstream.ts";
import type { Arrivals } from "./arrivals.ts";
import { randomFrom } from "./chance.ts";
import type { Scenario } from "./scenarios.ts";
import { Server } from "./server.ts";
import { Event, Timeline, VirtualClock } from "./timeline.ts";

/** A connect that is refused takes this long, in ms. */
const REFUSAL = 0.5;
/** The charts have so many points. */
const WINDOWS = 60;
/** Of latencies in a window: bucket n ends at 2^(n ÷ 8) × 0.1 ms. */
const BUCKETS = 200;
/** Worker processes that share the scoreboard. */
const WORKERS = 2;

export interface SimulationOptions {
  readonly scenario: Scenario;
  /** One upstream and what it needs; its policy is the one that is tried. */
  readonly snapshot: Snapshot;
  readonly policy: (context: BalancerContext) => RoutingPolicy;
  readonly arrivals: Arrivals;
  /** Draws how long a target takes for a request, in ms. */
  readonly service: (random: () => number) => number;
  /** Requests that a target of mean weight works on at a time. */
  readonly places: number;
  readonly seed: number;
}

export interface SimulationResult {
  readonly requests: number;
  readonly failures: number;
  readonly retries: number;
  /** Of the requests that were answered, in ms. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Jain's index of the requests for each unit of weight: 1 is even, 1 ÷ n is all on one (R. Jain et al., 1984). */
  readonly fairness: number;
  /** Share of the requests that went elsewhere than the same client's last one. */
  readonly moved: number;
  /** The most that one target had open, less one, over the mean of the usable ones at that moment: the c of "at most c × the mean + 1". */
  readonly hottest: number;
  /** p99 of each window of time, in ms. */
  readonly p99Over: readonly number[];
  /** Requests that each target was given, over all. */
  readonly byTarget: readonly number[];
}

/** What goes on with one request. */
interface Exchange {
  /** Counts up, so that events of an attempt before are known as such. */
  stamp: number;
  key: number;
  arrived: number;
  service: number;
  picked: number;
  target: Target | undefined;
  worker: Upstream;
  attempts: number;
  readonly tried: Target[];
  /** It holds a place in the retry budget. */
  retrying: boolean;
  /** The circuit breaker let it through to try. */
  probe: boolean;
}

export function simulate(options: SimulationOptions): SimulationResult {
  return new Simulation(options).run();
}

/** Policies of the user's own may answer later; virtual time cannot wait for that. */
export class AsynchronousPolicy extends Error {
  constructor() {
    super("a policy that answers with a promise cannot be simulated");
  }
}

class Simulation {
  private readonly options: SimulationOptions;
  private readonly timeline = new Timeline();
  private readonly clock = new VirtualClock(this.timeline);
  private readonly config: UpstreamConfig;
  private readonly board: Scoreboard;
  private readonly rotation: Rotation;
  private readonly ejection: Ejection;
  private readonly workers: readonly Upstream[];
  private readonly servers: readonly Server[];
  /** Index of a target by its slot. */
  private readonly indexes = new Map<number, number>();
  private readonly chance: () => number;
  private readonly traffic: () => number;
  private readonly exchanges: Exchange[] = [];
  private readonly free: number[] = [];
  /** For a place at a target. */
  private readonly queue: number[] = [];
  private readonly request: { -readonly [K in keyof RoutingRequest]: RoutingRequest[K] };
  private arrived = 0;
  private left: number;
  private readonly latencies: Float64Array;
  private answered = 0;
  private failures = 0;
  private retries = 0;
  private open = 0;
  private readonly openBy: Int32Array;
  private hottest = 0;
  private readonly byTarget: Int32Array;
  private readonly lastTarget: Int32Array;
  private moves = 0;
  private returns = 0;
  private readonly windows = Array.from({ length: WINDOWS }, () => new Int32Array(BUCKETS));

  constructor(options: SimulationOptions) {
    const { snapshot, scenario, arrivals, seed, places } = options;
    this.options = options;
    this.config = snapshot.upstreams[0]!;
    const { targets } = this.config;
    this.chance = randomFrom(seed + 1);
    this.traffic = randomFrom(seed);
    this.board = Scoreboard.local({ workers: WORKERS, targets: 1 + targets.reduce((most, { slot }) => Math.max(most, slot), 0), upstreams: this.config.slot + 1 });
    const log = silentLog();
    this.rotation = new Rotation({ scoreboard: this.board, clock: this.clock, log });
    this.ejection = new Ejection({ scoreboard: this.board, rotation: this.rotation, clock: this.clock, log });
    const latencyClock = new LatencyClock(this.clock);
    this.workers = Array.from({ length: WORKERS }, (_, slot) => {
      const host: UpstreamHost = { board: this.board, slot, clock: this.clock, latencyClock, log, random: this.chance, report: (outlier) => this.ejection.report(outlier) };
      return new Upstream(this.config, targets.map((target) => new Target(target, this.board, slot, latencyClock)), (_tier, context) => options.policy(context), host);
    });
    const meanWeight = targets.reduce((sum, { weight }) => sum + weight, 0) / targets.length;
    this.servers = targets.map(({ weight }, index) => new Server(Math.max(1, Math.round((places * weight) / meanWeight)), scenario.behaviour(index, targets.length)));
    for (const [index, { slot }] of targets.entries()) this.indexes.set(slot, index);
    this.request = { protocol: "http", clientAddress: "", clientPort: 0, method: "GET", host: "simulated", path: "/", key: undefined, header: () => undefined };
    this.left = arrivals.count;
    this.latencies = new Float64Array(arrivals.count);
    this.openBy = new Int32Array(targets.length);
    this.byTarget = new Int32Array(targets.length);
    this.lastTarget = new Int32Array(arrivals.keys.length).fill(-1);
  }

  run(): SimulationResult {
    const { timeline } = this;
    this.rotation.apply(this.options.snapshot);
    this.ejection.apply(this.options.snapshot);
    this.arrange();
    this.nextArrival();
    while (this.left > 0 && timeline.next()) {
      const { kind, id } = timeline;
      if (kind === Event.ARRIVAL) this.arrive(id);
      else if (kind === Event.DONE) this.done(id, timeline.stamp);
      else if (kind === Event.RETRY) this.pick(id);
      else this.clock.ring(id);
    }
    return this.result();
  }

  /** Deaths, returns and joins, and the checks that find them out. */
  private arrange(): void {
    const { duration } = this.options.arrivals;
    for (const [index, server] of this.servers.entries()) {
      const { dead = [], joins } = server.behaviour;
      const { slot } = this.config.targets[index]!;
      for (const { from, to } of dead) {
        this.clock.after(from * duration, () => this.kill(server));
        this.clock.after(to * duration, () => void (server.dead = false));
      }
      if (joins !== undefined) {
        this.rotation.setWithdrawn(slot, Flag.MAINTENANCE, "scenario", true);
        this.clock.after(joins * duration, () => this.rotation.setWithdrawn(slot, Flag.MAINTENANCE, "scenario", false));
      }
      this.check(index, server);
    }
  }

  /** The upstream's health check, as far as it matters here: is the target dead? */
  private check(index: number, server: Server): void {
    const { healthCheck, targets } = this.config;
    if (healthCheck === undefined) return;
    const { interval, rise, fall } = healthCheck;
    const health = new TargetHealth(true, 0, true);
    const { slot } = targets[index]!;
    const ask = (): void => {
      const verdict = { ok: !server.dead, reason: "", conclusive: true };
      const changed = health.record(verdict, this.timeline.now, 1, rise, fall);
      if (verdict.ok) this.ejection.passed(slot, changed);
      if (changed) this.rotation.setUnhealthy(slot, Flag.DOWN, !health.up);
      this.clock.after(interval, ask);
    };
    this.clock.after(this.chance() * interval, ask);
  }

  private nextArrival(): void {
    const { arrivals, service } = this.options;
    if (this.arrived === arrivals.count) return;
    this.arrived++;
    const { gap, key } = arrivals.next(this.traffic);
    const id = this.free.pop() ?? this.exchanges.push({ stamp: 0, key: 0, arrived: 0, service: 0, picked: 0, target: undefined, worker: this.workers[0]!, attempts: 0, tried: [], retrying: false, probe: false }) - 1;
    const exchange = this.exchanges[id]!;
    exchange.key = key;
    exchange.arrived = this.timeline.now + gap;
    exchange.service = service(this.traffic);
    exchange.attempts = 0;
    exchange.tried.length = 0;
    exchange.retrying = false;
    exchange.worker = this.workers[this.traffic() < 0.5 ? 0 : 1]!;
    this.timeline.add(exchange.arrived, Event.ARRIVAL, id);
  }

  private arrive(id: number): void {
    this.nextArrival();
    const exchange = this.exchanges[id]!;
    const admission = exchange.worker.admits();
    exchange.probe = admission === "probe";
    if (admission === "no") this.finish(id, false);
    else this.pick(id);
  }

  private pick(id: number): void {
    const exchange = this.exchanges[id]!;
    const { worker, tried } = exchange;
    this.request.key = this.options.arrivals.keys[exchange.key]!;
    this.request.clientAddress = this.request.key;
    const target = worker.pick(this.request, tried);
    if (target instanceof Promise) throw new AsynchronousPolicy();
    if (target === undefined || !worker.enter(target)) {
      if (worker.isFull(tried)) this.queue.push(id);
      else this.finish(id, false);
      return;
    }
    exchange.target = target;
    exchange.picked = this.timeline.now;
    exchange.attempts++;
    const index = this.indexes.get(target.slot)!;
    this.count(index, exchange);
    const server = this.servers[index]!;
    if (server.dead) return this.timeline.add(this.timeline.now + REFUSAL, Event.DONE, id, exchange.stamp);
    server.held.add(id);
    if (server.busy < server.places) this.serve(server, id);
    else server.wait(id);
  }

  private count(index: number, { key, attempts, worker }: Exchange): void {
    this.open++;
    const open = ++this.openBy[index]!;
    this.byTarget[index]!++;
    const usable = worker.usable.length;
    const mean = this.open / usable;
    // With next to nothing open, one request is all of it.
    if (this.open >= usable) this.hottest = Math.max(this.hottest, (open - 1) / mean);
    if (attempts > 1) return;
    const last = this.lastTarget[key]!;
    if (last >= 0) {
      this.returns++;
      if (last !== index) this.moves++;
    }
    this.lastTarget[key] = index;
  }

  /** Nobody waits for an answer any longer than the upstream's timeout. */
  private isLate({ picked }: Exchange): boolean {
    const { response } = this.config.timeouts;
    return response > 0 && this.timeline.now - picked > response;
  }

  private serve(server: Server, id: number): void {
    const exchange = this.exchanges[id]!;
    server.busy++;
    const time = this.timeline.now / this.options.arrivals.duration;
    this.timeline.add(this.timeline.now + exchange.service * server.slowness(time), Event.DONE, id, exchange.stamp);
  }

  private kill(server: Server): void {
    for (const id of server.die()) {
      // What it would have done then does not happen.
      this.exchanges[id]!.stamp++;
      this.failed(id, "target-reset");
    }
  }

  private done(id: number, stamp: number): void {
    const exchange = this.exchanges[id]!;
    if (exchange.stamp !== stamp) return;
    const server = this.servers[this.indexes.get(exchange.target!.slot)!]!;
    if (!server.held.delete(id)) return this.failed(id, "connect-refused");
    server.busy--;
    this.serveNext(server);
    if (this.isLate(exchange)) return this.failed(id, "response-timeout");
    this.leave(exchange, false);
    this.finish(id, true);
  }

  private serveNext(server: Server): void {
    for (let next = server.nextWaiting(); next !== undefined; next = server.nextWaiting()) {
      if (!this.isLate(this.exchanges[next]!)) return this.serve(server, next);
      server.held.delete(next);
      this.failed(next, "response-timeout");
    }
  }

  private failed(id: number, cause: "connect-refused" | "target-reset" | "response-timeout"): void {
    const exchange = this.exchanges[id]!;
    const { worker, target, attempts } = exchange;
    this.leave(exchange, true);
    const how = mayRetry(this.config, cause, attempts, true);
    exchange.tried.push(target!);
    if (how === "no") return this.finish(id, false);
    if (how === "within budget") {
      if (!worker.retryBegins()) return this.finish(id, false);
      exchange.retrying = true;
    }
    this.retries++;
    const pause = how === "at once" ? 0 : backoff(this.config.retry, attempts, this.chance());
    this.timeline.add(this.timeline.now + pause, Event.RETRY, id);
  }

  private leave(exchange: Exchange, failed: boolean): void {
    const { worker, target, picked } = exchange;
    this.open--;
    this.openBy[this.indexes.get(target!.slot)!]!--;
    worker.leave(target!, { failed, milliseconds: this.timeline.now - picked, status: failed ? 0 : 200 }, this.timeline.now - picked, exchange.probe);
    exchange.probe = false;
    if (exchange.retrying) worker.retryEnds();
    exchange.retrying = false;
    exchange.stamp++;
    const next = this.queue.shift();
    if (next !== undefined) this.timeline.add(this.timeline.now, Event.RETRY, next);
  }

  private finish(id: number, answered: boolean): void {
    const { arrived, probe, worker } = this.exchanges[id]!;
    if (probe) worker.probeUnused();
    this.exchanges[id]!.probe = false;
    this.left--;
    this.free.push(id);
    if (!answered) {
      this.failures++;
      return;
    }
    const latency = this.timeline.now - arrived;
    this.latencies[this.answered++] = latency;
    const window = Math.min(WINDOWS - 1, Math.floor((arrived / this.options.arrivals.duration) * WINDOWS));
    this.windows[window]![Math.max(0, Math.min(BUCKETS - 1, Math.ceil(Math.log2(latency * 10) * 8)))]!++;
  }

  private result(): SimulationResult {
    const sorted = this.latencies.subarray(0, this.answered).sort();
    const quantile = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
    const perWeight = this.config.targets.map(({ weight }, index) => this.byTarget[index]! / weight);
    const sum = perWeight.reduce((a, b) => a + b, 0);
    return {
      requests: this.options.arrivals.count,
      failures: this.failures,
      retries: this.retries,
      p50: quantile(0.5),
      p99: quantile(0.99),
      p999: quantile(0.999),
      fairness: sum ** 2 / (perWeight.length * perWeight.reduce((a, b) => a + b * b, 0)),
      moved: this.returns === 0 ? 0 : this.moves / this.returns,
      hottest: this.hottest,
      p99Over: this.windows.map(p99Of),
      byTarget: [...this.byTarget],
    };
  }
}

function p99Of(buckets: Int32Array): number {
  const wanted = buckets.reduce((a, b) => a + b, 0) * 0.99;
  if (wanted === 0) return Number.NaN;
  let seen = 0;
  const bucket = buckets.findIndex((count) => (seen += count) >= wanted);
  return 2 ** (bucket / 8) / 10;
}
