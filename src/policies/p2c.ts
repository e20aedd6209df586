/** `p2c`: of two targets at random, the one with fewer open requests for its weight (pairs.ts names the paper). */
import { none } from "./balanced.ts";
import { Pairs } from "./pairs.ts";
import type { Explanation, PolicyContext, RoutingPolicy, RoutingRequest, RoutingTarget } from "./policy.ts";

export class P2cPolicy implements RoutingPolicy {
  readonly skipsTried = true;
  private readonly pairs: Pairs;

  constructor(context: Pick<PolicyContext, "random">) {
    this.pairs = new Pairs(context.random);
  }

  pick<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Target | undefined {
    return this.pairs.better(targets, tried, load);
  }

  explain<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Explanation<Target> {
    return this.pairs.explain(targets, tried, load, ({ openRequests, weight }) => `${openRequests} open ÷ weight ${weight}`, "of two targets at random, the one with fewer open requests for its weight");
  }
}

function load(target: RoutingTarget): number {
  return target.openRequests / target.weight;
}
