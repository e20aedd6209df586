/** A group of targets at work: which of them are usable, the pick among those, and what holds for all of them together. */
import type { UpstreamConfig } from "../config/snapshot.ts";
import type { Clock } from "../net/network.ts";
import { CAUSE_NUMBERS, type Cause } from "../observability/cause.ts";
import type { Log } from "../observability/log.ts";
import type { BalancerContext } from "../policies/balanced.ts";
import type { RoutingOutcome, RoutingPolicy, RoutingRequest } from "../policies/policy.ts";
import { CAUSES_OF_ATTEMPTS, CLASS_DONE, CLASS_FAILED, classOf, type Column, FIRST_BYTE_TIMES, OPEN_EXCHANGES, OPEN_RETRIES, RETRIES_HELD, type Scoreboard, TOTAL_BREAKER_REFUSED, TOTAL_BUDGET_REFUSED, TOTAL_CALLED_OFF } from "../scoreboard/scoreboard.ts";
import { type Admission, type BreakerChange, CircuitBreaker } from "./circuit-breaker.ts";
import { explainPick, type PickExplanation } from "./explain.ts";
import { GuardedPolicy } from "./guarded-policy.ts";
import { type LatencyClock, observe } from "./latency.ts";
import { Outliers, type OutlierReport } from "./outliers.ts";
import { RecentQuantile } from "./quantile.ts";
import { Queue } from "./queue.ts";
import { Sticky } from "./sticky.ts";
import type { Target } from "./target.ts";
import { avoided, pickUntried, type Tier } from "./tier.ts";
import { tierShares } from "./tiers.ts";

/** Makes the policy of one tier. */
export type PolicyOfTier = (tier: number, context: BalancerContext) => RoutingPolicy;

/** What an upstream shares with the rest of its worker. */
export interface UpstreamHost {
  readonly board: Scoreboard;
  /** This worker's column of the scoreboard. */
  readonly slot: number;
  readonly clock: Clock;
  readonly latencyClock: LatencyClock;
  readonly log: Log;
  random(): number;
  /** A target fails too much. */
  report(outlier: OutlierReport): void;
  /** This worker was the one to turn a circuit. */
  turned?(change: BreakerChange): void;
}

const NONE: readonly Target[] = [];

export class Upstream {
  readonly name: string;
  readonly config: UpstreamConfig;
  readonly targets: readonly Target[];
  readonly column: Column;
  readonly sticky: Sticky | undefined;
  readonly breaker: CircuitBreaker | undefined;
  readonly queue: Queue;
  /** Durations of its requests, while hedging wants to know them. */
  readonly durations: RecentQuantile | undefined;
  private readonly host: UpstreamHost;
  private readonly tiers: readonly Tier[];
  /** Some target takes only so many requests at a time. */
  private readonly isLimited: boolean;
  private readonly outliers: Outliers | undefined;
  private readonly epochAt: number;
  private readonly retriesAt: number;
  private epoch: number;
  /** The one tier that gets everything; undefined: several share. */
  private only: Tier | undefined;
  private usableNow: readonly Target[] = NONE;
  private serving = false;
  /** What this upstream is under the configuration of now; all that it was before share it. */
  private readonly line: { now: Upstream };

  /**
   * @param policyOf makes a tier's policy, or gives the one that served it before
   * @param before the same upstream under the configuration before: who waits there waits on here
   */
  constructor(config: UpstreamConfig, targets: readonly Target[], policyOf: PolicyOfTier, host: UpstreamHost, before?: Upstream) {
    const { board, slot, clock, latencyClock, log } = host;
    this.name = config.name;
    this.config = config;
    this.targets = targets;
    this.host = host;
    this.column = board.upstreamColumn(slot, config.slot);
    this.isLimited = targets.some(({ limit }) => limit > 0);
    this.sticky = config.sticky === undefined ? undefined : new Sticky(config.sticky, config.name, targets);
    this.line = before?.line ?? { now: this };
    this.line.now = this;
    this.tiers = this.buildTiers(policyOf, this.line);
    this.only = this.tiers[0];
    this.queue = before?.queue ?? new Queue(board, config.slot, this.column, clock);
    this.queue.apply(config.queue, () => this.hasRoom(NONE));
    this.durations = config.hedge === undefined ? undefined : new RecentQuantile();
    this.breaker =
      config.circuitBreaker === undefined
        ? undefined
        : new CircuitBreaker(config.circuitBreaker, board, config.slot, latencyClock, (state, from) => {
            log[state === "closed" ? "info" : "error"]({ upstream: config.name, state }, "Circuit breaker");
            host.turned?.({ upstream: config.name, from, state });
          });
    const { consecutive5xx, consecutiveGateway, consecutiveLocal } = config.outliers;
    const names = new Map(targets.map((target) => [target.slot, target.name]));
    this.outliers =
      consecutive5xx + consecutiveGateway + consecutiveLocal === 0
        ? undefined
        : new Outliers(config.outliers, board, (target, detector) => host.report({ upstream: config.name, target: names.get(target)!, detector }));
    this.epochAt = board.epochAt(config.slot);
    this.retriesAt = board.upstreamWordAt(config.slot, RETRIES_HELD);
    this.epoch = board.words[this.epochAt]! - 1;
  }

  /** This upstream as the configuration of now has it: for whoever has waited. */
  get current(): Upstream {
    return this.line.now;
  }

  private buildTiers(policyOf: PolicyOfTier, line: { readonly now: Upstream }): Tier[] {
    const { slot, hash, policy: policyConfig } = this.config;
    const { host } = this;
    const count = this.targets.reduce((most, { tier }) => Math.max(most, tier), 0) + 1;
    return Array.from({ length: count }, (_, tier) => {
      const context = contextOf(host, slot, tier, hash, line);
      const all = count === 1 ? this.targets : this.targets.filter((target) => target.tier === tier);
      const made = policyOf(tier, context) as RoutingPolicy<Target> & { prepare?(all: readonly Target[]): void };
      made.prepare?.(all);
      const policy = policyConfig.kind === "module" ? new GuardedPolicy(made, policyConfig, this.name, context, this.host) : made;
      return { all, policy, usable: NONE, load: 0, panic: false, others: NONE };
    });
  }

  /** Open requests of a tier's usable targets; as few are added up as possible. */
  openOf(index: number): number {
    const { usable, others } = this.tiers[index] ?? { usable: this.usable, others: NONE };
    const add = (sum: number, { openRequests }: Target): number => sum + openRequests;
    if (others.length > usable.length) return usable.reduce(add, 0);
    return others.length === 0 ? this.host.board.upstreams.held(this.config.slot, OPEN_EXCHANGES) : Math.max(0, this.host.board.upstreams.held(this.config.slot, OPEN_EXCHANGES) - others.reduce(add, 0));
  }

  /** The policy of a tier, to go on with under a new configuration. */
  policyOf(tier: number): RoutingPolicy | undefined {
    const policy = this.tiers[tier]?.policy;
    return (policy instanceof GuardedPolicy ? policy.own : policy) as RoutingPolicy | undefined;
  }

  /** Targets that may be given work, of all tiers that get any. */
  get usable(): readonly Target[] {
    this.refresh();
    return this.usableNow;
  }

  /** The same as the last pick saw them; the array is another one when they change. */
  get candidates(): readonly Target[] {
    return this.usableNow;
  }

  /** Take over what changed in the scoreboard since the last look. */
  refresh(): void {
    const epoch = this.host.board.words[this.epochAt]!;
    if (epoch === this.epoch) return;
    // Epoch first, state after: a change in between is seen the next time.
    this.epoch = epoch;
    for (const target of this.targets) target.refresh();
    const wanted = this.tiers.map(({ all }) => all.filter((target) => target.isWanted));
    const healthy = wanted.map((targets) => targets.filter((target) => target.isHealthy));
    const shares = tierShares(
      wanted.map((targets, tier) => ({ wanted: targets.length, healthy: healthy[tier]!.length })),
      this.config.overprovisioning,
      this.config.panicThreshold,
    );
    for (const target of this.targets) target.isUsable = false;
    for (const [index, tier] of this.tiers.entries()) {
      const { load, panic } = shares[index]!;
      tier.usable = panic ? wanted[index]! : healthy[index]!;
      tier.load = load;
      tier.panic = panic;
      for (const target of tier.usable) target.isUsable = true;
    }
    for (const [index, tier] of this.tiers.entries()) tier.others = tier.usable.length === this.targets.length ? NONE : this.targets.filter((target) => target.tier !== index || !target.isUsable);
    const loaded = this.tiers.filter(({ load }) => load > 0);
    this.only = loaded.length > 1 ? undefined : loaded[0];
    this.usableNow = loaded.length === 1 ? loaded[0]!.usable : loaded.flatMap(({ usable }) => usable);
  }

  /** One usable target that is not among `tried` and has room; undefined when there is none. A promise only if the policy gives one. */
  pick(request: RoutingRequest, tried: readonly Target[]): Target | undefined | Promise<Target | undefined> {
    if (this.host.board.words[this.epochAt] !== this.epoch) this.refresh();
    if (this.sticky !== undefined) {
      const target = this.sticky.target(request);
      if (target !== undefined && !tried.includes(target)) return target;
    }
    const { only } = this;
    if (only !== undefined && tried.length === 0) {
      const picked = only.policy.pick(request, only.usable, tried);
      if (!this.isLimited) return picked;
      // Whoever thinks of one is not asked to think twice, unless that one turns out full.
      if (picked instanceof Promise) return picked.then((target) => (target === undefined || target.isFull ? this.pickElsewhere(request, tried) : target));
      if (picked !== undefined && !picked.isFull) return picked;
    }
    return this.pickElsewhere(request, tried);
  }

  /** With several tiers, targets that were tried, or one that is full. */
  private pickElsewhere(request: RoutingRequest, tried: readonly Target[]): Target | undefined | Promise<Target | undefined> {
    const first = this.only ?? this.drawTier();
    // Whoever failed elsewhere may go to a backup that is not needed otherwise.
    const order = first === undefined ? [] : [first, ...this.tiers.filter((tier) => tier !== first && (tier.load > 0 || tried.length > 0))];
    for (const tier of order) {
      const avoid = avoided(tier, tried, this.isLimited);
      if (avoid === undefined) continue;
      const picked = pickUntried(tier.policy, request, tier.usable, avoid);
      if (picked !== undefined) return picked;
    }
    return undefined;
  }

  /** What `pick` would do, and why; changes nothing. @param ask policies that cannot explain themselves are asked for a pick, which may count as a turn */
  explain(request: RoutingRequest, ask: boolean): Promise<PickExplanation> {
    this.refresh();
    const { tiers, only, isLimited, sticky } = this;
    return explainPick({ tiers, only, isLimited, sticky }, request, ask);
  }

  /** Places of the retry budget: held by all workers together, and how many there are now. */
  get retryBudget(): { readonly held: number; readonly allowed: number } {
    return { held: this.host.board.words[this.retriesAt]!, allowed: this.retriesAllowed(0) };
  }

  /** @param away requests that are open and have no place just now */
  private retriesAllowed(away: number): number {
    const { budget, budgetMin } = this.config.retry;
    return Math.max(budgetMin, Math.floor((budget / 100) * (this.openExchanges + away)));
  }

  /** Over all workers. */
  get openExchanges(): number {
    return this.host.board.upstreams.held(this.config.slot, OPEN_EXCHANGES);
  }

  private drawTier(): Tier | undefined {
    let left = this.host.random();
    for (const tier of this.tiers) {
      if (tier.load > left) return tier;
      left -= tier.load;
    }
    return this.tiers.findLast(({ load }) => load > 0);
  }

  /** Some usable target that is not among `tried` takes another request. */
  hasRoom(tried: readonly Target[]): boolean {
    return this.usable.some((target) => !target.isFull && !tried.includes(target));
  }

  /** Some target is left to try, a backup too. */
  hasOther(tried: readonly Target[]): boolean {
    this.refresh();
    return this.tiers.some(({ usable }) => usable.some((target) => !tried.includes(target)));
  }

  /** Some target could take it if it were not full. */
  isFull(tried: readonly Target[]): boolean {
    return this.isLimited && this.usable.some((target) => !tried.includes(target));
  }

  /** Others wait already. */
  get isWaitedFor(): boolean {
    return this.isLimited && this.queue.isWaitedIn;
  }

  /** Does the circuit breaker let a request through? A probe's end is told by `leave`, or `probeUnused` if it comes to nothing. */
  admits(): Admission {
    const admission = this.breaker === undefined ? "yes" : this.breaker.admits();
    if (admission === "no") this.column.add(TOTAL_BREAKER_REFUSED);
    return admission;
  }

  /** A request that was let through to try ended before any target had a say. */
  probeUnused(): void {
    this.breaker?.probeUnused();
  }

  /**
   * Take one of the budget's places for a retry or a hedge; give it back with `retryEnds`.
   * @param away 1: who asks has left its target, and is open all the same
   */
  retryBegins(away: 0 | 1 = 0): boolean {
    const { board } = this.host;
    const allowed = this.retriesAllowed(away);
    // Taken first, and counted then: exact, however many workers ask at a time.
    if (Atomics.add(board.words, this.retriesAt, 1) >= allowed) {
      Atomics.sub(board.words, this.retriesAt, 1);
      this.column.add(TOTAL_BUDGET_REFUSED);
      return false;
    }
    this.column.hold(OPEN_RETRIES, 1);
    return true;
  }

  retryEnds(): void {
    this.column.hold(OPEN_RETRIES, -1);
    Atomics.sub(this.host.board.words, this.retriesAt, 1);
  }

  /** A request pauses before its next attempt: it is open, and counts as that, though no target has it. */
  pauses(): void {
    this.column.hold(OPEN_EXCHANGES, 1);
  }

  pauseEnds(): void {
    this.column.hold(OPEN_EXCHANGES, -1);
  }

  /** An exchange goes to this target. False: the target is full. */
  enter(target: Target): boolean {
    if (!target.begin()) return false;
    this.column.hold(OPEN_EXCHANGES, 1);
    return true;
  }

  /**
   * It is over, and the target had its say.
   * @param answered ms until its answer began: how long it then goes on (a stream, a tunnel) says nothing about the target
   * @param probe the circuit breaker let it through to try
   */
  leave(target: Target, outcome: RoutingOutcome, answered: number = outcome.milliseconds, probe = false): void {
    this.release(target);
    this.learn(target, outcome, answered, probe);
    this.tell(target, outcome);
  }

  /** What an answer says about its target. */
  learn(target: Target, outcome: RoutingOutcome, answered: number, probe: boolean): void {
    const { counters } = target;
    const error = outcome.failed || outcome.status >= 500;
    const { milliseconds, status } = outcome;
    const { bounds } = this.host.board;
    counters.ended(outcome.failed ? CLASS_FAILED : status === 0 ? CLASS_DONE : classOf(status), bounds.bucketOf(milliseconds), milliseconds);
    if (!outcome.failed) this.column.observe(FIRST_BYTE_TIMES, bounds.bucketOf(answered), answered);
    observe(this.host.board, target.slot, this.host.latencyClock.stamp, answered, error);
    if (!error) this.durations?.observe(answered);
    this.outliers?.ended(target.slot, outcome);
    this.breaker?.ended(error, probe);
  }

  /** One of the attempts of an exchange came to nothing. */
  attemptFailed(cause: Cause): void {
    this.column.add(CAUSES_OF_ATTEMPTS + CAUSE_NUMBERS[cause]);
  }

  /** It takes up no place any more. */
  release(target: Target): void {
    target.counters.requestEnds();
    this.column.hold(OPEN_EXCHANGES, -1);
    if (this.isLimited) this.serveSoon();
  }

  /** The policy hears how it ended. */
  tell(target: Target, { failed, milliseconds, status }: RoutingOutcome): void {
    const policy = this.tiers[target.tier]?.policy;
    if (policy?.ended !== undefined) policy.ended(target, { failed, milliseconds, status });
  }

  /**
   * It is over before the target had its say: its client has gone, another answer was quicker, or we could not ask.
   * @param waited ms; that it takes longer than so is known all the same; 0: nothing is
   */
  leaveEarly(target: Target, waited: number): void {
    this.release(target);
    target.counters.add(TOTAL_CALLED_OFF);
    if (waited > target.latency) observe(this.host.board, target.slot, this.host.latencyClock.stamp, waited, false);
  }

  /** When what happens now is over: nothing of another exchange may be written in the middle of it. */
  private serveSoon(): void {
    if (this.serving) return;
    this.serving = true;
    queueMicrotask(() => {
      this.serving = false;
      this.queue.serve();
    });
  }
}

/** Of its own, for a policy may serve on under later configurations: nothing that it holds may lead to the upstream of an earlier one. */
function contextOf({ board, random }: UpstreamHost, slot: number, tier: number, hash: UpstreamConfig["hash"], line: { readonly now: Upstream }): BalancerContext {
  return { cursor: () => board.nextCursor(slot, tier), peek: () => board.peekCursor(slot, tier), random, open: board, openTotal: () => line.now.openOf(tier), hash };
}
