/** round-robin: the order is smooth, and the counts are exact over any number of workers. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { smoothOrder } from "../../src/policies/smooth.ts";
import { ANYBODY, type AtWork, atWork, counts, manyTargets } from "../support/upstreams.ts";

const ROUND = { policy: "round-robin" };

/** Targets of these weights, and a letter for each name. */
function weighted(weights: readonly number[], workers = 1): AtWork & { letters(times: number): string } {
  const work = atWork({ ...ROUND, targets: manyTargets(weights.length, (index) => ({ weight: weights[index]! })) }, { workers });
  const letters = new Map(work.config.targets.map(({ name }, index) => [name, String.fromCharCode(97 + index)]));
  return { ...work, letters: (times) => work.pick(times).map((name) => letters.get(name) ?? "-").join("") };
}

/** How often each target was picked, in file order. */
function inOrder({ config }: AtWork, names: readonly string[]): number[] {
  const all = counts(names);
  return config.targets.map(({ name }) => all[name] ?? 0);
}

describe("order", () => {
  test("equal weights go round in file order", () => {
    expect(weighted([1, 1, 1]).letters(7)).toBe("abcabca");
    expect(weighted([7, 7, 7]).letters(7)).toBe("abcabca");
  });

  test("weights 5, 1, 1 give a a b a c a a, again and again", () => {
    expect(weighted([5, 1, 1]).letters(14)).toBe("aabacaaaabacaa");
  });

  test("weights are brought to their smallest terms", () => {
    expect(weighted([500, 100, 100]).letters(7)).toBe("aabacaa");
  });

  test("is step by step that of nginx, for any weights", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 12 }), (weights) => {
        const equal = weights.every((weight) => weight === weights[0]);
        const order = equal ? undefined : [...smoothOrder(weights)!];
        expect(order).toEqual(equal ? undefined : nginxOrder(weights).slice(0, order!.length));
      }),
      { seed: 1 },
    );
  });

  test("nobody is far from its due at any moment", () => {
    const weights = [7, 3, 2, 1];
    const total = 13;
    const letters = weighted(weights).letters(total * 3);
    for (let length = 1; length <= letters.length; length++) {
      for (const [index, weight] of weights.entries()) {
        const got = letters.slice(0, length).split(String.fromCharCode(97 + index)).length - 1;
        expect(Math.abs(got - (length * weight) / total)).toBeLessThan(weights.length - 1);
      }
    }
  });

  test("one order over four workers that take turns", () => {
    expect(weighted([5, 1, 1], 4).letters(14)).toBe("aabacaaaabacaa");
  });
});

describe("counts", () => {
  test("are exact over four workers with weights 5, 1, 1", () => {
    const work = weighted([5, 1, 1], 4);
    expect(inOrder(work, work.pick(7000))).toEqual([5000, 1000, 1000]);
  });

  test("are exact whichever worker asks how often", () => {
    const work = weighted([5, 1, 1], 4);
    const names = [700, 100, 1300, 4900].flatMap((times, worker) => Array.from({ length: times }, () => nameOf(work.workers[worker]!.pick(ANYBODY, []))));
    expect(inOrder(work, names)).toEqual([5000, 1000, 1000]);
  });

  test("are exact with weights 1 to 10 after whole rounds", () => {
    const weights = Array.from({ length: 10 }, (_, index) => index + 1);
    const work = weighted(weights);
    for (let round = 0; round < 5; round++) expect(inOrder(work, work.pick(55))).toEqual(weights);
  });

  test("are exact with many targets of a few weights", () => {
    const weights = Array.from({ length: 300 }, (_, index) => [1, 4, 10][index % 3]!);
    const work = weighted(weights, 3);
    expect(inOrder(work, work.pick(1500))).toEqual(weights);
  });

  test("weight 0 gets nothing", () => {
    const work = weighted([2, 0, 1]);
    expect(inOrder(work, work.pick(300))).toEqual([200, 0, 100]);
  });

  test("a tenth of the weight gets a tenth of the turns", () => {
    const work = weighted([1, 1, 1]);
    work.board.setShare(0, work.config.targets[1]!.slot, 100);
    expect(inOrder(work, work.pick(2100))).toEqual([1000, 100, 1000]);
  });

  test("an odd share is exact too, and the whole weight comes back", () => {
    const work = weighted([4, 2]);
    work.board.setShare(0, work.config.targets[0]!.slot, 333);
    // 1.332 to 2.
    expect(inOrder(work, work.pick(1666))).toEqual([666, 1000]);
    work.board.setShare(0, work.config.targets[0]!.slot, 1000);
    expect(inOrder(work, work.pick(600))).toEqual([400, 200]);
  });

  test("a share of 0 gets nothing", () => {
    const work = weighted([1, 1]);
    work.board.setShare(0, work.config.targets[0]!.slot, 0);
    expect(inOrder(work, work.pick(10))).toEqual([0, 10]);
  });
});

describe("second attempts", () => {
  test("go round among those not tried and take nobody's turn", () => {
    const work = weighted([1, 1, 1]);
    const { upstream } = work;
    const [a] = upstream.targets;
    expect(work.letters(1)).toBe("a");
    const second = Array.from({ length: 6 }, () => nameOf(upstream.pick(ANYBODY, [a!])));
    expect(second).not.toContain(a!.name);
    expect(new Set(second).size).toBe(2);
    expect(work.letters(3)).toBe("bca");
  });
});

/** As ngx_http_upstream_round_robin.c has it: all gain their weight, the one with most pays the sum. */
function nginxOrder(weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const current = weights.map(() => 0);
  return Array.from({ length: total }, () => {
    let best = 0;
    for (const [index, weight] of weights.entries()) {
      current[index]! += weight;
      if (current[index]! > current[best]!) best = index;
    }
    current[best]! -= total;
    return best;
  });
}

function nameOf(target: unknown): string {
  return (target as { readonly name: string } | undefined)?.name ?? "none";
}
