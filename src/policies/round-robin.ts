/**
 * `round-robin`: one target after the other, each as often as its weight says and spread evenly (smooth.ts). Exact over all workers,
 * because the cursor is shared.
 */
import { firstUntried, none } from "./balanced.ts";
import type { PolicyContext, RoutingPolicy, RoutingRequest, RoutingTarget } from "./policy.ts";
import { smoothOrder } from "./smooth.ts";

export class RoundRobinPolicy implements RoutingPolicy {
  readonly skipsTried = true;
  private readonly cursor: () => number;
  /** Second attempts go round by themselves: they must not take the turn of a first one. */
  private second = 0;
  private targets: readonly RoutingTarget[] = none();
  /** Indexes of `targets`; undefined: the plain order. */
  private order: Uint32Array | undefined = undefined;

  /** @param context the host's; without one the policy counts by itself (one process) */
  constructor(context?: Pick<PolicyContext, "cursor">) {
    let next = 0;
    this.cursor = context === undefined ? () => next++ : context.cursor;
  }

  pick<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Target | undefined {
    if (targets !== this.targets) {
      this.targets = targets;
      this.order = smoothOrder(targets.map(({ weight }) => weight));
    }
    if (tried.length > 0) return firstUntried(targets, tried, this.second++ % targets.length);
    const { order } = this;
    const turn = this.cursor();
    return order === undefined ? targets[turn % targets.length] : targets[order[turn % order.length]!];
  }
}
