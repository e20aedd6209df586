/** `first`: the first target in file order that has room (`max_requests`), so that one is filled before the next; HAProxy's `first`. */
import { type BalancedTarget, type Balancer, type BalancerContext, none } from "./balanced.ts";
import type { Explanation, RoutingRequest } from "./policy.ts";
import { orderOf, twinOf } from "./twin.ts";

/** Targets that are looked at in one go, without branches in between. */
const BLOCK = 8;
const NO_LIMIT = 0x7f_ff_ff_ff;
/** With so many full ones before it, the target that had room last is asked first, … */
const MANY = 512;
/** … and all of them with each eighth pick only. */
const FULL_SCAN_EVERY = 8;

export class FirstPolicy implements Balancer {
  readonly skipsTried = true;
  private readonly open: BalancerContext["open"];
  private targets: readonly BalancedTarget[] = none();
  /** Where the open requests of each stand, and how many they may be. */
  private places = new Int32Array(0);
  private limits = new Int32Array(0);
  private last = 0;
  private picks = 0;

  constructor(context: Pick<BalancerContext, "open">) {
    this.open = context.open;
  }

  pick<Target extends BalancedTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Target | undefined {
    if (tried.length > 0) return targets.find((target) => !target.isFull && !tried.includes(target));
    if (targets !== this.targets) this.remember(targets);
    const from = this.last < MANY || this.picks++ % FULL_SCAN_EVERY === 0 ? 0 : this.last;
    this.last = this.firstWithRoom(from);
    return targets[this.last];
  }

  explain<Target extends BalancedTarget>(request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Explanation<Target> {
    const order = orderOf<Target>(twinOf(this), request, targets, tried);
    const scores = targets.map((target) => ({ target, score: target.openRequests, note: `${target.openRequests} open${target.limit === 0 ? ", no limit" : ` of ${target.limit}`}` }));
    return { pick: order[0], order, scores, note: "the first target in file order that has room" };
  }

  private remember(targets: readonly BalancedTarget[]): void {
    this.targets = targets;
    this.last = 0;
    this.places = Int32Array.from(targets, ({ slot }) => this.open.openRequestsAt(slot));
    this.limits = Int32Array.from(targets, ({ limit }) => (limit === 0 ? NO_LIMIT : limit));
  }

  private firstWithRoom(from: number): number {
    const { places: p, limits: l } = this;
    const { words: w } = this.open;
    const { length } = p;
    let i = from;
    // Below zero is what has room; the sign of all eight is below zero when that of one is.
    for (; i + BLOCK <= length; i += BLOCK) {
      const one = (w[p[i]!]! - l[i]!) | (w[p[i + 1]!]! - l[i + 1]!) | (w[p[i + 2]!]! - l[i + 2]!) | (w[p[i + 3]!]! - l[i + 3]!);
      const other = (w[p[i + 4]!]! - l[i + 4]!) | (w[p[i + 5]!]! - l[i + 5]!) | (w[p[i + 6]!]! - l[i + 6]!) | (w[p[i + 7]!]! - l[i + 7]!);
      if ((one | other) < 0) break;
    }
    for (; i < length; i++) if (w[p[i]!]! < l[i]!) return i;
    // Those before may have room by now.
    return from === 0 ? length : this.firstWithRoom(0);
  }
}
