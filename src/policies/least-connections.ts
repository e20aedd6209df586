/**
 * `least-connections`: the target with the fewest open requests (tcp: connections) for its weight. Those that have equally few take turns,
 * so that an idle set does not send everything to its first target.
 *
 * Every target is looked at: ten thousand numbers that stand one behind the other take a few µs, ten thousand objects would take a hundred.
 * Of very many targets, one that has no more than the least had a few picks ago will do.
 */
import { type BalancedTarget, type Balancer, type BalancerContext, none } from "./balanced.ts";
import type { Explanation, RoutingRequest } from "./policy.ts";
import { orderOf, twinOf } from "./twin.ts";

/** Targets whose least is found in one go, without branches in between. */
const BLOCK = 8;

/** What an open request counts with the lightest target, at most: 32,767 of them still fit into 31 bits. */
const MOST_COST = 65_536;

/** So many targets are very many, … */
const MANY = 256;
/** … and all of them are looked at with each eighth pick only. */
const FULL_SCAN_EVERY = 8;

/** Targets whose numbers stand one behind the other. */
interface Run {
  /** Index of the first of them. */
  readonly begin: number;
  /** Their open requests, as they are at any moment. */
  readonly open: Int32Array;
  /** What an open request counts with each; undefined: with all the same. */
  readonly cost: Int32Array | undefined;
}

export class LeastConnectionsPolicy implements Balancer {
  readonly skipsTried = true;
  private readonly context: Pick<BalancerContext, "open" | "cursor" | "peek">;
  private targets: readonly BalancedTarget[] = none();
  private runs: readonly Run[] = [];
  private second = 0;
  /** The best of a scan so far. */
  private best = 0;
  private least = 0;
  /** A target that has no more ends a scan. */
  private enough = 0;
  private leastOfAll = 0;
  private picks = 0;

  constructor(context: Pick<BalancerContext, "open" | "cursor" | "peek">) {
    this.context = context;
  }

  pick<Target extends BalancedTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Target | undefined {
    const { length } = targets;
    if (tried.length > 0) return leastUntried(targets, tried, this.second++ % length);
    if (targets !== this.targets) this.remember(targets);
    const turn = this.context.cursor();
    this.least = Infinity;
    if (length < MANY) {
      this.enough = 0;
      this.scan(0, length);
      // Whoever begins a search somewhere gives the one behind a busy target that one's turns too: count them, and take turns among them.
      if (this.least >= 0) this.takeTurn(turn);
    } else this.scanMany(turn % length, length);
    // Below zero: so many requests are open that whole numbers do not hold their cost.
    return this.least < 0 ? leastUntried(targets, none(), turn % length) : targets[this.best];
  }

  explain<Target extends BalancedTarget>(request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Explanation<Target> {
    const { open, peek } = this.context;
    const order = orderOf<Target>(twinOf(this, { context: { open, cursor: peek } }), request, targets, tried);
    const scores = targets.map((target) => ({ target, score: target.openRequests / target.weight, note: `${target.openRequests} open ÷ weight ${target.weight}` }));
    const least = scores.reduce((a, { score, target }) => (tried.includes(target) ? a : Math.min(a, score)), Infinity);
    const ties = scores.filter(({ score, target }) => score === least && !tried.includes(target)).length;
    const among = targets.length < MANY ? "the fewest open requests for its weight" : "of very many targets, one with as few open requests for its weight as the least had a few picks ago";
    return { pick: order[0], order, scores, note: ties > 1 ? `${among}; ${ties} have equally few and take turns` : among };
  }

  /** Of very many: the first from `start` on and round that has no more than the least had a few picks ago. */
  private scanMany(start: number, length: number): void {
    this.best = start;
    this.enough = this.picks++ % FULL_SCAN_EVERY === 0 ? 0 : this.leastOfAll;
    this.scan(start, length);
    if (this.least > this.enough) this.scan(0, start);
    if (this.enough === 0 || this.least > this.enough) this.leastOfAll = this.least;
  }

  /** Among those that have the least. */
  private takeTurn(turn: number): void {
    const { least } = this;
    let ties = 0;
    for (const { open, cost } of this.runs) for (let i = 0; i < open.length; i++) if ((cost === undefined ? open[i]! : Math.imul(open[i]!, cost[i]!)) === least) ties++;
    // What has changed since then is as good as it was.
    if (ties < 2) return;
    let left = turn % ties;
    for (const { begin, open, cost } of this.runs) {
      for (let i = 0; i < open.length; i++) {
        if ((cost === undefined ? open[i]! : Math.imul(open[i]!, cost[i]!)) !== least || left-- > 0) continue;
        this.best = begin + i;
        return;
      }
    }
  }

  private remember(targets: readonly BalancedTarget[]): void {
    const { words } = this.context.open;
    const places = targets.map(({ slot }) => this.context.open.openRequestsAt(slot));
    const cost = costs(targets.map(({ weight }) => weight));
    const begins = [...places.keys()].filter((index) => index === 0 || places[index] !== places[index - 1]! + 1);
    this.targets = targets;
    this.leastOfAll = 0;
    this.runs = begins.map((begin, index) => {
      const end = begins[index + 1] ?? targets.length;
      return { begin, open: words.subarray(places[begin], places[begin]! + end - begin), cost: cost?.subarray(begin, end) };
    });
  }

  private scan(from: number, to: number): void {
    const { runs } = this;
    for (let i = this.runOf(from); i < runs.length && this.least > this.enough; i++) {
      const { begin, open, cost } = runs[i]!;
      if (begin >= to) return;
      const first = Math.max(0, from - begin);
      const end = Math.min(open.length, to - begin);
      if (cost === undefined) this.scanRun(begin, open, first, end);
      else this.scanWeighted(begin, open, cost, first, end);
    }
  }

  /** Index of the run that has this target. */
  private runOf(target: number): number {
    let low = 0;
    for (let high = this.runs.length - 1; low < high; ) {
      const middle = (low + high + 1) >> 1;
      if (this.runs[middle]!.begin <= target) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  private scanRun(begin: number, open: Int32Array, from: number, to: number): void {
    let least = Math.min(this.least, 0x7f_ff_ff_ff);
    let block = -1;
    let i = from;
    for (; i + BLOCK <= to; i += BLOCK) {
      const one = Math.min(Math.min(open[i]!, open[i + 1]!), Math.min(open[i + 2]!, open[i + 3]!));
      const other = Math.min(Math.min(open[i + 4]!, open[i + 5]!), Math.min(open[i + 6]!, open[i + 7]!));
      const here = Math.min(one, other);
      if (here >= least) continue;
      least = here;
      block = i;
      if (least <= this.enough) break;
    }
    for (; i < to && least > this.enough; i++) {
      if (open[i]! >= least) continue;
      least = open[i]!;
      block = i;
    }
    if (block < 0) return;
    this.found(begin + block, least);
    // What has changed since does not matter: it was the least a moment ago.
    for (i = block; i < block + BLOCK && i < to; i++) if (open[i] === least) return this.found(begin + i, least);
  }

  /** The same with what each open request counts. */
  private scanWeighted(begin: number, open: Int32Array, cost: Int32Array, from: number, to: number): void {
    let least = Math.min(this.least, 0x7f_ff_ff_ff);
    let block = -1;
    let i = from;
    for (; i + BLOCK <= to; i += BLOCK) {
      const one = Math.min(Math.imul(open[i]!, cost[i]!), Math.imul(open[i + 1]!, cost[i + 1]!));
      const two = Math.min(Math.imul(open[i + 2]!, cost[i + 2]!), Math.imul(open[i + 3]!, cost[i + 3]!));
      const three = Math.min(Math.imul(open[i + 4]!, cost[i + 4]!), Math.imul(open[i + 5]!, cost[i + 5]!));
      const four = Math.min(Math.imul(open[i + 6]!, cost[i + 6]!), Math.imul(open[i + 7]!, cost[i + 7]!));
      const here = Math.min(Math.min(one, two), Math.min(three, four));
      if (here >= least) continue;
      least = here;
      block = i;
      if (least <= this.enough) break;
    }
    for (; i < to && least > this.enough; i++) {
      const here = Math.imul(open[i]!, cost[i]!);
      if (here >= least) continue;
      least = here;
      block = i;
    }
    if (block < 0) return;
    this.found(begin + block, least);
    for (i = block; i < block + BLOCK && i < to; i++) if (Math.imul(open[i]!, cost[i]!) === least) return this.found(begin + i, least);
  }

  private found(best: number, least: number): void {
    this.best = best;
    this.least = least;
  }
}

/** 1 ÷ weight in whole numbers: exact for small weights, within 1 % for others up to 1 : 1,000. Undefined: all are equal. */
function costs(weights: readonly number[]): Int32Array | undefined {
  const distinct = [...new Set(weights)];
  if (distinct.length < 2) return undefined;
  const multiple = distinct.reduce((product, weight) => (Number.isInteger(weight) && product <= MOST_COST ? leastCommonMultiple(product, weight) : Infinity), 1);
  const scale = multiple <= MOST_COST ? multiple : MOST_COST * distinct.reduce((a, b) => Math.min(a, b));
  return Int32Array.from(weights, (weight) => Math.max(1, Math.round(scale / weight)));
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return (a / x) * b;
}

function leastUntried<Target extends BalancedTarget>(targets: readonly Target[], tried: readonly Target[], start: number): Target | undefined {
  let best: Target | undefined;
  for (let i = 0; i < targets.length; i++) {
    const target = targets[(start + i) % targets.length]!;
    if (tried.includes(target)) continue;
    if (best === undefined || target.openRequests / target.weight < best.openRequests / best.weight) best = target;
  }
  return best;
}
