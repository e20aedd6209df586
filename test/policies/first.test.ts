/** first fills one target before the next; single stays with one. */
import { describe, expect, test } from "bun:test";
import { Flag } from "../../src/scoreboard/scoreboard.ts";
import type { Target } from "../../src/upstream/target.ts";
import type { Upstream } from "../../src/upstream/upstream.ts";
import { Dice } from "../support/random.ts";
import { ANYBODY, atWork, manyTargets } from "../support/upstreams.ts";

function indexOf(upstream: Upstream, tried: readonly Target[] = []): number {
  return upstream.targets.indexOf(upstream.pick(ANYBODY, tried) as Target);
}

/** Begin one request; the index of its target. */
function begin(upstream: Upstream): number {
  const at = indexOf(upstream);
  if (at >= 0) expect(upstream.enter(upstream.targets[at]!)).toBeTrue();
  return at;
}

function end(upstream: Upstream, index: number): void {
  upstream.leave(upstream.targets[index]!, { failed: false, milliseconds: 1, status: 200 });
}

describe("first", () => {
  test("fills a target up to its max_requests before the next, over all workers; then there is none", () => {
    const { workers } = atWork({ policy: "first", max_requests: 2, targets: manyTargets(3) }, { workers: 2 });
    expect(Array.from({ length: 7 }, (_, i) => begin(workers[i % 2]!))).toEqual([0, 0, 1, 1, 2, 2, -1]);
  });

  test("goes back to the first as soon as that has room", () => {
    const { workers } = atWork({ policy: "first", max_requests: 2, targets: manyTargets(3) }, { workers: 2 });
    const [one, two] = workers as [Upstream, Upstream];
    for (let i = 0; i < 5; i++) begin(one);
    expect(indexOf(two)).toBe(2);
    end(one, 0);
    expect(indexOf(two)).toBe(0);
    expect(begin(two)).toBe(0);
    expect(indexOf(one)).toBe(2);
  });

  test("has a limit for each target, max_connections too; a target without any takes all", () => {
    const limits = [{ max_requests: 1 }, { max_connections: 3, max_requests: 5 }, { max_requests: 0 }, {}];
    const { upstream } = atWork({ policy: "first", targets: manyTargets(4, (index) => limits[index]!) });
    expect(Array.from({ length: 100 }, () => begin(upstream))).toEqual([0, 1, 1, 1, ...Array.from({ length: 96 }, () => 2)]);
  });

  test("without limits everything goes to the first that is up and wanted", () => {
    const { board, upstream } = atWork({ policy: "first", panic_threshold: "0%", targets: manyTargets(12) });
    for (let i = 0; i < 20; i++) expect(begin(upstream)).toBe(0);
    board.setFlags(0, 0, Flag.DOWN);
    expect(indexOf(upstream)).toBe(1);
    board.setFlags(0, 1, Flag.DRAINING);
    expect(indexOf(upstream)).toBe(2);
    board.setFlags(0, 0, 0);
    expect(indexOf(upstream)).toBe(0);
  });

  test("passes over those that were tried", () => {
    const { upstream } = atWork({ policy: "first", max_requests: 1, targets: manyTargets(4) });
    const [a, , c] = upstream.targets;
    expect(indexOf(upstream, [a!])).toBe(1);
    upstream.enter(upstream.targets[1]!);
    expect(indexOf(upstream, [a!])).toBe(2);
    expect(indexOf(upstream, [a!, c!])).toBe(3);
    expect(indexOf(upstream, upstream.targets)).toBe(-1);
  });

  test("is as by a look at every target, over random states", () => {
    const dice = new Dice(11);
    for (let round = 0; round < 100; round++) {
      const limits = Array.from({ length: 1 + dice.below(40) }, () => dice.below(4));
      const { board, upstream } = atWork({ policy: "first", panic_threshold: "0%", targets: manyTargets(limits.length, (index) => ({ max_requests: limits[index]! })) });
      for (const [index, limit] of limits.entries()) {
        board.words[board.openRequestsAt(index)] = dice.chance(0.8) ? limit : dice.below(limit + 1);
        if (limit === 0) board.setFlags(0, index, Flag.DOWN);
      }
      const naive = upstream.targets.findIndex((target, index) => limits[index]! > 0 && !target.isFull);
      expect(indexOf(upstream)).toBe(naive);
    }
  });
});

describe("single", () => {
  test("stays with the first that is usable", () => {
    const { board, pick, config } = atWork({ policy: "single", panic_threshold: "0%", targets: manyTargets(4) }, { workers: 2 });
    const [a, b] = config.targets.map(({ name }) => name);
    expect(pick(4)).toEqual([a!, a!, a!, a!]);
    board.setFlags(0, 0, Flag.DOWN);
    expect(pick(4)).toEqual([b!, b!, b!, b!]);
    board.setFlags(0, 0, 0);
    expect(pick(2)).toEqual([a!, a!]);
  });

  test("goes on to the next one where the first was tried or is full", () => {
    const { upstream } = atWork({ policy: "single", max_requests: 1, targets: manyTargets(3) });
    expect(indexOf(upstream, [upstream.targets[0]!])).toBe(1);
    expect([begin(upstream), begin(upstream), begin(upstream), begin(upstream)]).toEqual([0, 1, 2, -1]);
  });
});
