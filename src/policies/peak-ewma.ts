/**
 * `peak-ewma` (also called `least-time`): of two targets at random, the one that will answer sooner: its recent latency times the
 * requests that are open with it, for its weight.
 *
 * The latency is the peak-sensitive moving average of Twitter's Finagle (`PeakEwma`): it jumps up at once, comes down over 10 s, and goes on
 * doing so while nobody asks, so that a target that was slow once is tried again. Workers share it (latency.ts keeps it).
 */
import { none } from "./balanced.ts";
import { Pairs } from "./pairs.ts";
import type { Explanation, PolicyContext, RoutingPolicy, RoutingRequest, RoutingTarget } from "./policy.ts";

/** What a request to a target of unknown latency is taken to cost while its first answer is awaited, in ms. */
const UNKNOWN = 1_000;

export class PeakEwmaPolicy implements RoutingPolicy {
  readonly skipsTried = true;
  private readonly pairs: Pairs;

  constructor(context: Pick<PolicyContext, "random">) {
    this.pairs = new Pairs(context.random);
  }

  pick<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Target | undefined {
    return this.pairs.better(targets, tried, cost);
  }

  explain<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Explanation<Target> {
    return this.pairs.explain(targets, tried, cost, costInWords, "of two targets at random, the one that will answer sooner");
  }
}

function costInWords({ latency, openRequests: open, weight }: RoutingTarget): string {
  if (latency > 0) return `${latency.toFixed(1)} ms × (${open} open + 1) ÷ weight ${weight}`;
  return open === 0 ? "nobody knows its latency: it gets a request to show it" : `latency not known, taken for ${UNKNOWN} ms × (${open} open + 1) ÷ weight ${weight}`;
}

function cost(target: RoutingTarget): number {
  const { latency, openRequests: open } = target;
  // One that nobody knows gets one request to show what it can do, not all of them.
  if (latency === 0) return open === 0 ? 0 : (UNKNOWN * (open + 1)) / target.weight;
  return (latency * (open + 1)) / target.weight;
}
