/** What is wrong, in sentences. */
import { expect, test } from "bun:test";
import { findingsOf } from "../../src/view/findings.ts";
import { overviewOf, rates, routeView, targetView, upstreamView } from "../support/view.ts";

const lines = (overview: Parameters<typeof findingsOf>[0]): string[] => findingsOf(overview).map(({ level, subject, text }) => `${level}: ${subject} ${text}`);

test("nothing is said of what is well", () => {
  expect(lines(overviewOf([upstreamView("web", [targetView("a:1"), targetView("b:1")], rates(100))]))).toEqual([]);
});

test("worst first, with the reason", () => {
  const down = targetView("a:1", { state: "down", check: { ok: false, reason: "connect refused", at: "2030-01-01T00:00:00.000Z", milliseconds: 1 } });
  const all = overviewOf([
    upstreamView("drained", [targetView("d:1", { state: "draining" }), targetView("d:2")]),
    upstreamView("one", [down, targetView("b:1"), targetView("c:1")]),
    upstreamView("none", [targetView("x:1", { state: "down" }), targetView("y:1", { state: "ejected" })]),
    upstreamView("failing", [targetView("f:1")], { ...rates(10, { "5xx": 1, failed: 1 }), breaker: "half-open", queued: 2 }),
  ]);
  expect(lines(all)).toEqual([
    "bad: Upstream none has no target in rotation: x:1 down, y:1 ejected",
    "bad: Upstream failing 20 % of its requests fail",
    "warn: Upstream one 1 of 3 targets out: a:1 down (connect refused)",
    "warn: Upstream failing its circuit breaker is half-open",
    "warn: Upstream failing 2 requests wait for a place",
    "off: Upstream drained 1 target taken out on purpose: d:1 draining",
  ]);
  expect(findingsOf(all).find(({ subject }) => subject === "Upstream one")).toMatchObject({ upstream: "one", target: "a:1" });
});

test("panic, certificates, late workers, a rejected configuration", () => {
  const base = overviewOf([upstreamView("web", [targetView("a:1", { state: "down" }), targetView("b:1", { state: "down" })], { panic: true })]);
  const overview = {
    ...base,
    instance: { ...base.instance, workers: [{ pid: 9, slot: 0, clients: 0, lag_ms: 750 }], config: { ...base.instance.config, rejected: { at: new Date(2030, 0, 1, 3, 4, 5).toISOString(), errors: ["line 3: no such key"] } } },
    listeners: [{ ...base.listeners[0]!, certificates: [-1, 2, 10, 40].map((days_left) => ({ names: [`c${days_left}.test`], not_after: "2030-01-01T00:00:00.000Z", days_left })) }],
  };
  expect(lines(overview)).toEqual([
    "bad: Configuration of 03:04:05 was rejected; generation 7 goes on: line 3: no such key",
    "bad: Upstream web 2 of 2 targets out: a:1 down, b:1 down",
    "bad: Upstream web too few targets are healthy, so all are used",
    "bad: Certificate c-1.test of listener web has expired",
    "bad: Certificate c2.test of listener web expires in 2 days",
    "warn: Worker 9 was 750 ms late to its events just now",
    "warn: Certificate c10.test of listener web expires in 10 days",
  ]);
});

test("an upstream's errors are not told of its routes again; one error in five seconds is none", () => {
  const failing = rates(10, { "5xx": 5 });
  expect(lines(overviewOf([upstreamView("web", [targetView("a:1")], failing)], [routeView("r.test", "web", failing)]))).toHaveLength(1);
  expect(lines(overviewOf([upstreamView("web", [targetView("a:1")])], [routeView("r.test", "web", failing)]))).toEqual(["bad: Route r.test 50 % of its requests fail"]);
  expect(lines(overviewOf([upstreamView("web", [targetView("a:1")], rates(0.2, { "5xx": 0.2 }))]))).toEqual([]);
});

test("faults that are injected stand before the worst, with their end where all have one", () => {
  const base = overviewOf([upstreamView("none", [targetView("x:1", { state: "down" })])]);
  const [first, later] = [new Date(2030, 0, 1, 14, 5, 0), new Date(2030, 0, 1, 15, 0, 0)].map((at) => at.toISOString());
  const told = (...faults: { name: string; until: string | null }[]): string[] => lines({ ...base, instance: { ...base.instance, faults } });
  const rest = "bad: Upstream none has no target in rotation: x:1 down";
  expect(told()).toEqual([rest]);
  expect(told({ name: "a", until: first! })).toEqual(["warn: Faults 1 rule injects, until 14:05:00: a", rest]);
  expect(told({ name: "b", until: later! }, { name: "a", until: first! })).toEqual(["warn: Faults 2 rules inject, until 15:00:00: b, a", rest]);
  expect(told({ name: "a", until: first! }, { name: "file", until: null }, { name: "c", until: null }, { name: "d", until: null })).toEqual(["warn: Faults 4 rules inject: a until 14:05:00, file, c and 1 more", rest]);
});
