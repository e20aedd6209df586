/**
 * `round-robin`: one target after the other, each as often as its weight says and spread evenly (smooth.ts). Exact over all workers,
 * because the cursor is shared.
 */
import { firstUntried, none } from "./balanced.ts";
import type { Explanation, PolicyContext, RoutingPolicy, RoutingRequest, RoutingTarget } from "./policy.ts";
import { creditsAt, smoothOrder } from "./smooth.ts";
import { orderOf, twinOf } from "./twin.ts";

/** Turns that an explanation looks ahead. */
const AHEAD = 10;

export class RoundRobinPolicy implements RoutingPolicy {
  readonly skipsTried = true;
  private readonly cursor: () => number;
  /** The number that `cursor` gives next. */
  private readonly peek: () => number;
  /** Second attempts go round by themselves: they must not take the turn of a first one. */
  private second = 0;
  private targets: readonly RoutingTarget[] = none();
  /** Indexes of `targets`; undefined: the plain order. */
  private order: Uint32Array | undefined = undefined;

  /** @param context the host's; without one the policy counts by itself (one process) */
  constructor(context?: Pick<PolicyContext, "cursor" | "peek">) {
    let next = 0;
    this.cursor = context === undefined ? () => next++ : context.cursor;
    this.peek = context === undefined ? () => next : context.peek;
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

  explain<Target extends RoutingTarget>(request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Explanation<Target> {
    const turn = this.peek();
    let ahead = turn;
    const twin = twinOf<RoutingPolicy<Target>>(this, { cursor: () => ahead++ >>> 0 });
    const order = orderOf(twin, request, targets, tried);
    if (tried.length > 0) return { pick: order[0], order, note: "of those not tried, the next one of the turns that second attempts take among themselves" };
    ahead = turn;
    const next = Array.from({ length: Math.min(AHEAD, 2 * targets.length) }, () => twin.pick(request, targets) as Target);
    const plan = this.targets === targets ? this.order : smoothOrder(targets.map(({ weight }) => weight));
    const round = plan === undefined ? targets.length : plan.length;
    const credits = creditsAt(plan, targets.length, turn % round);
    const scores = targets.map((target, index) => ({ target, score: credits[index]!, note: plan === undefined ? `turn ${index + 1} of ${round}` : `current weight ${credits[index]!}, weight ${target.weight}` }));
    return { pick: order[0], order, next, scores, note: `turn ${(turn % round) + 1} of ${round}${plan === undefined ? "" : " of the smooth weighted order; the highest current weight goes first"}` };
  }
}
