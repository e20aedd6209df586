/** least-connections: the fewest open requests for the weight, over all workers, compared with a look at every target. */
import { describe, expect, test } from "bun:test";
import { Flag } from "../../src/scoreboard/scoreboard.ts";
import type { Target } from "../../src/upstream/target.ts";
import type { Upstream } from "../../src/upstream/upstream.ts";
import { Dice } from "../support/random.ts";
import { ANYBODY, type AtWork, atWork, counts, manyTargets } from "../support/upstreams.ts";

/** @param weights one for each target */
function withWeights(weights: readonly number[], workers = 1): AtWork {
  return atWork({ policy: "least-connections", panic_threshold: "0%", targets: manyTargets(weights.length, (index) => ({ weight: weights[index]! })) }, { workers });
}

const even = (n: number, workers = 1): AtWork => withWeights(Array.from({ length: n }, () => 1), workers);

/** The index of the target that this worker picks; -1: none. */
function indexOf(upstream: Upstream, tried: readonly Target[] = []): number {
  return upstream.targets.indexOf(upstream.pick(ANYBODY, tried) as Target);
}

/** So many requests are open with each target from now on, from this worker. */
function load(upstream: Upstream, open: readonly number[]): void {
  for (const [index, wanted] of open.entries()) for (let i = 0; i < wanted; i++) upstream.enter(upstream.targets[index]!);
}

describe("fewest open requests", () => {
  test("win over all workers", () => {
    const { workers } = even(3, 4);
    load(workers[0]!, [2, 0, 1]);
    load(workers[1]!, [0, 1, 0]);
    load(workers[3]!, [0, 2, 1]);
    // 2, 3, 2: ties of the first and the last.
    for (const upstream of workers) expect(indexOf(upstream)).not.toBe(1);
    load(workers[2]!, [1, 0, 0]);
    for (const upstream of workers) expect(indexOf(upstream)).toBe(2);
  });

  test("count anew when one has ended", () => {
    const { upstream } = even(3);
    load(upstream, [1, 1, 1]);
    upstream.leave(upstream.targets[1]!, { failed: false, milliseconds: 1, status: 200 });
    expect(indexOf(upstream)).toBe(1);
    load(upstream, [0, 1, 0]);
    upstream.leaveEarly(upstream.targets[2]!, 1);
    expect(indexOf(upstream)).toBe(2);
  });

  test("keep a set level while requests stay open", () => {
    const { workers, upstream } = even(37, 3);
    for (let i = 0; i < 37 * 5; i++) {
      const worker = workers[i % 3]!;
      worker.enter(worker.targets[indexOf(worker)]!);
    }
    expect(upstream.targets.map(({ openRequests }) => openRequests)).toEqual(Array.from({ length: 37 }, () => 5));
  });
});

describe("ties", () => {
  test("go round an idle set", () => {
    const { pick } = even(10, 4);
    expect(Object.values(counts(pick(1000)))).toEqual(Array.from({ length: 10 }, () => 100));
  });

  test("go round a busy set", () => {
    const { upstream, pick } = even(10);
    load(upstream, Array.from({ length: 10 }, () => 3));
    expect(Object.values(counts(pick(1000)))).toEqual(Array.from({ length: 10 }, () => 100));
  });

  test("are even beside a busy target too: the one behind it gets no more than the others", () => {
    const work = atWork({ policy: "least-connections", targets: manyTargets(5) });
    work.upstream.enter(work.upstream.targets[1]!);
    const picked = counts(work.pick(400));
    const others = work.config.targets.filter((_, index) => index !== 1);
    expect(picked).toEqual(Object.fromEntries(others.map(({ name }) => [name, 100])));
  });

  test("go round an idle set with one of many down", () => {
    const { board, pick } = even(20);
    board.setFlags(0, 9, Flag.DOWN);
    expect(Object.values(counts(pick(1900)))).toEqual(Array.from({ length: 19 }, () => 100));
  });

  test("go round an idle set whatever the weights", () => {
    const { pick } = withWeights([1, 2, 3, 4]);
    expect(Object.values(counts(pick(400)))).toEqual([100, 100, 100, 100]);
  });
});

describe("weights", () => {
  test("open requests settle at the weights", () => {
    const { upstream } = withWeights([1, 3]);
    for (let i = 0; i < 400; i++) upstream.enter(upstream.targets[indexOf(upstream)]!);
    expect(upstream.targets.map(({ openRequests }) => openRequests)).toEqual([100, 300]);
  });

  test("a share counts as less weight", () => {
    const { board, upstream } = withWeights([2, 2]);
    board.setShare(0, 0, 250);
    for (let i = 0; i < 100; i++) upstream.enter(upstream.targets[indexOf(upstream)]!);
    expect(upstream.targets.map(({ openRequests }) => openRequests)).toEqual([20, 80]);
  });

  test("so many open requests that whole numbers do not hold their cost are compared all the same", () => {
    const { board, upstream } = withWeights([1, 4096 / 8]);
    const [small, large] = upstream.targets.map(({ slot }) => board.openRequestsAt(slot));
    board.words[small!] = 5_000_000;
    board.words[large!] = 2_000_000_000;
    expect(indexOf(upstream)).toBe(1);
    board.words[small!] = 3_000_000;
    expect(indexOf(upstream)).toBe(0);
  });

  const sets: readonly [string, (dice: Dice) => number][] = [
    ["all equal", () => 1],
    ["two of them", (dice) => dice.one([1, 3])],
    ["small ones", (dice) => 1 + dice.below(8)],
    ["ratios that are no whole numbers", (dice) => dice.one([7, 11, 13, 64, 100, 333])],
    ["from 1 to 1000", (dice) => 1 + dice.below(1000)],
  ];
  for (const [what, weightOf] of sets) {
    test(`${what}: as by a look at every target, over random states`, () => {
      const dice = new Dice(7);
      for (let round = 0; round < 60; round++) {
        const weights = Array.from({ length: 1 + dice.below(70) }, () => weightOf(dice));
        const { board, workers } = withWeights(weights, 2);
        for (const [index, weight] of weights.entries()) board.words[board.openRequestsAt(index)] = dice.below(4) * weight + dice.below(20);
        if (dice.chance(0.5)) for (const index of weights.keys()) if (dice.chance(0.1)) board.setFlags(0, index, Flag.DOWN);
        if (dice.chance(0.3)) board.setShare(0, dice.below(weights.length), 1 + dice.below(1000));
        for (let i = 0; i < 10; i++) expectLeast(workers[i % 2]!);
      }
    });
  }
});

/** What is picked has the least load, within what rounding a weight to 12 bits of the smallest one makes of it. */
function expectLeast(upstream: Upstream): void {
  const { usable } = upstream;
  const picked = upstream.pick(ANYBODY, []) as Target | undefined;
  if (usable.length === 0) return expect(picked).toBeUndefined();
  const loadOf = ({ openRequests, weight }: Target): number => openRequests / weight;
  const best = usable.reduce((a, b) => (loadOf(b) < loadOf(a) ? b : a));
  const smallest = Math.min(...usable.map(({ weight }) => weight));
  const weights = new Set(usable.map(({ weight }) => weight));
  const isExact = [...weights].every((weight) => Number.isInteger(weight) && weight <= 8);
  const rounding = isExact ? 0 : (picked!.openRequests + best.openRequests) / 2 / (4096 * smallest);
  expect(usable).toContain(picked!);
  expect(loadOf(picked!) - loadOf(best)).toBeLessThanOrEqual(rounding + 1e-9);
}

describe("a target that is down", () => {
  test("in the middle of many is passed over, and comes back", () => {
    const { board, upstream } = even(21);
    load(upstream, Array.from({ length: 21 }, (_, index) => (index === 10 ? 0 : index === 17 ? 1 : 2)));
    expect(indexOf(upstream)).toBe(10);
    board.setFlags(0, 10, Flag.DOWN);
    for (let i = 0; i < 25; i++) expect(indexOf(upstream)).toBe(17);
    board.setFlags(0, 10, 0);
    for (let i = 0; i < 25; i++) expect(indexOf(upstream)).toBe(10);
  });

  test("takes no turn when every second one is", () => {
    const { board, pick, config } = even(16);
    for (let index = 0; index < 16; index += 2) board.setFlags(0, index, Flag.DOWN);
    expect(counts(pick(800))).toEqual(Object.fromEntries(config.targets.filter((_, index) => index % 2 === 1).map(({ name }) => [name, 100])));
  });
});

describe("targets that were tried", () => {
  test("are not picked again, whatever their load", () => {
    const { upstream } = even(4);
    load(upstream, [0, 5, 3, 4]);
    const [a, , c] = upstream.targets;
    expect(indexOf(upstream, [a!])).toBe(2);
    expect(indexOf(upstream, [a!, c!])).toBe(3);
    expect(indexOf(upstream, upstream.targets)).toBe(-1);
  });

  test("the rest goes by load for its weight", () => {
    const { upstream } = withWeights([1, 4, 1]);
    load(upstream, [0, 7, 2]);
    expect(indexOf(upstream, [upstream.targets[0]!])).toBe(1);
  });

  test("second attempts of an idle set are spread too", () => {
    const { upstream } = even(5);
    const picked = Array.from({ length: 400 }, () => String(indexOf(upstream, [upstream.targets[2]!])));
    expect(Object.keys(counts(picked))).toEqual(["0", "1", "3", "4"]);
    for (const times of Object.values(counts(picked))) expect(times).toBeGreaterThanOrEqual(80);
  });
});
