/** `weighted-random`: every usable target as likely as its weight says. */
import { type AliasTable, aliasTable } from "./alias.ts";
import { firstUntried, none } from "./balanced.ts";
import { chanceExplanation, drawn, untriedChances } from "./chances.ts";
import type { Explanation, PolicyContext, RoutingPolicy, RoutingRequest, RoutingTarget } from "./policy.ts";

export class WeightedRandomPolicy implements RoutingPolicy {
  readonly skipsTried = true;
  private readonly random: () => number;
  private targets: readonly RoutingTarget[] = none();
  private table: AliasTable | undefined = undefined;

  constructor(context: Pick<PolicyContext, "random">) {
    this.random = context.random;
  }

  pick<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Target | undefined {
    if (targets !== this.targets) {
      this.targets = targets;
      this.table = aliasTable(targets);
    }
    const random = this.random();
    const at = this.table === undefined ? Math.floor(random * targets.length) : this.table.at(random);
    return tried.length === 0 ? targets[at] : firstUntried(targets, tried, at);
  }

  explain<Target extends RoutingTarget>(_request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Explanation<Target> {
    return chanceExplanation(targets, tried, { chances: untriedChances(drawn(targets, true), targets, tried), notes: targets.map(({ weight }) => `weight ${weight}`) }, "at random, as likely as the weight says");
  }
}
