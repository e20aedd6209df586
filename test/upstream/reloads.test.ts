/** What an upstream keeps over reloads, and what it must not. */
import { expect, test } from "bun:test";
import { silentLog } from "../../src/observability/log.ts";
import { Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import { LatencyClock } from "../../src/upstream/latency.ts";
import type { Waiter } from "../../src/upstream/queue.ts";
import { Upstream } from "../../src/upstream/upstream.ts";
import { ANYBODY, atWork, keyed, manyTargets } from "../support/upstreams.ts";

test("a policy that serves on holds no upstream of an earlier configuration", async () => {
  const { config, board, clock, upstream: first } = atWork({ policy: "hash", bounded_load: 1.25, targets: manyTargets(3) });
  const host = { board, slot: 0, clock, latencyClock: new LatencyClock(clock), log: silentLog(), random: () => 0, report: () => {} };
  const earlier: WeakRef<Upstream>[] = [];
  let now = first;
  for (let i = 0; i < 100; i++) {
    const before = now;
    now = new Upstream(config, before.targets, (tier) => before.policyOf(tier)!, host, before);
    earlier.push(new WeakRef(before));
  }
  for (let i = 0; i < 5; i++) {
    Bun.gc(true);
    await Bun.sleep(1);
  }
  // The collector may keep a few by what looks like a pointer to them; a chain would keep them all.
  expect(earlier.filter((each) => each.deref() !== undefined).length).toBeLessThan(50);
  expect(now.pick(keyed("a"), [])).toBeDefined();
});

test("a row of the scoreboard that is given to another target takes nothing of the one before with it", () => {
  const board = Scoreboard.local({ workers: 2, targets: 1, upstreams: 1 });
  const column = board.column(0, 0);
  column.requestBegins();
  board.clearTarget(0);
  // What was open to the target before ends now; then the worker does.
  column.requestEnds();
  board.reclaim(0);
  expect(board.openRequests(0)).toBe(0);
  board.column(1, 0).requestBegins();
  expect(board.openRequests(0)).toBe(1);
});

test("an upstream that gets the row of another one begins with a closed circuit and no counts", () => {
  const work = atWork({ targets: manyTargets(1), circuit_breaker: { min_requests: 2 } });
  const { upstream, board } = work;
  for (let i = 0; i < 3; i++) {
    upstream.enter(upstream.targets[0]!);
    upstream.leave(upstream.targets[0]!, { failed: true, milliseconds: 1, status: 0 });
  }
  expect(upstream.admits()).toBe("no");
  board.clearUpstream(0);
  expect(upstream.admits()).toBe("yes");
});

test("who has failed somewhere does not hold up those who wait behind", () => {
  const { upstream, clock } = atWork({ max_requests: 1, targets: manyTargets(2) });
  const [a, b] = upstream.targets;
  upstream.enter(b!);
  const went: string[] = [];
  const waiter = (name: string): Waiter => ({
    goOn: () => {
      const picked = upstream.pick(ANYBODY, []);
      if (picked === undefined || picked instanceof Promise || !upstream.enter(picked)) return false;
      went.push(name);
      return true;
    },
    timedOut: () => {},
  });
  upstream.enter(a!);
  for (const name of ["first", "second"]) expect(upstream.queue.enter(waiter(name))).toBe(true);
  upstream.leave(a!, { failed: true, milliseconds: 1, status: 0 });
  clock.advance(10);
  expect(went).toEqual(["first"]);
});

test("a worker that dies gives its places in the retry budget back", () => {
  const { workers, board } = atWork({ retry_budget: "off", retry_budget_min: 2, targets: manyTargets(1) }, { workers: 2 });
  expect([workers[0]!.retryBegins(), workers[0]!.retryBegins(), workers[1]!.retryBegins()]).toEqual([true, true, false]);
  board.reclaim(0);
  expect([workers[1]!.retryBegins(), workers[1]!.retryBegins(), workers[1]!.retryBegins()]).toEqual([true, true, false]);
});
