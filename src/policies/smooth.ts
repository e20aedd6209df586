/**
 * The order of smooth weighted round robin, worked out once: then a shared cursor makes it exact over any number of workers.
 *
 * As nginx does it (ngx_http_upstream_round_robin.c; commit 52327e0627 of 2012 explains it): with each step every target gains its
 * weight, and the one that has most is picked and pays the sum of all weights. Weights 5, 1, 1 give a a b a c a a.
 */

/** Steps × distinct weights that may be worked out: about 20 ms. Beyond it weights are rounded to fewer distinct ones. */
const BUDGET = 20_000_000;
/** Weights may have this fraction (a share is in thousandths). */
const PRECISION = 1000;

/** @returns indexes in the order of their turns; undefined when all weights are equal and the order is the plain one */
export function smoothOrder(weights: readonly number[]): Uint32Array | undefined {
  const first = weights[0];
  if (weights.every((weight) => weight === first)) return undefined;
  return orderOf(fitted(weights.map((weight) => Math.max(1, Math.round(weight * PRECISION)))));
}

/**
 * What each target has gained and not paid yet before that step: the one that has most is picked in it.
 * @param order as smoothOrder made it @param length number of targets
 */
export function creditsAt(order: Uint32Array | undefined, length: number, step: number): number[] {
  if (order === undefined) return Array.from({ length }, (_, index) => step + 1 - (index < step ? length : 0));
  const weights = new Float64Array(length);
  const paid = new Float64Array(length);
  for (const [at, index] of order.entries()) {
    weights[index]!++;
    if (at < step) paid[index]! += order.length;
  }
  return Array.from(weights, (weight, index) => weight * (step + 1) - paid[index]!);
}

/** Whole numbers without a common factor, coarse enough for the budget. */
function fitted(weights: readonly number[]): number[] {
  let whole = withoutFactor(weights);
  for (let most = Math.max(...new Set(whole)); cost(whole) > BUDGET; ) {
    most = Math.max(2, Math.floor(most / 2));
    const largest = whole.reduce((a, b) => Math.max(a, b), 1);
    whole = withoutFactor(whole.map((weight) => Math.max(1, Math.round((weight * most) / largest))));
    if (most === 2) break;
  }
  return whole;
}

function cost(weights: readonly number[]): number {
  return weights.reduce((sum, weight) => sum + weight, 0) * new Set(weights).size;
}

function withoutFactor(weights: readonly number[]): number[] {
  const factor = weights.reduce((a, b) => gcd(a, b), 0);
  return weights.map((weight) => weight / factor);
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** Targets of the same weight take turns among themselves, so each step looks at one of each weight only. */
function orderOf(weights: readonly number[]): Uint32Array {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const classes = [...Map.groupBy(weights.keys(), (index) => weights[index]!)].map(([weight, members]) => ({ weight, members, picks: 0, credit: weight }));
  const order = new Uint32Array(total);
  for (let step = 0; step < total; step++) {
    let best = classes[0]!;
    let bestMember = best.members[best.picks % best.members.length]!;
    for (let i = 1; i < classes.length; i++) {
      const other = classes[i]!;
      if (other.credit < best.credit) continue;
      const member = other.members[other.picks % other.members.length]!;
      // Equal: whoever stands first in the file.
      if (other.credit === best.credit && member > bestMember) continue;
      best = other;
      bestMember = member;
    }
    order[step] = bestMember;
    best.picks++;
    for (const each of classes) each.credit = each.weight * (step + 2) - total * Math.floor(each.picks / each.members.length);
  }
  return order;
}
