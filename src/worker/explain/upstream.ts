/** An upstream and its targets as `explain` tells them. */
import type { ExplainedTarget, ExplainedUpstream } from "../../admin/explained.ts";
import type { HashKey } from "../../config/snapshot.ts";
import { wordsOf } from "../../health/rotation.ts";
import type { Score, RoutingRequest } from "../../policies/policy.ts";
import { Flag } from "../../scoreboard/scoreboard.ts";
import type { PickExplanation, TierExplanation } from "../../upstream/explain.ts";
import type { Target } from "../../upstream/target.ts";
import type { Upstream } from "../../upstream/upstream.ts";

/** Targets that are told; of more, those that matter to the pick come first. */
const MOST_TARGETS = 200;

/** @param key what of the request is hashed */
export function upstreamOf(upstream: Upstream, request: RoutingRequest, key: HashKey, pick: PickExplanation): ExplainedUpstream {
  const { config, breaker, queue, targets } = upstream;
  const { held, allowed } = upstream.retryBudget;
  const scores = new Map<Target, Score<Target>>();
  for (const { policy } of pick.tiers) for (const score of policy?.scores ?? []) scores.set(score.target, score);
  const told = [...targets].toSorted((a, b) => rank(a, pick) - rank(b, pick)).slice(0, MOST_TARGETS);
  const { sticky } = pick;
  return {
    name: config.name,
    protocol: config.protocol,
    policy: config.policy.kind === "builtin" ? config.policy.name : config.policy.path,
    breaker: breaker === undefined ? null : { state: breaker.state, admits: breaker.wouldAdmit, retry_after_ms: breaker.wouldAdmit === "no" ? breaker.retryAfter : null },
    queue: { size: config.queue.size, waiting: queue.length, timeout_ms: config.queue.timeout },
    open_requests: upstream.openExchanges,
    retries_open: held,
    retries_allowed: allowed,
    key: { of: "name" in key ? `${key.kind} ${key.name}` : key.kind, value: request.key ?? null },
    sticky: sticky === undefined ? null : { cookie: sticky.cookie, seen: sticky.seen ?? null, target: sticky.target?.name ?? null, used: sticky.used, note: sticky.note },
    panic: pick.tiers.some(({ panic }) => panic),
    tiers: pick.tiers.map((tier, index) => ({
      tier: index,
      load: rounded(tier.load),
      panic: tier.panic,
      wanted: tier.wanted,
      healthy: tier.healthy,
      usable: tier.usable.length,
      note: tier.note,
      pick: tier.policy?.pick?.name ?? null,
      policy_note: tier.policy?.note ?? "",
      next: (tier.policy?.next ?? []).map(({ name }) => name),
    })),
    pick: pick.pick?.name ?? null,
    picked_by: pick.by,
    policy_asked: pick.asked,
    order: pick.order.map(({ name }) => name),
    targets: told.map((target) => targetOf(target, pick.tiers[target.tier]!, scores.get(target), pick)),
    targets_left_out: targets.length - told.length,
  };
}

/** The order first, then whoever is usable, each in file order. */
function rank(target: Target, { order }: PickExplanation): number {
  const at = order.indexOf(target);
  return at >= 0 ? at : target.isUsable ? order.length : order.length + 1;
}

function targetOf(target: Target, tier: TierExplanation, score: Score<Target> | undefined, { order }: PickExplanation): ExplainedTarget {
  const why = whyNot(target, tier);
  const at = order.indexOf(target);
  return {
    address: target.name,
    tier: target.tier,
    zone: target.zone,
    weight: rounded(target.weight),
    configured_weight: target.configuredWeight,
    share: target.share / 1000,
    usable: why.length === 0,
    why_not: why,
    state: wordsOf(target.flags),
    since: null,
    check: null,
    ejected: null,
    open_requests: target.openRequests,
    open_connections: target.openConnections,
    limit: target.limit === 0 ? null : target.limit,
    latency_ms: target.latency === 0 ? null : rounded(target.latency),
    score: score?.score === undefined || !Number.isFinite(score.score) ? null : rounded(score.score),
    probability: score?.probability === undefined ? null : rounded(score.probability),
    note: score?.note ?? "",
    attempt: at < 0 ? null : at + 1,
  };
}

/** Nothing: it may be given the request. */
function whyNot(target: Target, tier: TierExplanation): string[] {
  const { flags } = target;
  const why: string[] = [];
  const say = (flag: number, words: string): void => {
    if ((flags & flag) !== 0) why.push(words);
  };
  // In a panic nobody asks who is healthy.
  if (!tier.panic) {
    say(Flag.DOWN, "down");
    say(Flag.EJECTED, "ejected");
    say(Flag.SILENT, "silent: its heartbeat has stopped");
  }
  say(Flag.DRAINING, "draining");
  say(Flag.MAINTENANCE, "in maintenance");
  if (target.configuredWeight === 0) why.push("weight 0");
  else if (target.share === 0) why.push("its agent or heartbeat asks for nothing");
  if (target.isFull) why.push(`full: ${target.openRequests} open of ${target.limit}`);
  if (why.length === 0 && tier.load === 0) why.push(tier.note);
  return why;
}

/** Six digits are enough for people, and for comparing. */
function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
