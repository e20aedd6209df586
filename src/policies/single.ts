/** `single`: always the first usable target in file order; the others stand by. */
import type { RoutingPolicy, RoutingRequest, RoutingTarget } from "./policy.ts";

export class SinglePolicy implements RoutingPolicy {
  pick<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[]): Target | undefined {
    return targets[0];
  }
}
