/** The public interface of the package: everything else may change. */
export { ConfigurationError, LoadBalancer, type LoadBalancerOptions } from "./library/load-balancer.ts";
export type { Explained, RequestToExplain } from "./admin/explained.ts";
export type { Account, Attempt } from "./observability/account.ts";
export type { Cause } from "./observability/cause.ts";
export type { EventKind } from "./observability/event-kind.ts";
export type { EventQuery, TimelineEvent } from "./observability/timeline.ts";
export type { Explanation, PolicyContext, PolicyFactory, RoutingOutcome, RoutingPolicy, RoutingRequest, RoutingTarget, Score } from "./policies/policy.ts";
export { RandomPolicy } from "./policies/random.ts";
export { RoundRobinPolicy } from "./policies/round-robin.ts";
export { SinglePolicy } from "./policies/single.ts";
