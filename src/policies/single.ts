/** `single`: always the first usable target in file order; the others stand by. */
import { firstUntried, none } from "./balanced.ts";
import type { Explanation, RoutingPolicy, RoutingRequest, RoutingTarget } from "./policy.ts";
import { orderOf } from "./twin.ts";

export class SinglePolicy implements RoutingPolicy {
  readonly skipsTried = true;

  pick<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Target | undefined {
    return tried.length === 0 ? targets[0] : firstUntried(targets, tried);
  }

  explain<Target extends RoutingTarget>(request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Explanation<Target> {
    const order = orderOf<Target>(this, request, targets, tried);
    return { pick: order[0], order, note: "the first usable target in file order" };
  }
}
