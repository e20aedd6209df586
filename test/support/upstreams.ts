/** Upstreams as the config makes them, and at work without sockets: for tests of policies and of what surrounds them. */
import { loadConfigValue, SlotAllocator } from "../../src/config/load.ts";
import type { Snapshot, UpstreamConfig } from "../../src/config/snapshot.ts";
import type { Clock } from "../../src/net/network.ts";
import { type Log, silentLog } from "../../src/observability/log.ts";
import type { BalancerContext } from "../../src/policies/balanced.ts";
import type { RoutingPolicy, RoutingRequest } from "../../src/policies/policy.ts";
import { builtinPolicy } from "../../src/policies/registry.ts";
import { Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import { LatencyClock } from "../../src/upstream/latency.ts";
import type { OutlierReport } from "../../src/upstream/outliers.ts";
import { Target } from "../../src/upstream/target.ts";
import { Upstream, type UpstreamHost } from "../../src/upstream/upstream.ts";
import { randomFrom } from "./random.ts";

/** A tcp connection that says nothing of itself. */
export const ANYBODY: RoutingRequest = { protocol: "tcp", clientAddress: "", clientPort: 0, method: "", host: "", path: "", key: undefined, header: () => undefined };

/** A request with this key. */
export function keyed(key: string): RoutingRequest {
  return { ...ANYBODY, key };
}

/** @param value as in the file, listeners apart @throws when it is no configuration */
export function snapshotOf(value: object): Snapshot {
  const loaded = loadConfigValue({ listeners: [{ address: ":1", upstream: "main" }], ...value }, undefined, "test", { slots: new SlotAllocator({ targets: 65_536, upstreams: 64 }), generation: 1, secret: () => "a secret for tests" });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
  return loaded.snapshot;
}

/** `n` targets 10.0.0.1:1, 10.0.0.2:1, … with these keys each. */
export function manyTargets(n: number, more: (index: number) => object = () => ({})): object[] {
  return Array.from({ length: n }, (_, index) => ({ address: `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}:80`, ...more(index) }));
}

export class ManualClock implements Clock {
  now = 1;
  private readonly timers: { at: number; run: () => void }[] = [];

  precise(): number {
    return this.now;
  }

  wall(): number {
    return 1_700_000_000_000 + this.now;
  }

  everyTick(): () => void {
    return () => {};
  }

  after(delay: number, run: () => void): () => void {
    const timer = { at: this.now + delay, run };
    this.timers.push(timer);
    return () => void (this.timers.includes(timer) && this.timers.splice(this.timers.indexOf(timer), 1));
  }

  /** Let this many ms pass. */
  advance(milliseconds: number): void {
    const until = this.now + milliseconds;
    for (;;) {
      const [next] = this.timers.filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.timers.splice(this.timers.indexOf(next), 1);
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = until;
  }
}

export interface AtWorkOptions {
  /** The number of workers; each has its own Upstream over the same scoreboard. */
  readonly workers?: number;
  readonly policy?: (context: BalancerContext) => RoutingPolicy;
  readonly log?: Log;
  readonly board?: Scoreboard;
  readonly clock?: ManualClock;
}

/** An upstream as each of several workers has it. */
export interface AtWork {
  readonly config: UpstreamConfig;
  readonly board: Scoreboard;
  readonly clock: ManualClock;
  readonly workers: readonly Upstream[];
  /** The first worker's. */
  readonly upstream: Upstream;
  readonly reports: OutlierReport[];
  /** Names of the targets that so many picks give, workers taking turns; nothing stays open. */
  pick(times: number, request?: RoutingRequest): string[];
}

/** @param value keys of the upstream, as in the file */
export function atWork(value: object, options: AtWorkOptions = {}): AtWork {
  const config = snapshotOf({ upstreams: [{ name: "main", ...value }] }).upstreams[0]!;
  const { workers: count = 1, clock = new ManualClock() } = options;
  const board = options.board ?? Scoreboard.local({ workers: count, targets: Math.max(16, config.targets.length), upstreams: 1 });
  const random = randomFrom(1);
  const reports: OutlierReport[] = [];
  const workers = Array.from({ length: count }, (_, slot) => {
    const latencyClock = new LatencyClock(clock);
    const host: UpstreamHost = { board, slot, clock, latencyClock, log: options.log ?? silentLog(), random, report: (outlier) => void reports.push(outlier) };
    const targets = config.targets.map((target) => new Target(target, board, slot, latencyClock));
    const make = options.policy ?? (config.policy.kind === "builtin" ? (builtinPolicy(config.policy.name) as unknown as (context: BalancerContext) => RoutingPolicy) : undefined);
    return new Upstream(config, targets, (_tier, context) => make!(context), host);
  });
  const pick = (times: number, request: RoutingRequest = ANYBODY): string[] => Array.from({ length: times }, (_, i) => (workers[i % count]!.pick(request, []) as Target | undefined)?.name ?? "none");
  return { config, board, clock, workers, upstream: workers[0]!, reports, pick };
}

/** How often each stands in a list. */
export function counts(names: readonly string[]): Record<string, number> {
  const all: Record<string, number> = {};
  for (const name of names) all[name] = (all[name] ?? 0) + 1;
  return all;
}
