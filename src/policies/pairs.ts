/**
 * Two different targets at random, by weight: what policies with the power of two choices start from.
 *
 * M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (IEEE TPDS 12(10), 2001). Drawing by weight lets a target
 * of many times the others' weight have more than two draws in n.
 */
import { type AliasTable, aliasTable } from "./alias.ts";
import { firstUntried, none } from "./balanced.ts";
import { betterChances, chanceExplanation, drawn } from "./chances.ts";
import type { Explanation, RoutingTarget } from "./policy.ts";

export class Pairs {
  private readonly random: () => number;
  private targets: readonly RoutingTarget[] = none();
  private table: AliasTable | undefined = undefined;

  constructor(random: () => number) {
    this.random = random;
  }

  /** The one of two that costs less; of those not tried. */
  better<Target extends RoutingTarget>(targets: readonly Target[], tried: readonly Target[], cost: (target: Target) => number): Target | undefined {
    if (targets !== this.targets) {
      this.targets = targets;
      this.table = aliasTable(targets);
    }
    const one = this.draw();
    const other = this.drawAnother(one);
    if (tried.length > 0) return this.untried(targets, tried, one, other, cost);
    const [a, b] = [targets[one]!, targets[other]!];
    return a === b || cost(a) <= cost(b) ? a : b;
  }

  /** @param cost asked once for each target, for it may change while we look @param words of a target's cost @param what of the policy */
  explain<Target extends RoutingTarget>(targets: readonly Target[], tried: readonly Target[], cost: (target: Target) => number, words: (target: Target) => string, what: string): Explanation<Target> {
    const scores = targets.map(cost);
    return chanceExplanation(targets, tried, { chances: betterChances(drawn(targets, true), targets, tried, scores), scores, notes: targets.map(words) }, what);
  }

  private draw(): number {
    const random = this.random();
    return this.table === undefined ? Math.floor(random * this.targets.length) : this.table.at(random);
  }

  /** By weight as well; when that keeps giving the same one, its neighbour. */
  private drawAnother(one: number): number {
    const { length } = this.targets;
    if (length === 1) return one;
    if (this.table === undefined) {
      const other = Math.floor(this.random() * (length - 1));
      return other >= one ? other + 1 : other;
    }
    const other = this.table.at(this.random());
    return other === one ? (one + 1 + Math.floor(this.random() * (length - 1))) % length : other;
  }

  private untried<Target extends RoutingTarget>(targets: readonly Target[], tried: readonly Target[], one: number, other: number, cost: (target: Target) => number): Target | undefined {
    const a = firstUntried(targets, tried, one);
    const b = firstUntried(targets, tried, other);
    return a === undefined || b === undefined || cost(a) <= cost(b) ? a : b;
  }
}
