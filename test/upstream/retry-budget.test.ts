/** Retry budget: so many of the open requests may be retries at a time, over all workers. */
import { describe, expect, test } from "bun:test";
import { OPEN_RETRIES, TOTAL_BUDGET_REFUSED } from "../../src/scoreboard/scoreboard.ts";
import { type AtWork, atWork, manyTargets } from "../support/upstreams.ts";

const budget = (more: object = {}): AtWork => atWork({ targets: manyTargets(4), ...more }, { workers: 4 });

/** So many requests are open, over all workers. */
function open({ workers }: AtWork, requests: number): void {
  for (let i = 0; i < requests; i++) workers[i % workers.length]!.enter(workers[i % workers.length]!.targets[0]!);
}

/** How many of so many retries may begin, workers taking turns. */
const begun = ({ workers }: AtWork, times: number): number => Array.from({ length: times }, (_, i) => workers[i % workers.length]!.retryBegins()).filter(Boolean).length;

describe("the budget", () => {
  test("is 3 at least, also when nothing else is open", () => {
    const work = budget();
    expect(begun(work, 10)).toBe(3);
    open(work, 10);
    expect(begun(work, 10)).toBe(0);
  });

  test("is 20 % of what is open in all workers", () => {
    const work = budget();
    open(work, 200);
    expect(begun(work, 100)).toBe(40);
    expect(work.board.upstreams.held(0, OPEN_RETRIES)).toBe(40);
    expect(work.board.upstreams.sum(0, TOTAL_BUDGET_REFUSED)).toBe(60);
  });

  test("of one worker counts what is open in the others", () => {
    const work = budget();
    for (let i = 0; i < 100; i++) work.workers[3]!.enter(work.workers[3]!.targets[1]!);
    expect(Array.from({ length: 30 }, () => work.workers[0]!.retryBegins()).filter(Boolean)).toHaveLength(20);
    expect(work.workers[3]!.retryBegins()).toBeFalse();
  });

  test("has a place again when a retry has ended", () => {
    const work = budget();
    expect(begun(work, 4)).toBe(3);
    work.workers[1]!.retryEnds();
    expect(work.workers[3]!.retryBegins()).toBeTrue();
    expect(work.workers[3]!.retryBegins()).toBeFalse();
  });

  test("shrinks with what is open", () => {
    const work = budget();
    open(work, 100);
    expect(begun(work, 10)).toBe(10);
    for (let i = 0; i < 60; i++) work.workers[i % 4]!.leave(work.workers[i % 4]!.targets[0]!, { failed: false, milliseconds: 1, status: 200 });
    // 20 % of 40.
    expect(begun(work, 1)).toBe(0);
    for (const worker of work.workers.slice(0, 3)) worker.retryEnds();
    expect(begun(work, 4)).toBe(1);
  });

  test("is never more than its part: of 16 open requests 3, not 4", () => {
    const work = budget();
    open(work, 16);
    expect(begun(work, 10)).toBe(3);
  });

  test("has the part and the least number that the configuration says", () => {
    const none = budget({ retry_budget: "0%", retry_budget_min: 0 });
    open(none, 100);
    expect(begun(none, 10)).toBe(0);
    const all = budget({ retry_budget: "100%", retry_budget_min: 0 });
    expect(begun(all, 1)).toBe(0);
    open(all, 10);
    expect(begun(all, 20)).toBe(10);
    const least = budget({ retry_budget: "10%", retry_budget_min: 25 });
    open(least, 100);
    expect(begun(least, 50)).toBe(25);
  });

  test("gets back what a worker that died had", () => {
    const work = budget();
    expect(begun(work, 3)).toBe(3);
    work.board.reclaim(1);
    expect(begun(work, 4)).toBe(1);
  });
});
