/** Scrapes at the same time are one gathering: of a big instance each costs some work. */
import { expect, test } from "bun:test";
import { HealthMonitor } from "../../src/health/monitor.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import { bunNetwork } from "../../src/net/bun.ts";
import { silentLog } from "../../src/observability/log.ts";
import { NO_CHRONICLE } from "../../src/observability/timeline.ts";
import { Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import { snapshotOf } from "../support/upstreams.ts";

test("whoever asks while one is made gets that one; who asks later gets another", async () => {
  const snapshot = snapshotOf({ upstreams: [{ name: "main", targets: [{ address: "10.0.0.1:80" }] }] });
  const size = { targets: 1, upstreams: 1 };
  const scoreboard = Scoreboard.local({ ...size, workers: 1 });
  scoreboard.setBounds(snapshot.metrics.buckets, { ...size, listeners: 1, routes: 0 });
  const network = bunNetwork();
  const health = new HealthMonitor({ network, scoreboard, log: silentLog(), chronicle: NO_CHRONICLE });
  let gathered = 0;
  const processes = (): { name: string; pid: number }[] => (gathered++, [{ name: "supervisor", pid: process.pid }]);
  const config = () => ({ applied: { generation: 1, at: new Date(0).toISOString() }, rejected: null });
  const metrics = new Metrics({ version: "0", startedAt: 0, snapshot: () => snapshot, scoreboard, health, clock: network.clock, workers: () => [], config, restarts: () => 0, processes });
  const all = await Promise.all(Array.from({ length: 8 }, () => metrics.text()));
  expect(gathered).toBe(1);
  expect(new Set(all).size).toBe(1);
  await Promise.all([metrics.text(), metrics.text("openmetrics")]);
  expect(gathered).toBe(3);
  health.stop();
});
