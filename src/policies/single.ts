/** `single`: always the first usable target in file order; the others stand by. */
import { firstUntried, none } from "./balanced.ts";
import type { RoutingPolicy, RoutingRequest, RoutingTarget } from "./policy.ts";

export class SinglePolicy implements RoutingPolicy {
  readonly skipsTried = true;

  pick<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Target | undefined {
    return tried.length === 0 ? targets[0] : firstUntried(targets, tried);
  }
}
