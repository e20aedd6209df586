/** Comes between an exchange and its places at targets: attempts take long or come to nothing, as if the targets were at fault. */
import type { FaultRule, TargetFault } from "../config/snapshot.ts";
import type { Cause } from "../observability/cause.ts";
import type { Applicant, Placement } from "../upstream/placement.ts";
import type { Target } from "../upstream/target.ts";
import type { Faults } from "./faults.ts";

/** Whose attempts can be interfered with: `placed` is the first two in one. */
export interface Attempting extends Applicant {
  attemptBegins(target: Target, atOnce: boolean): void;
  /** This fault befalls the attempt. */
  injected(fault: string): void;
  /** Go on with it. */
  reach(target: Target): void;
  /** It came to nothing, and nothing has been sent. */
  unreached(cause: Cause, detail: string): void;
}

/** Where a timeout is off, a target that never answers does so for this long: setTimeout's own limit. */
const FOREVER = 2 ** 31 - 1;

export class FaultyTargets implements Applicant {
  private readonly exchange: Attempting;
  private readonly placement: Placement;
  private readonly faults: Faults;
  private readonly rules: readonly FaultRule[];

  constructor(exchange: Attempting, placement: Placement, faults: Faults, rules: readonly FaultRule[]) {
    this.exchange = exchange;
    this.placement = placement;
    this.faults = faults;
    this.rules = rules;
  }

  placed(target: Target, atOnce: boolean): void {
    const { exchange, placement, faults } = this;
    const drawn = faults.atTarget(this.rules, target.name);
    if (drawn === undefined) {
      exchange.placed(target, atOnce);
      return;
    }
    exchange.attemptBegins(target, atOnce);
    const { rule, fault } = drawn;
    exchange.injected(rule.name);
    const fail = (): void => {
      if (fault.error === undefined) exchange.reach(target);
      else exchange.unreached(fault.error, `fault "${rule.name}"`);
    };
    const slowly = this.slowly(fault);
    if (slowly === 0) {
      fail();
      return;
    }
    placement.pause(
      (over) => faults.wait(rule, slowly, over),
      // A rule that has ended does nothing any more.
      () => (faults.isInForce(rule) ? fail() : exchange.reach(target)),
    );
  }

  /** In ms. */
  private slowly({ delay, error }: TargetFault): number {
    const { connect, response, attempt } = this.placement.upstream!.config.timeouts;
    const own = delay === undefined ? 0 : this.faults.lengthOf(delay);
    switch (error) {
      case "connect-timeout":
        return connect;
      case "response-timeout":
        return Math.min(response || FOREVER, attempt || FOREVER);
      default:
        return own;
    }
  }

  turnedAway(cause: Cause, detail: string, retryAfter: number): void {
    this.exchange.turnedAway(cause, detail, retryAfter);
  }

  flush(): void {
    this.exchange.flush();
  }
}
