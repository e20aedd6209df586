/** random, weighted-random, p2c and peak-ewma: chance is seeded, so that the bounds hold in every run. */
import { describe, expect, test } from "bun:test";
import { AliasTable } from "../../src/policies/alias.ts";
import { Flag } from "../../src/scoreboard/scoreboard.ts";
import type { Target } from "../../src/upstream/target.ts";
import type { Upstream } from "../../src/upstream/upstream.ts";
import { randomFrom } from "../support/random.ts";
import { ANYBODY, type AtWork, atWork, counts, manyTargets } from "../support/upstreams.ts";

function withWeights(policy: string, weights: readonly number[], workers = 1): AtWork {
  return atWork({ policy, panic_threshold: "0%", targets: manyTargets(weights.length, (index) => ({ weight: weights[index]! })) }, { workers });
}

const even = (policy: string, n: number, workers = 1): AtWork => withWeights(policy, Array.from({ length: n }, () => 1), workers);

function indexOf(upstream: Upstream, tried: readonly Target[] = []): number {
  return upstream.targets.indexOf(upstream.pick(ANYBODY, tried) as Target);
}

/** How often each target is picked, in file order. */
function spread(work: AtWork, times: number): number[] {
  const all = counts(work.pick(times));
  return work.config.targets.map(({ name }) => all[name] ?? 0);
}

/** Each within four standard deviations of what its part of all picks makes it. */
function expectShares(seen: readonly number[], shares: readonly number[]): void {
  const all = shares.reduce((sum, share) => sum + share, 0);
  const times = seen.reduce((sum, each) => sum + each, 0);
  for (const [index, share] of shares.entries()) {
    const p = share / all;
    expect(Math.abs(seen[index]! - times * p)).toBeLessThanOrEqual(4 * Math.sqrt(times * p * (1 - p)));
  }
}

/** One exchange with this target, over at once. */
function exchange(upstream: Upstream, index: number, milliseconds: number, status = 200): void {
  const target = upstream.targets[index]!;
  upstream.enter(target);
  upstream.leave(target, { failed: status === 0, milliseconds, status });
}

describe("random", () => {
  test("reaches all equally, whatever their weight", () => {
    expectShares(spread(withWeights("random", [1, 10, 100, 1, 1]), 20_000), [1, 1, 1, 1, 1]);
  });

  test("leaves out who is down and who was tried", () => {
    const { board, upstream } = even("random", 4);
    board.setFlags(0, 1, Flag.DOWN);
    const picked = Array.from({ length: 200 }, () => String(indexOf(upstream, [upstream.targets[3]!])));
    expect(Object.keys(counts(picked))).toEqual(["0", "2"]);
  });
});

describe("weighted-random", () => {
  test("reaches each as its weight says", () => {
    const weights = [5, 1, 1, 3, 0, 10];
    expectShares(spread(withWeights("weighted-random", weights), 20_000), weights);
  });

  test("reaches each as its weight says over several workers", () => {
    const weights = Array.from({ length: 50 }, (_, index) => index + 1);
    expectShares(spread(withWeights("weighted-random", weights, 4), 100_000), weights);
  });

  test("a share counts as less weight", () => {
    const work = even("weighted-random", 3);
    work.board.setShare(0, 2, 100);
    expectShares(spread(work, 20_000), [10, 10, 1]);
    work.board.setShare(0, 2, 1000);
    expectShares(spread(work, 20_000), [1, 1, 1]);
  });

  test("leaves out who was tried", () => {
    const { upstream } = withWeights("weighted-random", [1000, 1, 1]);
    for (let i = 0; i < 100; i++) expect(indexOf(upstream, [upstream.targets[0]!])).toBeGreaterThan(0);
    expect(indexOf(upstream, upstream.targets)).toBe(-1);
  });

  test("the table gives every index its exact part of all numbers", () => {
    const random = randomFrom(3);
    for (let round = 0; round < 20; round++) {
      const weights = Array.from({ length: 1 + Math.floor(random() * 20) }, () => 0.001 + random() * 100);
      const table = new AliasTable(weights);
      const steps = 100_000;
      const seen = weights.map(() => 0);
      for (let i = 0; i < steps; i++) seen[table.at(i / steps)]!++;
      const all = weights.reduce((sum, weight) => sum + weight, 0);
      for (const [index, weight] of weights.entries()) expect(Math.abs(seen[index]! / steps - weight / all)).toBeLessThan((weights.length + 1) / steps);
    }
  });
});

describe("p2c", () => {
  test("of two it is always the one with fewer open requests, over all workers", () => {
    const { workers } = even("p2c", 2, 3);
    const [one, two, three] = workers;
    one!.enter(one!.targets[0]!);
    for (let i = 0; i < 20; i++) expect(indexOf(three!)).toBe(1);
    two!.enter(two!.targets[1]!);
    two!.enter(two!.targets[1]!);
    for (let i = 0; i < 20; i++) expect(indexOf(three!)).toBe(0);
  });

  test("the most loaded is never picked", () => {
    const { upstream } = even("p2c", 10);
    upstream.enter(upstream.targets[4]!);
    for (let i = 0; i < 500; i++) expect(indexOf(upstream)).not.toBe(4);
  });

  test("counts open requests for the weight", () => {
    const { upstream } = withWeights("p2c", [1, 4]);
    for (let i = 0; i < 3; i++) upstream.enter(upstream.targets[1]!);
    upstream.enter(upstream.targets[0]!);
    // 1 ÷ 1 against 3 ÷ 4.
    for (let i = 0; i < 50; i++) expect(indexOf(upstream)).toBe(1);
  });

  test("open requests stay close to the weights, far closer than by chance", () => {
    const weights = Array.from({ length: 20 }, (_, index) => 1 + (index % 4));
    const busiest = (policy: string): number => {
      const { upstream } = withWeights(policy, weights);
      for (let i = 0; i < 5000; i++) upstream.enter(upstream.targets[indexOf(upstream)]!);
      return Math.max(...upstream.targets.map(({ openRequests, weight }) => openRequests / weight));
    };
    expect(busiest("p2c")).toBeLessThanOrEqual(103);
    expect(busiest("weighted-random")).toBeGreaterThan(110);
  });

  test("an idle set is reached by weight", () => {
    expectShares(spread(even("p2c", 8), 20_000), [1, 1, 1, 1, 1, 1, 1, 1]);
  });

  test("one target alone is picked; who was tried is not", () => {
    const alone = even("p2c", 1).upstream;
    expect(indexOf(alone)).toBe(0);
    expect(indexOf(alone, alone.targets)).toBe(-1);
    const { upstream } = even("p2c", 3);
    upstream.enter(upstream.targets[1]!);
    upstream.enter(upstream.targets[2]!);
    upstream.enter(upstream.targets[2]!);
    const [a, b] = upstream.targets;
    const picked = Array.from({ length: 300 }, () => String(indexOf(upstream, [a!])));
    // Its neighbour takes the turns of the one that was tried.
    expect(new Set(picked)).toEqual(new Set(["1"]));
    for (let i = 0; i < 50; i++) expect(indexOf(upstream, [a!, b!])).toBe(2);
  });
});

describe("peak-ewma", () => {
  test("is also called least-time", () => {
    const { upstream } = even("least-time", 2);
    exchange(upstream, 0, 100);
    exchange(upstream, 1, 10);
    for (let i = 0; i < 20; i++) expect(indexOf(upstream)).toBe(1);
  });

  test("prefers the lower latency, which all workers know", () => {
    const { workers } = even("peak-ewma", 2, 2);
    exchange(workers[0]!, 0, 100);
    exchange(workers[1]!, 1, 10);
    for (const upstream of workers) for (let i = 0; i < 20; i++) expect(indexOf(upstream)).toBe(1);
  });

  test("never picks the slowest of many", () => {
    const { upstream } = even("peak-ewma", 6);
    for (let index = 0; index < 6; index++) exchange(upstream, index, index === 3 ? 50 : 10);
    for (let i = 0; i < 300; i++) expect(indexOf(upstream)).not.toBe(3);
  });

  test("counts what is open: a quick target takes more at a time, for its weight", () => {
    const { upstream } = withWeights("peak-ewma", [1, 1]);
    exchange(upstream, 0, 10);
    exchange(upstream, 1, 30);
    for (let i = 0; i < 40; i++) upstream.enter(upstream.targets[indexOf(upstream)]!);
    expect(upstream.targets.map(({ openRequests }) => openRequests)).toEqual([30, 10]);
    const weighted = withWeights("peak-ewma", [1, 3]).upstream;
    exchange(weighted, 0, 10);
    exchange(weighted, 1, 10);
    for (let i = 0; i < 40; i++) weighted.enter(weighted.targets[indexOf(weighted)]!);
    expect(weighted.targets.map(({ openRequests }) => openRequests)).toEqual([10, 30]);
  });

  test("what fails fast is not quick", () => {
    for (const status of [500, 0]) {
      const { upstream } = even("peak-ewma", 2);
      exchange(upstream, 0, 20);
      exchange(upstream, 1, 20);
      exchange(upstream, 1, 0.1, status);
      for (let i = 0; i < 20; i++) expect(indexOf(upstream)).toBe(0);
    }
  });

  test("a target that failed at first is not taken for quick either", () => {
    const { upstream } = even("peak-ewma", 2);
    exchange(upstream, 0, 20);
    exchange(upstream, 1, 0.1, 503);
    for (let i = 0; i < 20; i++) expect(indexOf(upstream)).toBe(0);
  });

  test("one slow answer counts at once, and the target is tried again when it has been forgotten", () => {
    const { clock, upstream } = even("peak-ewma", 2);
    exchange(upstream, 0, 10);
    exchange(upstream, 1, 10);
    exchange(upstream, 1, 1000);
    const secondsUntil = (): number => {
      for (let seconds = 0; seconds < 200; seconds++) {
        if (indexOf(upstream) === 1) return seconds;
        exchange(upstream, 0, 10);
        clock.advance(1000);
      }
      return Infinity;
    };
    // 1000 ms come down to 10 ms in ln 100 time constants of 10 s.
    expect(secondsUntil()).toBeWithin(45, 49);
  });

  test("an unknown target gets one request to start with", () => {
    const { upstream } = even("peak-ewma", 2);
    exchange(upstream, 0, 50);
    expect(indexOf(upstream)).toBe(1);
    upstream.enter(upstream.targets[1]!);
    for (let i = 0; i < 20; i++) expect(indexOf(upstream)).toBe(0);
    upstream.leave(upstream.targets[1]!, { failed: false, milliseconds: 5, status: 200 });
    for (let i = 0; i < 20; i++) expect(indexOf(upstream)).toBe(1);
  });

  test("a set that nobody knows fills evenly", () => {
    const { upstream } = even("peak-ewma", 2);
    for (let i = 0; i < 40; i++) upstream.enter(upstream.targets[indexOf(upstream)]!);
    expect(upstream.targets.map(({ openRequests }) => openRequests)).toEqual([20, 20]);
  });

  test("who gives up early has seen that it takes longer", () => {
    const { upstream } = even("peak-ewma", 2);
    exchange(upstream, 0, 20);
    exchange(upstream, 1, 10);
    upstream.enter(upstream.targets[1]!);
    upstream.leaveEarly(upstream.targets[1]!, 500);
    for (let i = 0; i < 20; i++) expect(indexOf(upstream)).toBe(0);
  });

  test("leaves out who was tried", () => {
    const { upstream } = even("peak-ewma", 3);
    exchange(upstream, 0, 1);
    for (let i = 0; i < 50; i++) expect(indexOf(upstream, [upstream.targets[0]!])).toBeGreaterThan(0);
    expect(indexOf(upstream, upstream.targets)).toBe(-1);
  });
});
