/** How likely each target is with the policies that draw: what `explain` says instead of a pick. */
import type { Explanation, RoutingTarget } from "./policy.ts";

/** Pairs of more targets than these are not looked at one by one, for that takes the square of their number. */
const MANY = 512;

/** Of a draw by weight, or of one where all are alike. */
export function drawn(targets: readonly RoutingTarget[], byWeight: boolean): number[] {
  const total = byWeight ? targets.reduce((sum, { weight }) => sum + weight, 0) : targets.length;
  return targets.map(({ weight }) => (byWeight ? weight : 1) / total);
}

/** The same when whoever was tried already gives way to the next one, from there on and round (`firstUntried`). */
export function untriedChances<Target extends RoutingTarget>(chances: readonly number[], targets: readonly Target[], tried: readonly Target[]): number[] {
  const left = chances.map((chance, index) => (tried.includes(targets[index]!) ? 0 : chance));
  const stands = standsIn(targets, tried);
  for (const [index, chance] of chances.entries()) if (stands[index] !== undefined && stands[index] !== index) left[stands[index]]! += chance;
  return left;
}

/** Index of the target that is taken when this one is drawn; undefined: nobody is left. */
function standsIn<Target extends RoutingTarget>(targets: readonly Target[], tried: readonly Target[]): (number | undefined)[] {
  const { length } = targets;
  const stands: (number | undefined)[] = Array.from({ length });
  let next: number | undefined;
  // Twice round, for the last ones' next may be the first.
  for (let i = 2 * length - 1; i >= 0; i--) {
    if (!tried.includes(targets[i % length]!)) next = i % length;
    stands[i % length] = next;
  }
  return stands;
}

/** That `one` is drawn, and then `other` as pairs.ts does it: by weight, and evenly among all others when that gives `one` again. */
function pairChance(chances: readonly number[], one: number, other: number): number {
  return chances[one]! * (chances[other]! + chances[one]! / (chances.length - 1));
}

/**
 * The better one of two different targets; equally good: the one drawn first.
 * @returns undefined: there are too many to be asked, when some were tried
 */
export function betterChances<Target extends RoutingTarget>(chances: readonly number[], targets: readonly Target[], tried: readonly Target[], costs: readonly number[]): number[] | undefined {
  const { length } = targets;
  if (length === 1) return tried.includes(targets[0]!) ? [0] : [1];
  if (tried.length === 0) return betterOfAll(chances, costs);
  if (length > MANY) return undefined;
  const stands = standsIn(targets, tried);
  const won = new Array<number>(length).fill(0);
  for (let one = 0; one < length; one++) {
    for (let other = 0; other < length; other++) {
      const [a, b] = [stands[one], stands[other]];
      if (one === other || a === undefined || b === undefined) continue;
      won[costs[a]! <= costs[b]! ? a : b]! += pairChance(chances, one, other);
    }
  }
  return won;
}

/** Whoever costs more, or as much and comes second, loses: sums over them, from the dearest down. */
function betterOfAll(chances: readonly number[], costs: readonly number[]): number[] {
  const { length } = chances;
  const dearest = [...costs.keys()].toSorted((a, b) => costs[b]! - costs[a]!);
  const won = new Array<number>(length).fill(0);
  let [above, squares] = [0, 0];
  for (let at = 0; at < length; ) {
    let end = at;
    let [same, count] = [0, 0];
    while (end < length && costs[dearest[end]!] === costs[dearest[at]!]) {
      same += chances[dearest[end]!]!;
      count++;
      end++;
    }
    for (let i = at; i < end; i++) {
      const chance = chances[dearest[i]!]!;
      const beaten = above + same - chance;
      const beatenCount = at + count - 1;
      won[dearest[i]!] = chance * beaten + (chance * chance * beatenCount) / (length - 1) + chance * above + squares / (length - 1);
    }
    for (let i = at; i < end; i++) squares += chances[dearest[i]!]! ** 2;
    above += same;
    at = end;
  }
  return won;
}

export interface Chance {
  readonly chances: readonly number[] | undefined;
  readonly scores?: readonly number[];
  readonly notes?: readonly string[];
}

/** @param what of the policy, for people */
export function chanceExplanation<Target extends RoutingTarget>(targets: readonly Target[], tried: readonly Target[], { chances, scores, notes }: Chance, what: string): Explanation<Target> {
  const left = targets.filter((target) => !tried.includes(target));
  return {
    // With one left there is no chance in it.
    ...(left.length === 1 ? { pick: left[0]!, order: left } : {}),
    scores: targets.map((target, index) => ({
      target,
      ...(scores === undefined ? {} : { score: scores[index]! }),
      ...(chances === undefined ? {} : { probability: chances[index]! }),
      note: notes?.[index] ?? "",
    })),
    note: what,
  };
}
