/** What is said of a soak, from numbers that are given. */
import { describe, expect, test } from "bun:test";
import { findings, type Observed } from "./findings.ts";
import type { Sample } from "./judge.ts";
import { metricsOf } from "./metrics.ts";
import { percentile99, type ProcessRecord, type Recorder } from "./recorder.ts";
import type { Rest, Rested } from "./rest.ts";

const MIB = 1024 * 1024;
const SECONDS = 400;

interface Made {
  /** Of the worker, at the last rest, instead of what it was before. */
  readonly after?: Partial<Rested>;
  readonly open?: readonly string[];
  readonly failed?: number;
  /** Seconds that it waited for a core. */
  readonly waited?: number;
  readonly resident?: (second: number) => number;
  readonly lag?: number;
}

function series(value: (second: number) => number): Sample[] {
  return Array.from({ length: SECONDS }, (_, at) => ({ at, value: value(at) }));
}

function observed({ after = {}, open = [], failed = 0, waited = 0, resident = () => 80 * MIB, lag = 0.005 }: Made): Observed {
  const record: ProcessRecord = { name: "worker 0", pid: 7, series: { resident: series(resident), heap: series(() => MIB), descriptors: series(() => 60), lag: series(() => lag).filter(({ at }) => at % 10 === 0) }, waitedFirst: 1, waitedLast: 1 + waited };
  const before: Rested = { name: "worker 0", pid: 7, descriptors: { socket: 40, file: 3 }, live: 4 * MIB, held: 100 * MIB, objects: { string: 5_000, Object: 9_000 } };
  const rest = (exchanges: number, rested: Rested): Rest => ({ open: exchanges === 0 ? [] : open, exchanges, processes: [rested] });
  return {
    recorder: { processes: new Map([[7, record]]), failures: [] } as unknown as Recorder,
    rests: [rest(0, before), rest(10_000, before), rest(60_000, { ...before, ...after })],
    told: { counts: { get: { begun: 60_000, well: 60_000 - failed, failed } }, reasons: {}, open: 0, shed: 0, rests: 2 },
    measured: SECONDS,
    deedsFailed: [],
  };
}

function wrong(made: Made): string[] {
  return findings(observed(made)).filter(({ said }) => said !== "ok").map(({ what, said }) => `${what}: ${said}`);
}

describe("a soak", () => {
  test("in which nothing changes is well", () => {
    expect(wrong({})).toEqual([]);
    expect(wrong({ after: { live: 4.3 * MIB, held: 104 * MIB, objects: { string: 5_900 } }, failed: 200, waited: 10 })).toEqual([]);
  });

  test("is broken by one descriptor at rest, and by another in its place", () => {
    expect(wrong({ after: { descriptors: { socket: 41, file: 3 } } })).toEqual(["descriptors at rest: BROKEN"]);
    expect(wrong({ after: { descriptors: { socket: 41, file: 2 } } })).toEqual(["descriptors at rest: BROKEN"]);
  });

  test("is broken by what stays reachable: few large objects, or many small ones", () => {
    expect(wrong({ after: { live: 4 * MIB + 50_000 * 16 } })).toEqual(["objects at rest: BROKEN"]);
    expect(wrong({ after: { held: 100 * MIB + 50_000 * 160 } })).toEqual(["what they hold at rest: BROKEN"]);
    expect(wrong({ after: { objects: { string: 5_000 + 2_500, Object: 9_000 } } })).toEqual(["most grown type: string: BROKEN"]);
  });

  test("is broken by a gauge above zero, by failures, and by a process that was replaced", () => {
    expect(wrong({ open: ["fairlead_worker_open_clients 1"] })).toEqual(["gauges above zero at rest: BROKEN"]);
    expect(wrong({ failed: 400 })).toEqual(["exchanges that failed: BROKEN"]);
    expect(wrong({ after: { pid: 8 } })).toEqual(["process: BROKEN"]);
  });

  test("is broken by memory that grows, and by lag", () => {
    expect(wrong({ resident: (second) => 80 * MIB + second * 15_000 })).toEqual(["resident memory: BROKEN"]);
    expect(wrong({ lag: 0.1 })).toEqual(["event loop lag, p99: BROKEN"]);
  });

  test("says of lateness that it is unclear where there was no core to run on, and nothing else", () => {
    expect(wrong({ lag: 0.1, failed: 400, waited: 100, after: { descriptors: { socket: 41, file: 3 } } })).toEqual(["event loop lag, p99: unclear", "descriptors at rest: BROKEN", "exchanges that failed: unclear"]);
  });
});

test("the 99th percentile is of what came between two scrapes", () => {
  const before = [[0.001, 1_000], [0.01, 1_000], [Number.POSITIVE_INFINITY, 1_000]] as const;
  expect(percentile99(before, before)).toBeUndefined();
  expect(percentile99(before, [[0.001, 1_099], [0.01, 1_100], [Number.POSITIVE_INFINITY, 1_100]])).toBe(0.001);
  expect(percentile99(before, [[0.001, 1_098], [0.01, 1_100], [Number.POSITIVE_INFINITY, 1_100]])).toBe(0.01);
  expect(percentile99(before, [[0.001, 1_000], [0.01, 1_000], [Number.POSITIVE_INFINITY, 1_100]])).toBe(0.01);
});

test("of a scrape only what was asked for is read", () => {
  const text = 'a_total 1\n# HELP b about\nb{worker="0",le="+Inf"} 2\nb{worker="1",le="0.5"} 3e2\nbc 4\n';
  expect(metricsOf(text, ["b", "a_total"])).toEqual([
    { name: "a_total", labels: {}, value: 1 },
    { name: "b", labels: { worker: "0", le: "+Inf" }, value: 2 },
    { name: "b", labels: { worker: "1", le: "0.5" }, value: 300 },
  ]);
});
