/** `round-robin`: one target after the other, exact over all workers because the cursor is shared. */
import type { PolicyContext, RoutingPolicy, RoutingRequest, RoutingTarget } from "./policy.ts";

export class RoundRobinPolicy implements RoutingPolicy {
  private readonly cursor: () => number;
  /** Second attempts go round by themselves: they must not take the turn of a first one. */
  private second = 0;

  /** @param context the host's; without one the policy counts by itself (one process) */
  constructor(context?: Pick<PolicyContext, "cursor">) {
    let next = 0;
    this.cursor = context === undefined ? () => next++ : context.cursor;
  }

  pick<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[], again = false): Target | undefined {
    return targets[(again ? this.second++ : this.cursor()) % targets.length];
  }
}
