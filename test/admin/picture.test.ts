/** What an upstream of 10,000 targets shows of itself, and what that costs. */
import { expect, test } from "bun:test";
import { overview } from "../../src/admin/overview.ts";
import { Picture } from "../../src/admin/picture.ts";
import { loadConfigValue, SlotAllocator } from "../../src/config/load.ts";
import { HealthMonitor } from "../../src/health/monitor.ts";
import { bunNetwork } from "../../src/net/bun.ts";
import { silentLog } from "../../src/observability/log.ts";
import { NO_CHRONICLE } from "../../src/observability/timeline.ts";
import { Sampler } from "../../src/sampling/sampler.ts";
import { Flag, Scoreboard } from "../../src/scoreboard/scoreboard.ts";

const TARGETS = 10_000;
const SIZE = { targets: TARGETS, upstreams: 4 };

function addressOf(index: number): string {
  return `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}:80`;
}

test("10,000 targets: those that are out come first, then the busiest, and it stays small and quick", () => {
  const config = { listeners: [{ name: "web", address: "127.0.0.1:0", upstream: "big" }], upstreams: [{ name: "big", targets: Array.from({ length: TARGETS }, (_, index) => ({ address: addressOf(index) })) }] };
  const loaded = loadConfigValue(config, undefined, "test", { slots: new SlotAllocator(SIZE), generation: 1 });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
  const { snapshot } = loaded;
  const scoreboard = Scoreboard.local({ ...SIZE, workers: 2 });
  scoreboard.setBounds(snapshot.metrics.buckets, { ...SIZE, listeners: 1, routes: 0 });
  const network = bunNetwork();
  const health = new HealthMonitor({ network, scoreboard, log: silentLog(), chronicle: NO_CHRONICLE });
  health.apply(snapshot);
  // Time stands still but for what the test says.
  let now = 0;
  const clock = { now: 0, precise: () => now, wall: () => 1_700_000_000_000 + now, everyTick: () => () => {}, after: () => () => {} };
  const sampler = new Sampler({ scoreboard, clock, snapshot: () => snapshot });
  const state = { applied: { generation: 1, at: new Date(0).toISOString(), by: "start", summary: "" }, rejected: null };
  const picture = new Picture({ version: "0", startedAt: 0, snapshot: () => snapshot, scoreboard, health, sampler, clock, workers: () => [], boundTo: () => undefined, config: () => state, faults: () => [] });
  sampler.start();

  const { targets } = snapshot.upstreams[0]!;
  const columns = targets.map(({ slot }) => scoreboard.column(0, slot));
  const down = [9_000, 4_000, 7_777];
  for (const index of down) health.rotation.setUnhealthy(targets[index]!.slot, Flag.DOWN, true);
  const looks: number[] = [];
  for (let second = 0; second < 10; second++) {
    for (const [index, column] of columns.entries()) {
      for (let each = 0; each < 1 + (index >= 9_700 ? 2 : 0) + (index === 5 ? 8 : 0); each++) {
        column.requestBegins();
        column.ended(1, scoreboard.bounds.bucketOf(3), 3);
        column.requestEnds();
      }
    }
    now += 1_000;
    const began = performance.now();
    sampler.look();
    looks.push(performance.now() - began);
  }
  const times: number[] = [];
  let text = "";
  for (let each = 0; each < 5; each++) {
    const began = performance.now();
    text = JSON.stringify(picture.overview());
    times.push(performance.now() - began);
  }
  const told = overview.parse(JSON.parse(text)).upstreams[0]!;
  expect(told).toMatchObject({ target_count: TARGETS, healthy_count: TARGETS - down.length });
  expect(told.targets).toHaveLength(200);
  expect(told.targets.slice(0, 4).map(({ address, state: word }) => [address, word])).toEqual([...down.toSorted().map((index) => [addressOf(index), "down"]), [addressOf(5), "up"]]);
  expect(told.targets.slice(4).every(({ address, rate }) => rate === 3 && targets.findIndex(({ name }) => name === address) >= 9_700)).toBe(true);
  expect(text.length).toBeLessThan(100_000);
  const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
  console.log(`10,000 busy targets: a sample ${median(looks).toFixed(1)} ms, an overview ${median(times).toFixed(1)} ms and ${text.length} bytes`);
  // Far above what it takes on an idle machine: 10 ms and 8 ms.
  expect(median(looks)).toBeLessThan(400);
  expect(median(times)).toBeLessThan(400);
  sampler.stop();
  health.stop();
});
