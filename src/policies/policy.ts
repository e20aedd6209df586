/** The one interface of every balancing policy, ours and a user's. A policy knows targets and nothing of bytes. */

/** What a policy may look at in a request (http) or a connection (tcp). Reading a field makes its string then, not before. */
export interface RoutingRequest {
  readonly protocol: "http" | "tcp";
  /** Textual IP address of the client; empty on unix sockets. */
  readonly clientAddress: string;
  readonly clientPort: number;
  /** As sent, upper case by convention; "" for tcp. */
  readonly method: string;
  /** Host and port as the client named them; "" for tcp. */
  readonly host: string;
  /** Path and query as they came; "" for tcp. */
  readonly path: string;
  /** Value of a field, several joined by ", "; undefined when it is not there. Any case. */
  header(name: string): string | undefined;
}

/** What a policy may know of a target. Counts are over all workers. */
export interface RoutingTarget {
  /** The address as configured. */
  readonly name: string;
  readonly weight: number;
  readonly openConnections: number;
  readonly openRequests: number;
}

/** How an exchange with a target ended. */
export interface RoutingOutcome {
  readonly failed: boolean;
  /** From pick to the last byte, in ms. */
  readonly milliseconds: number;
}

/**
 * Picks one target for each request.
 *
 * `targets` are those that are usable now: healthy, and not tried before for this request. It is never empty, and it is the
 * same array until some target's state changes, so a policy may keep tables for it. `again` says that this request failed elsewhere
 * and has been picked for before: such a pick should take nobody's turn. Returning undefined means "none of these".
 * Throwing, a promise that is not settled within `policy_timeout`, or a target that is not in `targets` is reported, and round robin
 * decides for that request.
 */
export interface RoutingPolicy<Target extends RoutingTarget = RoutingTarget> {
  pick(request: RoutingRequest, targets: readonly Target[], again?: boolean): Target | undefined | Promise<Target | undefined>;
  /** Hears how the exchange ended, once for each pick that was used. */
  ended?(target: Target, outcome: RoutingOutcome): void;
}

/** What the host gives to a policy. */
export interface PolicyContext {
  /** The upstream's shared counter: each call gives the next number over all workers, from 0, wrapping at 2^32. */
  cursor(): number;
  /** Uniform in [0, 1). */
  random(): number;
}

/** Makes a policy for one upstream. A user's module exports one as default, or a policy itself. */
export type PolicyFactory = (context: PolicyContext) => RoutingPolicy;
