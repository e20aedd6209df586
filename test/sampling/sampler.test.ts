/** Rates, percentiles and history as they follow from the scoreboard's totals. */
import { describe, expect, test } from "bun:test";
import { loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import type { Snapshot } from "../../src/config/snapshot.ts";
import type { Clock } from "../../src/net/network.ts";
import { MAX_SERIES, Sampler } from "../../src/sampling/sampler.ts";
import { CLASS_FAILED, type Class, ENDED, Scoreboard, TOTAL_RETRIES } from "../../src/scoreboard/scoreboard.ts";

const SIZE = { targets: 1_200, upstreams: 600 };
const CLASS_2XX: Class = 1;

/** A sampler whose seconds the test counts. */
class Sampled {
  readonly board = Scoreboard.local({ ...SIZE, workers: 2 });
  private readonly slots = new SlotAllocator(SIZE);
  private now = 0;
  private timer: (() => void) | undefined = undefined;
  snapshot!: Snapshot;
  readonly sampler: Sampler;

  constructor(upstreams: Readonly<Record<string, number>>) {
    this.configure(upstreams);
    this.board.setBounds(this.snapshot.metrics.buckets, { ...SIZE, listeners: 0, routes: 0 });
    const clock = {
      precise: () => this.now,
      wall: () => 1_700_000_000_000 + this.now,
      after: (_delay: number, run: () => void) => {
        this.timer = run;
        return () => (this.timer = undefined);
      },
    } as unknown as Clock;
    this.sampler = new Sampler({ scoreboard: this.board, clock, snapshot: () => this.snapshot });
    this.sampler.start();
  }

  /** @param upstreams how many targets each has */
  configure(upstreams: Readonly<Record<string, number>>): void {
    const text = Object.entries(upstreams).map(([name, count]) => `[[upstreams]]\nname = "${name}"\n${Array.from({ length: count }, (_, index) => `[[upstreams.targets]]\naddress = "127.0.0.1:${1000 + index}"`).join("\n")}`);
    const loaded = loadConfigText(`[[listeners]]\naddress = "127.0.0.1:0"\nupstream = "${Object.keys(upstreams)[0]}"\n[[routes]]\nhosts = ["r.test"]\nupstream = "${Object.keys(upstreams)[0]}"\n${text.join("\n")}\n`, "test", { slots: this.slots, generation: 1 });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
    this.snapshot = loaded.snapshot;
  }

  slot(upstream = 0, target = 0): number {
    return this.snapshot.upstreams[upstream]!.targets[target]!.slot;
  }

  /** So many exchanges of a target end. */
  exchanges(count: number, { milliseconds = 3, worker = 0, slot = this.slot(), failed = false } = {}): void {
    const { board, snapshot } = this;
    const upstream = board.upstreamColumn(worker, snapshot.upstreams.find(({ targets }) => targets.some((target) => target.slot === slot))!.slot);
    const column = board.column(worker, slot, upstream);
    const rows = [column, upstream, board.listenerColumn(worker, snapshot.listeners[0]!.slot), board.routeColumn(worker, snapshot.routes[0]!.slot)];
    for (let each = 0; each < count; each++) {
      column.requestBegins();
      for (const row of rows) row.ended(failed ? CLASS_FAILED : CLASS_2XX, board.bounds.bucketOf(milliseconds), milliseconds);
      column.requestEnds();
    }
  }

  seconds(count: number, each: () => void = () => {}): void {
    for (let second = 0; second < count; second++) {
      each();
      this.now += 1_000;
      this.timer?.();
    }
  }
}

test("a rate is of the last 5 s, over all workers, and a percentile of the last 10 s", () => {
  const sampled = new Sampled({ main: 2 });
  const { sampler } = sampled;
  sampled.exchanges(7);
  sampled.seconds(1);
  expect(sampler.target(sampled.slot())).toMatchObject({ total: 7, p50: 2.5 });
  sampled.seconds(9, () => {
    sampled.exchanges(10, { worker: 0 });
    sampled.exchanges(20, { worker: 1 });
    sampled.exchanges(5, { failed: true });
    sampled.exchanges(1, { slot: sampled.slot(0, 1), milliseconds: 100 });
  });
  expect(sampler.target(sampled.slot())).toMatchObject({ total: 35, classes: [0, 30, 0, 0, 0, 5, 0] });
  expect(sampler.target(sampled.slot(0, 1)).total).toBe(1);
  const { upstreams, listeners, routes } = sampled.snapshot;
  expect([sampler.upstream(upstreams[0]!.slot).total, sampler.listener(listeners[0]!.slot).total, sampler.route(routes[0]!.slot).total]).toEqual([36, 36, 36]);
  expect(sampler.instance.total).toBe(36);
  expect(sampler.instance.p50).toBeCloseTo(2.5, 0);
  expect(sampler.instance.p99).toBeGreaterThan(64);
  sampled.seconds(5);
  expect(sampler.instance).toMatchObject({ total: 0 });
  expect(sampler.instance.p50).toBeCloseTo(2.5, 0);
  sampled.seconds(5);
  expect(sampler.instance).toMatchObject({ total: 0, p50: undefined, p99: undefined });
});

test("what was counted before it looked, or while it rested, is no rate", () => {
  const sampled = new Sampled({ main: 1 });
  const { sampler } = sampled;
  sampled.exchanges(10);
  sampled.seconds(1);
  sampler.stop();
  sampled.exchanges(1_000);
  sampler.start();
  sampled.seconds(1, () => sampled.exchanges(3));
  expect(sampler.instance.total).toBe(3);
});

test("what was taken back, and histograms that begin anew, are no rates", () => {
  const sampled = new Sampled({ main: 1 });
  const { sampler, board, snapshot } = sampled;
  sampled.seconds(1, () => sampled.exchanges(10));
  board.column(0, sampled.slot()).add(ENDED + CLASS_2XX, -10);
  sampled.seconds(1, () => sampled.exchanges(4));
  sampled.seconds(4);
  expect(sampler.target(sampled.slot()).total).toBe(0);
  board.setBounds([1, 100], { ...SIZE, listeners: 1, routes: 1 });
  sampled.seconds(10);
  sampled.seconds(1, () => sampled.exchanges(5, { milliseconds: 50 }));
  expect(sampler.upstream(snapshot.upstreams[0]!.slot)).toMatchObject({ total: 1, p50: 50.5 });
});

test("bytes and retries have rates too, and a row that is given away takes none along", () => {
  const sampled = new Sampled({ main: 1, other: 1 });
  const { board, snapshot } = sampled;
  const slot = sampled.slot();
  const upstream = board.upstreamColumn(0, snapshot.upstreams[0]!.slot);
  const column = board.column(0, slot, upstream);
  sampled.seconds(5, () => {
    sampled.exchanges(2);
    column.add(TOTAL_RETRIES);
    column.received(1_000);
    board.listenerColumn(0, snapshot.listeners[0]!.slot).sent(9_000);
  });
  expect(sampled.sampler.upstream(snapshot.upstreams[0]!.slot)).toMatchObject({ retries: 1, bytesReceived: 1_000 });
  expect(sampled.sampler.instance).toMatchObject({ total: 2, bytesSent: 9_000 });
  sampled.snapshot = { ...snapshot, upstreams: snapshot.upstreams.map((group, index) => (index === 1 ? group : { ...group, targets: [{ ...group.targets[0]!, name: "127.0.0.1:2" }] })) };
  sampled.seconds(1);
  expect(sampled.sampler.target(slot)).toMatchObject({ total: 0, p50: undefined });
});

describe("history", () => {
  test("has a point each 5 s, an hour long, and goes on over a reload", () => {
    const sampled = new Sampled({ main: 1, gone: 1 });
    const { sampler } = sampled;
    sampled.seconds(10, () => sampled.exchanges(4));
    const gone = sampled.snapshot.upstreams[1]!.slot;
    sampled.configure({ main: 2 });
    sampled.seconds(10, () => sampled.exchanges(8));
    const { interval, points } = sampler.upstreamHistory(sampled.snapshot.upstreams[0]!.slot);
    expect(interval).toBe(5_000);
    expect(points.map(({ rates }) => rates.total)).toEqual([4, 4, 8, 8]);
    expect(points.map(({ at }) => at % 100_000)).toEqual([0, 1, 2, 3].map((step) => points[0]!.at % 100_000 + step * 5_000));
    expect(sampler.upstreamHistory(gone).points).toEqual([]);
    sampled.seconds(2 * 3_600);
    expect(sampler.instanceHistory.points.length).toBe(720);
    const last = sampler.instanceHistory.points;
    expect(last.at(-1)!.at - last[0]!.at).toBe(719 * 5_000);
    expect(last.every(({ rates }) => rates.total === 0 && rates.p50 === undefined)).toBe(true);
    sampled.seconds(5, () => sampled.exchanges(6));
    expect(sampler.instanceHistory.points.at(-1)!.rates.total).toBe(6);
  });

  test("of targets is kept for as many as there is room for; who is asked for gets the place of one that nobody asks for", () => {
    const sampled = new Sampled({ main: MAX_SERIES + 100 });
    const { sampler } = sampled;
    const busy = (): void => {
      for (let target = 0; target < MAX_SERIES + 100; target++) sampled.exchanges(1, { slot: sampled.slot(0, target) });
    };
    sampled.seconds(10, busy);
    const kept = (): number[] => sampled.snapshot.upstreams[0]!.targets.map(({ slot }) => slot).filter((slot) => sampler["targets"].get(slot)!.series !== undefined);
    expect(kept().length).toBe(MAX_SERIES);
    const late = sampled.slot(0, MAX_SERIES + 50);
    expect(sampler.targetHistory(late).points).toEqual([]);
    sampled.seconds(10, busy);
    expect(sampler.targetHistory(late).points.map(({ rates }) => rates.total)).toEqual([1, 1]);
    expect(kept().length).toBe(MAX_SERIES);
  });
});

test("percentiles go on when the bounds of histograms change", () => {
  const sampled = new Sampled({ main: 1 });
  sampled.seconds(3, () => sampled.exchanges(10));
  sampled.board.setBounds([2, 8], { ...SIZE, listeners: 0, routes: 0 });
  sampled.seconds(12, () => sampled.exchanges(4));
  // All of them in the bucket from 2 to 8 ms.
  expect(sampled.sampler.instance).toMatchObject({ total: 4, p50: 5 });
});
