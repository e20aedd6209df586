/** The public interface of the package: everything else may change. */
export { ConfigurationError, LoadBalancer, type LoadBalancerOptions } from "./library/load-balancer.ts";
export type { Explained, RequestToExplain } from "./admin/explained.ts";
export type { Explanation, PolicyContext, PolicyFactory, RoutingOutcome, RoutingPolicy, RoutingRequest, RoutingTarget, Score } from "./policies/policy.ts";
export { RandomPolicy } from "./policies/random.ts";
export { RoundRobinPolicy } from "./policies/round-robin.ts";
export { SinglePolicy } from "./policies/single.ts";
