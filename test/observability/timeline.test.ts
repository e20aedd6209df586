/** What is kept of what happened: in order, with its cause, for a day, and never more than there is room for. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { EventKind } from "../../src/observability/event-kind.ts";
import { EVENTS_OF_INSTANCE, EVENTS_OF_TARGET, KEPT_FOR, MEMORY, Timeline, type TimelineEvent } from "../../src/observability/timeline.ts";

const HOUR = 3_600_000;

function clocked(memory?: number) {
  const clock = { now: 1_000_000 };
  return { clock, timeline: new Timeline(() => clock.now, memory) };
}

function happened(timeline: Timeline, target: string, kind: EventKind = "down", more: { readonly summary?: string; readonly cause?: number } = {}): number {
  return timeline.record({ kind, upstream: "main", target, summary: kind, ...more });
}

function summaries(events: readonly TimelineEvent[]): string[] {
  return events.map(({ summary }) => summary);
}

describe("events", () => {
  test("are told newest first, with what they follow from", () => {
    const { timeline, clock } = clocked();
    const failed = happened(timeline, "a", "check-failed");
    clock.now += 5;
    const down = happened(timeline, "a", "down", { cause: failed });
    happened(timeline, "b", "check-failed");
    timeline.record({ kind: "panic", upstream: "main", summary: "panic", cause: down });
    timeline.record({ kind: "worker-died", summary: "worker" });
    expect(timeline.query({ limit: 10 }).map(({ id, target, kind, cause }) => [id, target, kind, cause])).toEqual([
      [5, "", "worker-died", 0],
      [4, "", "panic", 2],
      [3, "b", "check-failed", 0],
      [2, "a", "down", 1],
      [1, "a", "check-failed", 0],
    ]);
    expect(timeline.query({ upstream: "main", target: "a", limit: 1 })).toEqual([{ id: 2, at: 1_000_005, upstream: "main", target: "a", kind: "down", summary: "down", cause: 1, by: "" }]);
    expect(timeline.query({ target: "", limit: 9 })).toHaveLength(2);
    expect(timeline.query({ upstream: "other", limit: 9 })).toEqual([]);
    expect(timeline.query({ kinds: ["down", "panic"], limit: 9 }).map(({ id }) => id)).toEqual([4, 2]);
    expect(timeline.query({ since: 1_000_005, limit: 9 })).toHaveLength(4);
    expect(timeline.query({ after: 3, limit: 9 }).map(({ id }) => id)).toEqual([5, 4]);
    expect(timeline.latest("main", "a")?.id).toBe(2);
    expect(timeline.latest("main", "a", "check-failed")?.id).toBe(1);
    expect(timeline.latest("main", "c")).toBeUndefined();
  });

  test("are kept for 24 hours", () => {
    const { timeline, clock } = clocked();
    happened(timeline, "a");
    clock.now += 20 * HOUR;
    happened(timeline, "b");
    expect(timeline.query({ limit: 9 })).toHaveLength(2);
    clock.now = 1_000_000 + KEPT_FOR + 1;
    expect(timeline.query({ limit: 9 }).map(({ target }) => target)).toEqual(["b"]);
    happened(timeline, "c");
    expect(timeline.size).toBe(2);
    clock.now += KEPT_FOR;
    happened(timeline, "d");
    expect(timeline.size).toBe(2);
    clock.now += KEPT_FOR + 1;
    timeline.record({ kind: "started", summary: "s" });
    expect(timeline.size).toBe(1);
  });

  test("a summary has an end", () => {
    const { timeline } = clocked();
    happened(timeline, "a", "down", { summary: "x".repeat(100_000) });
    expect(timeline.query({ limit: 1 })[0]!.summary).toHaveLength(500);
  });
});

describe("a target with much to tell", () => {
  test("loses the oldest of what it told most of", () => {
    const { timeline } = clocked();
    happened(timeline, "a", "ejected");
    for (let weight = 0; weight < 5 * EVENTS_OF_TARGET; weight++) happened(timeline, "a", "weight", { summary: `${weight}` });
    const kept = timeline.query({ target: "a", limit: Infinity });
    expect(kept).toHaveLength(EVENTS_OF_TARGET);
    expect(summaries(kept).slice(0, 2)).toEqual(["499", "498"]);
    expect(kept.at(-1)!.kind).toBe("ejected");
  });

  test("takes nothing from others, nor from the instance", () => {
    const { timeline } = clocked();
    happened(timeline, "quiet");
    for (let i = 0; i < 1000; i++) happened(timeline, "loud");
    for (let i = 0; i < 2000; i++) timeline.record({ kind: "config-rejected", summary: `${i}` });
    expect(timeline.query({ target: "quiet", limit: 9 })).toHaveLength(1);
    expect(timeline.query({ upstream: "", limit: Infinity })).toHaveLength(EVENTS_OF_INSTANCE);
    expect(timeline.size).toBe(1 + EVENTS_OF_TARGET + EVENTS_OF_INSTANCE);
  });
});

describe("all together", () => {
  test("never take more than there is room for, and who has most loses first", () => {
    const { timeline } = clocked(50_000);
    happened(timeline, "quiet", "ejected");
    for (let round = 0; round < 200; round++) for (const target of ["a", "b", "c"]) happened(timeline, target, "down", { summary: "d".repeat(100) });
    expect(timeline.bytes).toBeLessThanOrEqual(50_000);
    const count = (target: string) => timeline.query({ target, limit: Infinity }).length;
    expect(count("quiet")).toBe(1);
    expect(Math.max(count("a"), count("b"), count("c")) - Math.min(count("a"), count("b"), count("c"))).toBeLessThanOrEqual(1);
    expect(count("a")).toBeGreaterThan(30);
  });

  test("whatever happens, size and bytes are those of what is kept, in order", () => {
    const happening = fc.record({ target: fc.constantFrom("", "a", "b", "c", "d"), upstream: fc.constantFrom("", "u", "v"), kind: fc.constantFrom("down", "up", "weight"), length: fc.nat(600), later: fc.nat(HOUR) });
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 400 }), (happenings) => {
        const { timeline, clock } = clocked(20_000);
        for (const { target, upstream, kind, length, later } of happenings) {
          clock.now += later;
          timeline.record({ kind, upstream, target, summary: "s".repeat(length) });
          // What is the instance's own is bounded by its number.
          if (upstream !== "" || target !== "") expect(timeline.bytes - instanceBytes(timeline)).toBeLessThanOrEqual(20_000);
        }
        const all = timeline.query({ limit: Infinity });
        expect(all.map(({ id }) => id)).toEqual(all.map(({ id }) => id).toSorted((a, b) => b - a));
        expect(timeline.size).toBeGreaterThanOrEqual(all.length);
        const logs = new Set(all.map(({ upstream, target }) => `${upstream} ${target}`)).size;
        expect(timeline.bytes).toBeGreaterThanOrEqual(all.reduce((sum, { summary }) => sum + 200 + 2 * summary.length, 700 * logs));
      }),
      { numRuns: 40 },
    );
  });

  test("ten thousand targets that flap stay within what is stated", () => {
    const { timeline, clock } = clocked();
    const targets = Array.from({ length: 10_000 }, (_, at) => `10.0.${at >> 8}.${at & 255}:8080`);
    Bun.gc(true);
    const before = process.memoryUsage().heapUsed;
    for (let round = 0; round < 20; round++) {
      clock.now += 1000;
      for (const target of targets) {
        const failed = happened(timeline, target, "check-failed", { summary: `Check failed (3 of 3): connect refused ${round}` });
        happened(timeline, target, round % 2 === 0 ? "down" : "up", { summary: `Down: 3 checks failed in a row: connect refused ${round}`, cause: failed });
      }
    }
    Bun.gc(true);
    const taken = process.memoryUsage().heapUsed - before;
    expect(timeline.bytes).toBeLessThanOrEqual(MEMORY);
    expect(taken).toBeLessThan(MEMORY * 1.25);
    // Each has the newest of its own.
    expect(targets.every((target) => timeline.latest("main", target)?.at === clock.now)).toBe(true);
    if (process.env["SHOW"] !== undefined) console.log({ taken, counted: timeline.bytes, size: timeline.size });
  });
});

function instanceBytes(timeline: Timeline): number {
  return timeline.query({ upstream: "", target: "", limit: Infinity }).reduce((sum, { summary }) => sum + 200 + 2 * summary.length, 700);
}

describe("whoever subscribes", () => {
  test("hears of each event until it does not want to", () => {
    const { timeline } = clocked();
    const heard: number[] = [];
    const stop = timeline.subscribe(({ id }) => void heard.push(id));
    happened(timeline, "a");
    stop();
    happened(timeline, "a");
    expect(heard).toEqual([1]);
  });

  test("and throws hears no more, and keeps nobody else from it", () => {
    const { timeline } = clocked();
    const heard: number[] = [];
    timeline.subscribe(() => {
      throw new Error("closed");
    });
    timeline.subscribe(({ id }) => void heard.push(id));
    expect([happened(timeline, "a"), happened(timeline, "a")]).toEqual([1, 2]);
    expect(heard).toEqual([1, 2]);
  });
});

test("what is restored is gone on with: its numbers, its causes, its age", () => {
  const first = clocked();
  const ejected = happened(first.timeline, "a", "ejected");
  first.clock.now += HOUR;
  happened(first.timeline, "b");
  const next = clocked();
  next.clock.now = 1_000_000 + KEPT_FOR + HOUR / 2;
  next.timeline.restore(first.timeline.all(), 100);
  expect(next.timeline.query({ limit: 9 }).map(({ target }) => target)).toEqual(["b"]);
  next.clock.now = 1_000_000 + HOUR;
  const again = clocked();
  again.clock.now = next.clock.now;
  again.timeline.restore(first.timeline.all(), 100);
  expect(again.timeline.latest("main", "a", "ejected")?.id).toBe(ejected);
  expect(happened(again.timeline, "a", "ejection-over")).toBe(103);
  // What the other one told late stands where it happened.
  again.timeline.restore([{ id: 50, at: again.clock.now, upstream: "main", target: "a", kind: "weight", summary: "late", cause: 0, by: "" }]);
  expect(again.timeline.latest("main", "a")?.kind).toBe("ejection-over");
  expect(again.timeline.query({ target: "a", limit: 9 }).map(({ id }) => id)).toEqual([103, 50, 1]);
  expect(happened(again.timeline, "a")).toBe(104);
});
