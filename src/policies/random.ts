/** `random`: every usable target equally likely, whatever its weight. */
import { firstUntried, none } from "./balanced.ts";
import { chanceExplanation, drawn, untriedChances } from "./chances.ts";
import type { Explanation, PolicyContext, RoutingPolicy, RoutingRequest, RoutingTarget } from "./policy.ts";

export class RandomPolicy implements RoutingPolicy {
  readonly skipsTried = true;
  private readonly random: () => number;

  constructor(context: Pick<PolicyContext, "random">) {
    this.random = context.random;
  }

  pick<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Target | undefined {
    const at = Math.floor(this.random() * targets.length);
    return tried.length === 0 ? targets[at] : firstUntried(targets, tried, at);
  }

  explain<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Explanation<Target> {
    return chanceExplanation(targets, tried, { chances: untriedChances(drawn(targets, false), targets, tried) }, "at random, each as likely as the other");
  }
}
