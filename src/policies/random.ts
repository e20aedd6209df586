/** `random`: every usable target equally likely. */
import type { PolicyContext, RoutingPolicy, RoutingRequest, RoutingTarget } from "./policy.ts";

export class RandomPolicy implements RoutingPolicy {
  private readonly random: () => number;

  constructor(context: Pick<PolicyContext, "random">) {
    this.random = context.random;
  }

  pick<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[]): Target | undefined {
    return targets[Math.floor(this.random() * targets.length)];
  }
}
