/** The one interface of every balancing policy, ours and a user's. A policy knows targets and nothing of bytes. */

/** What a policy may look at in a request (http), a connection (tcp) or a client (udp). Reading a field makes its string then, not before. */
export interface RoutingRequest {
  readonly protocol: "http" | "tcp" | "udp";
  /** Textual IP address of the client; empty on unix sockets. */
  readonly clientAddress: string;
  readonly clientPort: number;
  /** As sent, upper case by convention; "" for tcp and udp. */
  readonly method: string;
  /** Host and port as the client named them; tls-passthrough: the name that it asks for (SNI); "" for tcp and udp. */
  readonly host: string;
  /** Path and query as they came; "" for tcp and udp. */
  readonly path: string;
  /** What the upstream's `hash_key` names (the client's address, unless said otherwise); undefined when the request does not have it. */
  readonly key: string | undefined;
  /** Value of a field, several joined by ", "; undefined when it is not there. Any case. */
  header(name: string): string | undefined;
}

/** What a policy may know of a target. Counts are over all workers, and those of the moment. */
export interface RoutingTarget {
  /** The address as configured. */
  readonly name: string;
  /** Its weight now: the configured one, less while it starts slowly or its agent or heartbeat says so. Above 0. */
  readonly weight: number;
  /** As configured; "" when it is not said. */
  readonly zone: string;
  readonly openConnections: number;
  /** tcp: open connections; udp: clients. */
  readonly openRequests: number;
  /** Moving average of its exchanges' durations in ms, which jumps up at once and decays over 10 s; 0 when not known. */
  readonly latency: number;
}

/** How an exchange with a target ended. */
export interface RoutingOutcome {
  /** It could not be reached, broke off, or took too long. */
  readonly failed: boolean;
  /** From pick to the last byte, in ms. */
  readonly milliseconds: number;
  /** Of the reply; 0 without one, and for tcp and udp. */
  readonly status: number;
}

/** What a policy says of one target when it is asked why. */
export interface Score<Target extends RoutingTarget = RoutingTarget> {
  readonly target: Target;
  /** What the policy compares, in its own measure; the note says which. Absent: it compares nothing. */
  readonly score?: number;
  /** That it is picked, from 0 to 1, where chance decides. */
  readonly probability?: number;
  readonly note: string;
}

/** What a policy would do, and why. */
export interface Explanation<Target extends RoutingTarget = RoutingTarget> {
  /** What `pick` would return now; undefined: none of them, or chance decides. */
  readonly pick?: Target | undefined;
  /** In which order they would be tried, if each one failed, as far as that is known; the first is `pick`. */
  readonly order?: readonly Target[];
  /** Whom the next requests would get if nothing changed, this one first. */
  readonly next?: readonly Target[];
  readonly scores?: readonly Score<Target>[];
  /** A sentence for people. */
  readonly note: string;
}

/**
 * Picks one target for each request.
 *
 * `targets` are those that are usable now: healthy, and not tried before for this request. It is never empty, and it is the
 * same array until some target's state changes, so a policy may keep tables for it. `tried` are those that this request failed at
 * before: when there are any, a pick should take nobody's turn. Returning undefined means "none of these".
 * Throwing, a promise that is not settled within `policy_timeout`, or a target that is not in `targets` is reported, and round robin
 * decides for that request.
 */
export interface RoutingPolicy<Target extends RoutingTarget = RoutingTarget> {
  /** `targets` is always the whole array, also when some were tried: `pick` leaves those out itself, and its tables stay good. */
  readonly skipsTried?: boolean;
  pick(request: RoutingRequest, targets: readonly Target[], tried?: readonly Target[]): Target | undefined | Promise<Target | undefined>;
  /**
   * Says what `pick` would do with the same arguments, and changes nothing: no later pick may depend on it. For `fairlead explain`, which asks no policy
   * without this, because its `pick` may count turns.
   */
  explain?(request: RoutingRequest, targets: readonly Target[], tried?: readonly Target[]): Explanation<Target>;
  /** Hears how the exchange ended, once for each pick that was used. */
  ended?(target: Target, outcome: RoutingOutcome): void;
}

/** What the host gives to a policy. */
export interface PolicyContext {
  /** The upstream's shared counter: each call gives the next number over all workers, from 0, wrapping at 2^32. */
  cursor(): number;
  /** What `cursor` would give, without taking it: for `explain`. */
  peek(): number;
  /** Uniform in [0, 1). */
  random(): number;
}

/** Makes a policy for one upstream (for each of its tiers, if it has several). A user's module exports one as default, or a policy itself. */
export type PolicyFactory = (context: PolicyContext) => RoutingPolicy;
