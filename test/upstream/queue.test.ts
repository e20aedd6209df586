/** Queue: first come, first served over all workers; who waits too long or finds it full is told so. */
import { describe, expect, test } from "bun:test";
import { QUEUE_TICKET, QUEUED, Scoreboard, TOTAL_QUEUE_FULL, TOTAL_QUEUE_MS, TOTAL_QUEUE_TIMEOUTS, TOTAL_QUEUED } from "../../src/scoreboard/scoreboard.ts";
import { Queue, type Waiter } from "../../src/upstream/queue.ts";
import type { Target } from "../../src/upstream/target.ts";
import type { Upstream } from "../../src/upstream/upstream.ts";
import { ANYBODY, type AtWork, atWork, ManualClock, manyTargets } from "../support/upstreams.ts";

const OK = { failed: false, milliseconds: 1, status: 200 };
/** Longer than between two looks of a queue. */
const A_LOOK = 3;

/** What has happened to the waiters, in this order. */
class Events {
  readonly seen: string[] = [];

  /** Enters a target as soon as one has room. */
  waiter(name: string, upstream: Upstream): Waiter {
    return {
      goOn: () => {
        const target = upstream.pick(ANYBODY, []) as Target | undefined;
        if (target === undefined || !upstream.enter(target)) return false;
        this.seen.push(name);
        return true;
      },
      timedOut: () => void this.seen.push(`${name} timed out`),
    };
  }

  wait(name: string, upstream: Upstream): Waiter {
    const waiter = this.waiter(name, upstream);
    expect(upstream.queue.enter(waiter)).toBeTrue();
    return waiter;
  }
}

/** Every target takes one request, and all are full. */
function full(more: object = {}, workers = 2): AtWork & Events & { end(worker?: number, index?: number): Promise<void> } {
  const work = atWork({ max_requests: 1, queue_timeout: "1s", targets: manyTargets(1), ...more }, { workers });
  const events = new Events();
  for (const target of work.upstream.targets) work.upstream.enter(target);
  const end = async (worker = 0, index = 0): Promise<void> => {
    work.workers[worker]!.leave(work.workers[worker]!.targets[index]!, OK);
    await Promise.resolve();
  };
  return Object.assign(events, work, { end });
}

describe("first come, first served", () => {
  test("in one worker, as soon as a request has ended", async () => {
    const { seen, end, upstream, ...events } = full();
    const wait = Events.prototype.wait.bind(Object.assign(new Events(), events, { seen }));
    for (const name of ["a", "b", "c"]) wait(name, upstream);
    expect(seen).toEqual([]);
    await end();
    expect(seen).toEqual(["a"]);
    await end();
    await end();
    expect(seen).toEqual(["a", "b", "c"]);
    expect(upstream.isWaitedFor).toBeFalse();
  });
});
