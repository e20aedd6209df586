/** Histograms: every observation falls into one bucket, readers and writers are of one mind about the bounds, quantiles are Prometheus'. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { classOf, CLASSES, DURATIONS, ENDED, QUEUE_TIMES, quantile, Scoreboard } from "../../src/scoreboard/scoreboard.ts";

const SIZE = { workers: 3, targets: 4, upstreams: 2 };
const ALL = { targets: 4, upstreams: 2, listeners: 256, routes: 257 };

function board(...bounds: number[]): Scoreboard {
  const made = Scoreboard.local(SIZE);
  made.setBounds(bounds, ALL);
  return made;
}

describe("histograms", () => {
  test("a duration falls into the bucket of the first bound that is not less", () => {
    const { bounds } = board(0.5, 1, 10);
    expect([0, 0.5, 0.51, 1, 1.5, 10, 10.01, 1e9].map((ms) => bounds.bucketOf(ms))).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
  });

  test("as many as there may be hold all of it", () => {
    const thirty = Array.from({ length: 30 }, (_, index) => index + 1);
    const full = board(...thirty);
    const column = full.column(0, 1);
    for (let ms = 0.5; ms < 31; ms++) column.ended(1, full.bounds.bucketOf(ms), ms);
    expect(full.targets.histogram(1)).toEqual({ counts: Array.from({ length: 31 }, () => 1), sum: (31 * 31) / 2 });
  });

  test("are added up over workers, of which each writes its own; those that never ran are not looked at", () => {
    const shared = board(1, 2);
    for (const worker of [0, 2]) {
      const column = shared.column(worker, 3);
      column.ended(classOf(204), shared.bounds.bucketOf(1.5), 1.5);
      column.ended(classOf(503), shared.bounds.bucketOf(4), 4);
    }
    expect(shared.targets.histogram(3).counts.slice(0, 4)).toEqual([0, 2, 2, 0]);
    expect(shared.targets.histogram(3).sum).toBe(11);
    expect(shared.targets.sums(3, ENDED, CLASSES.length)).toEqual([0, 2, 0, 0, 2, 0, 0]);
  });

  test("begin anew with other bounds, and go on with the same; counters stay", () => {
    const shared = board(1, 2);
    const column = shared.upstreamColumn(0, 1);
    column.ended(1, 0, 0.5);
    column.observe(QUEUE_TIMES, 1, 1.5);
    shared.setBounds([1, 2], ALL);
    expect(shared.upstreams.histogram(1, QUEUE_TIMES).sum).toBe(1.5);
    shared.setBounds([1, 3], ALL);
    expect(shared.bounds.list).toEqual([1, 3]);
    expect([shared.upstreams.histogram(1, DURATIONS).sum, shared.upstreams.histogram(1, QUEUE_TIMES).sum, shared.upstreams.sum(1, ENDED + 1)]).toEqual([0, 0, 1]);
  });

  test("what a status is counted as", () => {
    expect([100, 101, 200, 302, 404, 599].map((status) => CLASSES[classOf(status)])).toEqual(["1xx", "1xx", "2xx", "3xx", "4xx", "5xx"]);
    expect([0, 99, 600].map((status) => CLASSES[classOf(status)])).toEqual(["failed", "failed", "failed"]);
  });
});

describe("quantiles", () => {
  test("are as histogram_quantile has them", () => {
    // histogram_quantile(0.5, …) of 10 below 1, 10 from 1 to 2: the end of the first bucket.
    expect(quantile([1, 2], [10, 10, 0], 0.5)).toBe(1);
    expect(quantile([1, 2], [10, 10, 0], 0.75)).toBe(1.5);
    expect(quantile([1, 2, 4], [0, 0, 4, 0], 0.5)).toBe(3);
    // Beyond the last bound nothing is known but that bound.
    expect(quantile([1, 2], [1, 0, 99], 0.99)).toBe(2);
    expect(quantile([1, 2], [0, 0, 0], 0.5)).toBeUndefined();
  });

  test("never go down as q goes up, and stay within the bounds", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1000), { minLength: 4, maxLength: 4 }), fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }), (counts, a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)].map((q) => quantile([1, 5, 20], counts, q));
        if (counts.every((count) => count === 0)) return expect(low).toBeUndefined();
        expect(low!).toBeLessThanOrEqual(high! + 1e-9);
        expect(low!).toBeGreaterThanOrEqual(0);
        expect(high!).toBeLessThanOrEqual(20);
      }),
    );
  });
});
