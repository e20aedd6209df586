/** `first`: the first target in file order that has room (`max_requests`), so that one is filled before the next; HAProxy's `first`. */
import { type BalancedTarget, type Balancer, none } from "./balanced.ts";
import type { RoutingRequest } from "./policy.ts";

export class FirstPolicy implements Balancer {
  readonly skipsTried = true;

  pick<Target extends BalancedTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Target | undefined {
    for (const target of targets) if (!target.isFull && !tried.includes(target)) return target;
    return undefined;
  }
}
