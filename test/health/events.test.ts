/** What those who decide about targets tell the timeline, and what each event follows from. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Snapshot, UpstreamConfig } from "../../src/config/snapshot.ts";
import { HealthMonitor } from "../../src/health/monitor.ts";
import { Heartbeats } from "../../src/health/heartbeats.ts";
import { ALL_EVENT_KINDS } from "../../src/observability/event-kind.ts";
import { silentLog } from "../../src/observability/log.ts";
import { Timeline } from "../../src/observability/timeline.ts";
import { Flag, Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import { tellMoved } from "../../src/supervisor/instance-events.ts";
import { CHECK, FakeNetwork, PASSING, snapshotOf, target, upstream } from "./support.ts";

const [A, B] = ["127.0.0.1:9000", "127.0.0.1:9001"] as const;

function stage(more: Partial<UpstreamConfig> = {}, check: typeof CHECK | undefined = undefined) {
  const network = new FakeNetwork();
  const timeline = new Timeline(() => network.clock.wall());
  const scoreboard = Scoreboard.local({ targets: 8, upstreams: 2, workers: 1 });
  const monitor = new HealthMonitor({ network, scoreboard, log: silentLog(), chronicle: timeline });
  const group: UpstreamConfig = { ...upstream("main", [target(0), target(1)], check), ...more };
  const snapshot = snapshotOf(group);
  monitor.apply(snapshot);
  /** Kind, summary, and the kind of what it follows from, oldest first. */
  const told = (of?: string): string[][] => {
    const all = timeline.all();
    return all.filter((event) => of === undefined || event.target === of).map(({ kind, summary, cause }) => [kind, summary, all.find(({ id }) => id === cause)?.kind ?? ""]);
  };
  return { network, timeline, monitor, rotation: monitor.rotation, snapshot, told };
}

test("a target that several take out is ready when the last one brings it back", () => {
  const { rotation, told, network } = stage({ drainTimeout: 5_000, slowStart: 10_000 });
  rotation.setWithdrawn(0, Flag.DRAINING, "config", true);
  rotation.setMode(0, "admin", "drain", "api:ops");
  rotation.setMode(0, "admin", "maint", "api:ops");
  rotation.setMode(0, "admin", "maint", "api:ops");
  rotation.setMode(0, "admin", "ready", "api:ops");
  network.clock.advance(5_000);
  rotation.setWithdrawn(0, Flag.DRAINING, "config", false);
  network.clock.advance(15_000);
  expect(told()).toEqual([
    ["drain", "Drained by config: what is open may go on for 5s", ""],
    ["drain", "Drained by api:ops: what is open may go on for 5s", ""],
    ["maintenance", "Out of service by api:ops: what is open may go on for 5s", ""],
    ["ready", "No longer taken out by api:ops, but by config still", "maintenance"],
    ["drain-cut", "What is open to it is closed: 5s to drain are over", "maintenance"],
    ["ready", "Ready by config", "maintenance"],
    ["slow-start", "Starts slowly: all of its weight in 10s", "ready"],
    ["slow-start-over", "Takes all of its weight", "slow-start"],
  ]);
});

test("weights by an agent are told when they change", () => {
  const { rotation, told } = stage();
  for (const percent of [100, 50, 50, 75]) rotation.setAgentWeight(0, percent);
  expect(told()).toEqual([
    ["weight", "50% of its weight of 1, before 100%", ""],
    ["weight", "75% of its weight of 1, before 50%", ""],
  ]);
});

test("checks are told while they lead somewhere", () => {
  const { network, told } = stage({}, { ...CHECK, interval: 1000 });
  // The first one decides.
  network.behaviour.set(9001, "refuse");
  network.clock.advance(2_500);
  expect(told(A)).toEqual([]);
  expect(told(B).slice(0, 2)).toEqual([
    ["check-failed", "Check failed (the first one decides): connect refused", ""],
    ["down", "Down: 1 check failed: connect refused", "check-failed"],
  ]);
  const sofar = told(B).length;
  // One that passes is not enough, and one that fails then breaks the row.
  network.behaviour.set(9001, { reply: PASSING });
  const until = (kind: string): void => {
    for (let i = 0; i < 100 && told(B).slice(sofar).at(-1)?.[0] !== kind; i++) network.clock.advance(100);
  };
  until("check-passed");
  network.behaviour.set(9001, "refuse");
  until("check-failed");
  network.clock.advance(5_000);
  network.behaviour.set(9001, { reply: PASSING });
  until("up");
  network.clock.advance(5_000);
  expect(told(B).slice(sofar)).toEqual([
    ["check-passed", "Check passed (1 of 2): status 200", "down"],
    ["check-failed", "Check failed: connect refused", "check-passed"],
    ["check-passed", "Check passed (1 of 2): status 200", "down"],
    ["check-passed", "Check passed (2 of 2): status 200", "check-passed"],
    ["up", "Up: 2 checks passed in a row: status 200", "check-passed"],
  ]);
  expect(told(A)).toEqual([]);
});

test("a target that fails and cannot be spared is told of once", () => {
  const { monitor, network, told, timeline } = stage({ panicThreshold: 0 });
  monitor.ejection.report({ upstream: "main", target: A, detector: "consecutive-gateway" });
  for (let i = 0; i < 5; i++) monitor.ejection.report({ upstream: "main", target: B, detector: "consecutive-local" });
  const { at } = timeline.latest("main", A)!;
  expect(told()).toEqual([
    ["ejected", `Ejected: by 5 consecutive 502, 503 or 504, until ${new Date(at + 30_000).toISOString()} (30s)`, ""],
    ["ejection-spared", "Fails by 5 consecutive failures to connect or to answer, and is kept: it is the last one", ""],
  ]);
  network.clock.advance(30_000);
  expect(told(A).at(-1)).toEqual(["ejection-over", "Back after its ejection", "ejected"]);
});

test("heartbeats: registered, silent, back, gone", () => {
  const { rotation, network, snapshot, timeline, told } = stage({ heartbeat: { ttl: 1_000, register: true } });
  const heartbeats = new Heartbeats({ rotation, clock: network.clock, log: silentLog(), chronicle: timeline, changed: () => {} });
  heartbeats.apply(snapshot);
  heartbeats.beat("main", "127.0.0.1:7777", {});
  heartbeats.beat("main", A, { capacity: 4, draining: false });
  network.clock.advance(900);
  heartbeats.beat("main", "127.0.0.1:7777", {});
  heartbeats.beat("main", A, { capacity: 4, draining: true });
  network.clock.advance(1_000);
  heartbeats.beat("main", A, { capacity: 4, draining: false });
  heartbeats.leave("main", "127.0.0.1:7777");
  expect(told(A)).toEqual([
    ["weight", "Weight 4, before 1", ""],
    ["drain", expect.stringMatching(/^Drained by heartbeat: /), ""],
    ["silent", "Out: no heartbeat for 1s", ""],
    ["ready", "Ready by heartbeat", "drain"],
    ["heard-again", "Back: its heartbeat is heard again", "silent"],
  ]);
  expect(told("127.0.0.1:7777")).toEqual([
    ["registered", "Registered by its heartbeat, good for 1s at a time", ""],
    ["deregistered", "Said good-bye", ""],
  ]);
});

test("a back end that registered and says good-bye while it drains takes no request more, and what follows names its cause", () => {
  const { rotation, monitor, network, snapshot, timeline, told } = stage({ heartbeat: { ttl: 1_000, register: true } });
  const heartbeats = new Heartbeats({ rotation, clock: network.clock, log: silentLog(), chronicle: timeline, changed: () => {} });
  const C = "127.0.0.1:9002";
  const apply = (before: Snapshot, ...targets: number[]): Snapshot => {
    const after = snapshotOf({ ...snapshot.upstreams[0]!, targets: targets.map((slot) => target(slot)) });
    monitor.apply(after);
    heartbeats.apply(after);
    tellMoved(timeline, before, after);
    return after;
  };
  heartbeats.apply(snapshot);
  heartbeats.beat("main", C, { capacity: 4 });
  const joined = apply(snapshot, 0, 1, 2);
  heartbeats.beat("main", C, { capacity: 4, draining: true });
  heartbeats.leave("main", C);
  expect(rotation.status(2).state).toBe("draining");
  apply(joined, 0, 1);
  expect(told(C).map(([kind, , cause]) => [kind, cause])).toEqual([
    ["registered", ""],
    ["weight", ""],
    ["joined", "registered"],
    ["drain", ""],
    ["deregistered", ""],
    ["left", "deregistered"],
  ]);
});

test("docs/timeline.md has each kind", () => {
  const page = readFileSync(join(import.meta.dir, "../../docs/timeline.md"), "utf8");
  const named = new Set([...page.slice(page.indexOf("### Kinds"), page.indexOf("### How much")).matchAll(/`([a-z-]+)`/g)].map(([, kind]) => kind));
  expect(ALL_EVENT_KINDS.filter((kind) => !named.has(kind))).toEqual([]);
});
