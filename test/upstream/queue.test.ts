/** Queue: first come, first served over all workers; who waits too long or finds it full is told so. */
import { describe, expect, test } from "bun:test";
import { Flag, QUEUE_TICKET, QUEUE_TIMES, QUEUED, Scoreboard, TOTAL_QUEUE_FULL, TOTAL_QUEUE_TIMEOUTS, TOTAL_QUEUED } from "../../src/scoreboard/scoreboard.ts";
import { Queue, type Waiter } from "../../src/upstream/queue.ts";
import type { Target } from "../../src/upstream/target.ts";
import { ANYBODY, type AtWork, atWork, ManualClock, manyTargets } from "../support/upstreams.ts";

/** Longer than between two looks of a queue, in ms. */
const A_LOOK = 3;

/** An upstream of two workers whose targets take one request each, and all have it. */
class Line {
  readonly work: AtWork;
  /** What has happened to those who wait, in this order. */
  readonly seen: string[] = [];

  constructor(more: object = {}, workers = 2) {
    this.work = atWork({ max_requests: 1, queue_timeout: "1s", targets: manyTargets(1), ...more }, { workers });
    for (const target of this.work.upstream.targets) this.work.upstream.enter(target);
  }

  /** Wait in this worker; undefined: the queue is full. */
  wait(name: string, worker = 0): Waiter | undefined {
    const upstream = this.work.workers[worker]!;
    const waiter: Waiter = {
      goOn: () => {
        const target = upstream.pick(ANYBODY, []) as Target | undefined;
        if (target === undefined || !upstream.enter(target)) return false;
        this.seen.push(name);
        return true;
      },
      timedOut: () => void this.seen.push(`${name} timed out`),
    };
    return upstream.queue.enter(waiter) ? waiter : undefined;
  }

  /** The request with this target ends, in this worker; who waits there is served then. */
  async end(worker = 0, index = 0): Promise<void> {
    const upstream = this.work.workers[worker]!;
    upstream.leave(upstream.targets[index]!, { failed: false, milliseconds: 1, status: 200 });
    await Promise.resolve();
  }

  sum(total: number): number {
    return this.work.board.upstreams.sum(0, total);
  }

  get waiting(): number {
    return this.work.board.upstreams.held(0, QUEUED);
  }
}

describe("first come, first served", () => {
  test("in one worker, as soon as a request has ended", async () => {
    const line = new Line();
    for (const name of ["a", "b", "c"]) line.wait(name);
    expect(line.seen).toEqual([]);
    await line.end();
    expect(line.seen).toEqual(["a"]);
    await line.end();
    await line.end();
    expect(line.seen).toEqual(["a", "b", "c"]);
    expect(line.work.upstream.isWaitedFor).toBeFalse();
  });

  test("over two workers, wherever a place becomes free", async () => {
    const line = new Line();
    const order = [["a", 0], ["b", 1], ["c", 1], ["d", 0], ["e", 1]] as const;
    for (const [name, worker] of order) line.wait(name, worker);
    let holder = 0;
    for (const [name, worker] of order) {
      await line.end(holder);
      // Who is served by another worker than that of the free place is so at that worker's next look.
      line.work.clock.advance(A_LOOK);
      expect(line.seen.at(-1)).toBe(name);
      holder = worker;
    }
    expect(line.seen).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("also where the younger one looks first", async () => {
    const line = new Line({}, 3);
    line.wait("old", 2);
    line.wait("young", 0);
    await line.end(0);
    // Its own worker has room and is asked at once; the older one is elsewhere.
    expect(line.seen).toEqual([]);
    line.work.clock.advance(A_LOOK);
    expect(line.seen).toEqual(["old"]);
  });

  test("several places that become free at once go to as many", async () => {
    const line = new Line({ targets: manyTargets(3) });
    for (const name of ["a", "b", "c", "d"]) line.wait(name);
    await Promise.all([line.end(0, 0), line.end(0, 2)]);
    expect(line.seen).toEqual(["a", "b"]);
    await line.end(0, 1);
    expect(line.seen).toEqual(["a", "b", "c"]);
  });

  test("a target that comes back is found by looking", () => {
    const line = new Line({ targets: manyTargets(2), panic_threshold: "0%" });
    line.work.board.setFlags(0, 1, Flag.DOWN);
    line.work.board.words[line.work.board.openRequestsAt(1)] = 0;
    line.wait("a");
    line.work.clock.advance(50);
    expect(line.seen).toEqual([]);
    line.work.board.setFlags(0, 1, 0);
    line.work.clock.advance(A_LOOK);
    expect(line.seen).toEqual(["a"]);
  });

  test("holds where the numbers wrap", async () => {
    const line = new Line();
    line.work.board.words[line.work.board.upstreamWordAt(0, QUEUE_TICKET)] = 2 ** 30 - 2;
    const order = [["a", 1], ["b", 0], ["c", 1], ["d", 0]] as const;
    for (const [name, worker] of order) line.wait(name, worker);
    let holder = 0;
    for (const [, worker] of order) {
      await line.end(holder);
      line.work.clock.advance(A_LOOK);
      holder = worker;
    }
    expect(line.seen).toEqual(["a", "b", "c", "d"]);
  });

  test("who comes while somebody waits, in whichever worker, knows it", () => {
    const line = new Line();
    expect(line.work.upstream.isWaitedFor).toBeFalse();
    line.wait("a", 1);
    for (const upstream of line.work.workers) expect(upstream.isWaitedFor).toBeTrue();
  });
});

describe("who waits", () => {
  test("is told when its time is up, and the place is given to nobody", async () => {
    const line = new Line({ queue_timeout: "100ms" });
    line.wait("a");
    line.work.clock.advance(60);
    line.wait("b", 1);
    line.work.clock.advance(39);
    expect(line.seen).toEqual([]);
    line.work.clock.advance(A_LOOK);
    expect(line.seen).toEqual(["a timed out"]);
    await line.end();
    line.work.clock.advance(A_LOOK);
    expect(line.seen).toEqual(["a timed out", "b"]);
    expect(line.sum(TOTAL_QUEUE_TIMEOUTS)).toBe(1);
    expect(line.waiting).toBe(0);
  });

  test("and goes away is passed over", async () => {
    const line = new Line();
    const a = line.wait("a")!;
    line.wait("b", 1);
    const c = line.wait("c")!;
    line.wait("d");
    line.work.upstream.queue.leave(a);
    line.work.upstream.queue.leave(c);
    line.work.upstream.queue.leave(c);
    expect(line.waiting).toBe(2);
    await line.end(0);
    line.work.clock.advance(A_LOOK);
    expect(line.seen).toEqual(["b"]);
    await line.end(1);
    line.work.clock.advance(A_LOOK);
    expect(line.seen).toEqual(["b", "d"]);
  });

  test("is counted, with the time that it took", async () => {
    const line = new Line();
    line.wait("a");
    line.wait("b", 1);
    line.work.clock.advance(40);
    await line.end();
    line.work.clock.advance(20);
    await line.end();
    line.work.clock.advance(A_LOOK);
    expect(line.seen).toEqual(["a", "b"]);
    expect(line.sum(TOTAL_QUEUED)).toBe(2);
    expect(line.work.board.upstreams.histogram(0, QUEUE_TIMES).sum).toBeWithin(100, 104);
  });

  test("stays in front where there was no room after all", async () => {
    const line = new Line();
    const { queue } = line.work.upstream;
    let refusals = 0;
    queue.enter({ goOn: () => refusals++ >= 2, timedOut: () => {} });
    line.wait("b");
    await line.end();
    expect(refusals).toBe(1);
    expect(line.seen).toEqual([]);
    line.work.clock.advance(10);
    expect(refusals).toBe(3);
    expect(line.seen).toEqual(["b"]);
  });
});

describe("a queue", () => {
  test("that is full over all workers takes no more, and takes some again when one has gone", () => {
    const line = new Line({ queue_size: 3 });
    const a = line.wait("a", 0)!;
    expect(line.wait("b", 1)).toBeDefined();
    expect(line.wait("c", 1)).toBeDefined();
    expect(line.wait("d", 0)).toBeUndefined();
    expect(line.wait("e", 1)).toBeUndefined();
    expect(line.sum(TOTAL_QUEUE_FULL)).toBe(2);
    line.work.upstream.queue.leave(a);
    expect(line.wait("f", 1)).toBeDefined();
    expect(line.waiting).toBe(3);
  });

  test("of size 0 takes nobody", () => {
    expect(new Line({ queue_size: 0 }).wait("a")).toBeUndefined();
  });

  test("keeps who waits when the configuration changes, and goes by the new one", () => {
    const line = new Line({ queue_timeout: "10s" });
    line.wait("a");
    line.work.upstream.queue.apply({ size: 1, timeout: 20 }, () => false);
    expect(line.wait("b")).toBeUndefined();
    line.work.clock.advance(20 + A_LOOK);
    expect(line.seen).toEqual(["a timed out"]);
  });

  test("does not wait for ever for a worker that hangs", () => {
    const board = Scoreboard.local({ workers: 2, targets: 1, upstreams: 1 });
    const clocks = [new ManualClock(), new ManualClock()] as const;
    const [mine, hanging] = clocks.map((clock, worker) => new Queue(board, 0, board.upstreamColumn(worker, 0), clock)) as [Queue, Queue];
    for (const queue of [mine, hanging]) queue.apply({ size: 10, timeout: 60_000 }, () => true);
    const seen: string[] = [];
    const waiter = (name: string): Waiter => ({ goOn: () => seen.push(name) > 0, timedOut: () => {} });
    hanging.enter(waiter("older"));
    mine.enter(waiter("younger"));
    mine.serve();
    clocks[0].advance(50);
    expect(seen).toEqual([]);
    clocks[0].advance(100);
    expect(seen).toEqual(["younger"]);
    clocks[1].advance(A_LOOK);
    expect(seen).toEqual(["younger", "older"]);
  });

  test("of a worker that died is in nobody's way", () => {
    const line = new Line();
    line.wait("dead", 1);
    line.wait("alive", 0);
    line.work.upstream.leaveEarly(line.work.upstream.targets[0]!, 1);
    line.work.board.reclaim(1);
    line.work.upstream.queue.serve();
    expect(line.seen).toEqual(["alive"]);
  });
});
