/** One tier of an upstream at work, and whom it may give. How much of the traffic it gets is tiers.ts's business. */
import type { RoutingPolicy, RoutingRequest } from "../policies/policy.ts";
import type { Target } from "./target.ts";

/** Targets of one priority and zone preference. */
export interface Tier {
  readonly all: readonly Target[];
  readonly policy: RoutingPolicy<Target>;
  /** The same array until some target's state changes. */
  usable: readonly Target[];
  load: number;
  /** So few are healthy that all are used. */
  panic: boolean;
  /** Targets of the upstream that are not among the usable ones of this tier. */
  others: readonly Target[];
}

/** Whom this tier must not give: who was tried, and who is full. Undefined: nobody else is left. */
export function avoided(tier: Tier, tried: readonly Target[], isLimited: boolean): readonly Target[] | undefined {
  const avoid = isLimited ? [...tried, ...tier.usable.filter((target) => target.isFull && !tried.includes(target))] : tried;
  const left = avoid.length === 0 ? tier.usable.length : tier.usable.filter((target) => !avoid.includes(target)).length;
  return left === 0 ? undefined : avoid;
}

export function pickUntried(policy: RoutingPolicy<Target>, request: RoutingRequest, usable: readonly Target[], tried: readonly Target[]): Target | undefined | Promise<Target | undefined> {
  return policy.pick(request, policy.skipsTried === true || tried.length === 0 ? usable : usable.filter((target) => !tried.includes(target)), tried);
}
