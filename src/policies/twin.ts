/** How the built-in policies explain themselves: a copy of the policy does what the policy would do, and the policy stays as it is. */
import type { RoutingPolicy, RoutingRequest, RoutingTarget } from "./policy.ts";

/** Attempts that an order is told for. */
const MOST = 16;

/**
 * The same policy as it is now. Fields are shared, so this holds for policies that put new values into theirs and change none in place.
 * @param changes fields of the copy, by name: what would take a turn, say
 */
export function twinOf<Policy extends object>(policy: Policy, changes: Readonly<Record<string, unknown>> = {}): Policy {
  return Object.assign(Object.create(Object.getPrototypeOf(policy) as object) as Policy, policy, changes);
}

/** Whom `pick` gives, one after the other, when each one fails. @param twin is changed by it */
export function orderOf<Target extends RoutingTarget>(twin: RoutingPolicy<Target>, request: RoutingRequest, targets: readonly Target[], tried: readonly Target[]): Target[] {
  const order: Target[] = [];
  while (order.length < MOST) {
    const picked = twin.pick(request, targets, [...tried, ...order]) as Target | undefined;
    if (picked === undefined) break;
    order.push(picked);
  }
  return order;
}
