/**
 * `least-connections`: the target with the fewest open requests (tcp: connections) for its weight. Ties go round, so that an idle set
 * does not send everything to its first target.
 */
import { type BalancedTarget, type Balancer, type BalancerContext, none } from "./balanced.ts";
import type { RoutingRequest } from "./policy.ts";

/** Targets whose least is found in one go, without branches in between. */
const BLOCK = 8;

export class LeastConnectionsPolicy implements Balancer {
  readonly skipsTried = true;
  private readonly context: Pick<BalancerContext, "open" | "cursor">;
  private targets: readonly BalancedTarget[] = none();
  /** Where the open requests of each stand. */
  private places = new Int32Array(0);
  /** They stand one behind the other, from places[0] on. */
  private inRow = false;
  /** 1 ÷ weight; undefined: all are equal. */
  private perRequest: Float64Array | undefined = undefined;
  private second = 0;

  constructor(context: Pick<BalancerContext, "open" | "cursor">) {
    this.context = context;
  }

  pick<Target extends BalancedTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Target | undefined {
    if (targets !== this.targets) this.remember(targets);
    const start = (tried.length > 0 ? this.second++ : this.context.cursor()) % targets.length;
    if (tried.length > 0) return this.leastUntried(targets, tried, start);
    if (this.perRequest !== undefined) return targets[this.leastPerWeight(this.perRequest, start)];
    return targets[this.inRow ? this.leastInRow(start) : this.least(start)];
  }

  private remember(targets: readonly BalancedTarget[]): void {
    const { open } = this.context;
    this.targets = targets;
    this.places = Int32Array.from(targets, ({ slot }) => open.openRequestsAt(slot));
    this.inRow = targets.length > 0 && this.places.every((place, index) => place === this.places[0]! + index);
    const first = targets[0]?.weight;
    this.perRequest = targets.every(({ weight }) => weight === first) ? undefined : Float64Array.from(targets, ({ weight }) => 1 / weight);
  }

  /** The first of the least from `start` on and round; a target without requests ends the search. */
  private least(start: number): number {
    const { places } = this;
    const { words } = this.context.open;
    const { length } = places;
    let best = start;
    let least = words[places[start]!]!;
    for (let i = 1; i < length && least > 0; i++) {
      const at = start + i < length ? start + i : start + i - length;
      const open = words[places[at]!]!;
      if (open >= least) continue;
      least = open;
      best = at;
    }
    return best;
  }

  /** The same for ten thousand targets in a third of the time: find the block that has the least first, then its target. */
  private leastInRow(start: number): number {
    const { words } = this.context.open;
    const first = this.places[0]!;
    const { length } = this.places;
    if (words[first + start]! <= 0) return start;
    const [behind, behindAt] = leastOf(words, first + start, first + length);
    const [before, beforeAt] = behind <= 0 ? [behind, behindAt] : leastOf(words, first, first + start);
    const [least, block] = before < behind ? [before, beforeAt] : [behind, behindAt];
    // What changed in between does not matter: it was the least a moment ago.
    for (let at = block; at < block + BLOCK && at < first + length; at++) if (words[at] === least) return at - first;
    return block - first;
  }

  private leastPerWeight(perRequest: Float64Array, start: number): number {
    const { places } = this;
    const { words } = this.context.open;
    const { length } = places;
    let best = start;
    let least = words[places[start]!]! * perRequest[start]!;
    for (let i = 1; i < length && least > 0; i++) {
      const at = start + i < length ? start + i : start + i - length;
      const load = words[places[at]!]! * perRequest[at]!;
      if (load >= least) continue;
      least = load;
      best = at;
    }
    return best;
  }

  private leastUntried<Target extends BalancedTarget>(targets: readonly Target[], tried: readonly Target[], start: number): Target | undefined {
    let best: Target | undefined;
    for (let i = 0; i < targets.length; i++) {
      const target = targets[(start + i) % targets.length]!;
      if (tried.includes(target)) continue;
      if (best === undefined || target.openRequests / target.weight < best.openRequests / best.weight) best = target;
    }
    return best;
  }
}

/** The least of words[from, to) and where the first block that has it begins. */
function leastOf(words: Int32Array, from: number, to: number): [number, number] {
  let least = 0x7f_ff_ff_ff;
  let block = from;
  let at = from;
  for (; at + BLOCK <= to; at += BLOCK) {
    const one = Math.min(Math.min(words[at]!, words[at + 1]!), Math.min(words[at + 2]!, words[at + 3]!));
    const other = Math.min(Math.min(words[at + 4]!, words[at + 5]!), Math.min(words[at + 6]!, words[at + 7]!));
    const here = Math.min(one, other);
    if (here >= least) continue;
    least = here;
    block = at;
  }
  for (; at < to; at++) {
    if (words[at]! >= least) continue;
    least = words[at]!;
    block = at;
  }
  return [least, block];
}
