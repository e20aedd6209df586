/** What the simulation shows of the policies, and that it is deterministic, quick and honest about what it modelled. */
import { describe, expect, test } from "bun:test";
import { type Arrivals, fromLog, LogError, poisson } from "../../src/simulate/arrivals.ts";
import { DISTRIBUTIONS, randomFrom, zipf } from "../../src/simulate/chance.ts";
import { candidateOf, compare, ownCandidate } from "../../src/simulate/comparison.ts";
import { SCENARIOS } from "../../src/simulate/scenarios.ts";
import type { SimulationResult } from "../../src/simulate/simulation.ts";
import { Event, Timeline } from "../../src/simulate/timeline.ts";
import { manyTargets, snapshotOf } from "../support/upstreams.ts";

const MEAN = 20;
const PLACES = 8;
const TARGETS = 10;

interface Asked {
  readonly requests?: number;
  readonly seed?: number;
  readonly upstream?: object;
  readonly load?: number;
  readonly arrivals?: () => Arrivals;
}

async function results(scenario: string, policies: readonly string[], { requests = 40_000, seed = 1, upstream = {}, load = SCENARIOS[scenario]!.load, arrivals }: Asked = {}): Promise<Record<string, SimulationResult>> {
  const snapshot = snapshotOf({ upstreams: [{ name: "main", health_check: { type: "tcp" }, targets: manyTargets(TARGETS), ...upstream }] });
  const rate = ((TARGETS * PLACES) / MEAN) * load;
  const all: Record<string, SimulationResult> = {};
  const candidates = policies.map((policy) => candidateOf(policy)!);
  for await (const { label, result } of compare({ snapshot, scenario, candidates, arrivals: arrivals ?? (() => poisson(requests, rate, SCENARIOS[scenario]!)), distribution: "exponential", mean: MEAN, places: PLACES, seed })) all[label] = result;
  return all;
}

describe("slow-target", () => {
  test("peak-ewma, p2c and least-connections beat round robin's p99 at least threefold, whatever the seed", async () => {
    for (const seed of [1, 2, 3]) {
      const all = await results("slow-target", ["round-robin", "p2c", "peak-ewma", "least-connections"], { seed });
      for (const policy of ["p2c", "peak-ewma", "least-connections"]) expect(all["round-robin"]!.p99 / all[policy]!.p99).toBeGreaterThan(3);
    }
  });

  test("also where the slow target is not overloaded: with a load of 5 %, peak-ewma sends it next to nothing", async () => {
    const all = await results("slow-target", ["round-robin", "peak-ewma"], { load: 0.05 });
    expect(all["round-robin"]!.byTarget[0]! / 40_000).toBeCloseTo(0.1, 2);
    expect(all["peak-ewma"]!.byTarget[0]! / 40_000).toBeLessThan(0.05);
    expect(all["round-robin"]!.p99 / all["peak-ewma"]!.p99).toBeGreaterThan(1.5);
  });

  test("round robin is even over all targets, the slow one too", async () => {
    const { "round-robin": even } = await results("slow-target", ["round-robin"]);
    expect(even!.fairness).toBeGreaterThan(0.999);
  });
});

describe("hot-key", () => {
  test("hash sends a hot client to one target; bounded_load caps the hottest at 1.25 × the mean + 1 with every method", async () => {
    const bounded = ["hash:ketama:1.25", "hash:maglev:1.25", "hash:rendezvous:1.25"];
    for (const seed of [1, 2, 3]) {
      const all = await results("hot-key", ["hash:ketama", ...bounded], { seed });
      expect(all["hash:ketama"]!.hottest).toBeGreaterThan(5);
      for (const policy of bounded) {
        expect(all[policy]!.hottest).toBeLessThanOrEqual(1.25);
        expect(all["hash:ketama"]!.p99 / all[policy]!.p99).toBeGreaterThan(3);
      }
    }
  });
});

describe("other scenarios", () => {
  test("scale-out: a third of the keys moves once with hash, nearly everything moves always with round robin", async () => {
    const all = await results("scale-out", ["round-robin", "hash:ketama", "hash:maglev", "hash:rendezvous"]);
    for (const method of ["ketama", "maglev", "rendezvous"]) expect(all[`hash:${method}`]!.moved).toBeLessThan(0.08);
    expect(all["round-robin"]!.moved).toBeGreaterThan(0.7);
  });

  test("dead-target and flapping: the requests that a death meets are retried, and next to none fails", async () => {
    for (const scenario of ["dead-target", "flapping"]) {
      const all = await results(scenario, ["round-robin", "p2c", "peak-ewma", "hash:ketama"]);
      for (const result of Object.values(all)) {
        expect(result.failures / result.requests).toBeLessThan(0.001);
        expect(result.retries).toBeGreaterThan(0);
      }
    }
  });

  test("dead-target without retries: what the death meets fails, until the check has seen it", async () => {
    const { p2c } = await results("dead-target", ["p2c"], { upstream: { retries: 0, outlier_detection: false } });
    expect(p2c!.failures).toBeGreaterThan(100);
    expect(p2c!.retries).toBe(0);
  });

  test("cold-start: slow_start spares clients of round robin", async () => {
    const cold = await results("cold-start", ["round-robin"]);
    const slow = await results("cold-start", ["round-robin"], { upstream: { slow_start: "8s" } });
    expect(slow["round-robin"]!.p999).toBeLessThan(cold["round-robin"]!.p999);
  });

  test("weights count: a target of weight 3 has three times the places and requests", async () => {
    const { "round-robin": result } = await results("hot-key", ["round-robin"], { upstream: { targets: manyTargets(4, (index) => ({ weight: index === 0 ? 3 : 1 })) }, load: 0.3 });
    expect(result!.byTarget[0]! / result!.byTarget[1]!).toBeCloseTo(3, 1);
    expect(result!.fairness).toBeGreaterThan(0.999);
  });

  test("max_requests is never exceeded: who finds no place waits, and a slow target does not pile up", async () => {
    const { "round-robin": free } = await results("slow-target", ["round-robin"]);
    expect(free!.hottest).toBeGreaterThan(7);
    const { "round-robin": limited } = await results("slow-target", ["round-robin"], { upstream: { max_requests: 8 } });
    // 8 open of one target, where the mean is 1 or more.
    expect(limited!.hottest).toBeLessThanOrEqual(7);
    expect(limited!.failures).toBe(0);
  });
});

describe("the simulation", () => {
  test("is the same for the same seed and another for another", async () => {
    const [first, again, other] = [await results("flapping", ["p2c"]), await results("flapping", ["p2c"]), await results("flapping", ["p2c"], { seed: 2 })];
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
  });

  test("of a single queue is what theory says (M/M/c: Erlang C)", async () => {
    // Two targets of 8 places under least-connections are close to one queue with 16; at 50 % load its mean wait is below 1 % of the service time.
    const { "least-connections": result } = await results("hot-key", ["least-connections"], { upstream: { targets: manyTargets(2) }, load: 0.1, requests: 100_000 });
    expect(result!.p50).toBeCloseTo(MEAN * Math.log(2), 0);
    expect(result!.p99 / (MEAN * Math.log(100))).toBeCloseTo(1, 1);
  });

  test("plays a million requests in under ten seconds", async () => {
    const began = process.cpuUsage();
    const { "peak-ewma": result } = await results("slow-target", ["peak-ewma"], { requests: 1_000_000 });
    const { user, system } = process.cpuUsage(began);
    console.log(`a million simulated requests: ${((user + system) / 1e6).toFixed(2)} s of processor time`);
    expect(result!.requests).toBe(1_000_000);
    expect((user + system) / 1e6).toBeLessThan(10);
  }, 30_000);
});

describe("arrivals from an access log", () => {
  const line = (time: number, client: string, path = "/") => JSON.stringify({ level: "info", time: new Date(time).toISOString(), msg: "access", client, path });

  test("come at their times and from their clients, in order", () => {
    const arrivals = fromLog([line(1_000, "a"), JSON.stringify({ msg: "Reload applied" }), line(4_000, "b"), line(2_000, "a"), ""].join("\n"), { kind: "client-ip" }, 2);
    expect(arrivals.keys).toEqual(["a", "b"]);
    expect([arrivals.count, arrivals.duration]).toEqual([3, 1_500]);
    expect([0, 1, 2].map(() => ({ ...arrivals.next(Math.random) }))).toEqual([{ gap: 0, key: 0 }, { gap: 500, key: 0 }, { gap: 1_000, key: 1 }]);
  });

  test("come when they began, and from the address without the port", () => {
    const long = JSON.stringify({ time: new Date(9_000).toISOString(), msg: "access", client: "192.0.2.1:4711", path: "/", milliseconds: 8_500 });
    const arrivals = fromLog([line(1_000, "192.0.2.1:4712"), line(1_500, "[2001:db8::1]:80"), long].join("\n"), { kind: "client-ip" }, 1);
    expect(arrivals.keys).toEqual(["192.0.2.1", "2001:db8::1"]);
    expect([0, 1, 2].map(() => ({ ...arrivals.next(Math.random) }))).toEqual([{ gap: 0, key: 0 }, { gap: 500, key: 0 }, { gap: 500, key: 1 }]);
  });

  test("are keyed as the upstream says", () => {
    expect(fromLog([line(0, "a", "/x?user=7"), line(1, "b", "/y?user=8")].join("\n"), { kind: "query", name: "user" }, 1).keys).toEqual(["7", "8"]);
  });

  test("that cannot be read say which line", () => {
    expect(() => fromLog(`${line(0, "a")}\nnot JSON`, { kind: "client-ip" }, 1)).toThrow(new LogError("line 2 is not JSON; write the log with --log-format json"));
    expect(() => fromLog("", { kind: "client-ip" }, 1)).toThrow("no access lines");
    expect(() => fromLog('{"msg": "access"}', { kind: "client-ip" }, 1)).toThrow('line 1 has no "time"');
  });

  test("are simulated", async () => {
    const log = Array.from({ length: 5_000 }, (_, n) => line(n * 2, `c${n % 100}`)).join("\n");
    const { "hash:ketama": result } = await results("slow-target", ["hash:ketama"], { arrivals: () => fromLog(log, { kind: "client-ip" }, 1) });
    expect(result!.requests).toBe(5_000);
    expect(result!.moved).toBe(0);
  });
});

describe("its parts", () => {
  test("every distribution has the mean that it is given", () => {
    for (const [name, draw] of Object.entries(DISTRIBUTIONS)) {
      const random = randomFrom(7);
      let sum = 0;
      for (let i = 0; i < 400_000; i++) sum += draw(10, random);
      expect([name, sum / 400_000]).toEqual([name, expect.closeTo(10, 0)]);
    }
  });

  test("Zipf's keys are as frequent as they should be", () => {
    const random = randomFrom(3);
    const draw = zipf(100, 1, 0);
    const counts = new Int32Array(100);
    for (let i = 0; i < 200_000; i++) counts[draw(random)]!++;
    expect(counts[0]! / counts[9]!).toBeCloseTo(10, -1);
    const hot = zipf(100, 0, 0.5);
    let first = 0;
    for (let i = 0; i < 10_000; i++) if (hot(random) === 0) first++;
    expect(first / 10_000).toBeCloseTo(0.505, 1);
  });

  test("events come in the order of their times, equal ones in the order in which they were added", () => {
    const random = randomFrom(5);
    const timeline = new Timeline();
    const times = Array.from({ length: 5_000 }, () => Math.floor(random() * 500));
    for (const [id, at] of times.entries()) timeline.add(at, Event.DONE, id);
    const seen: number[] = [];
    while (timeline.next()) seen.push(timeline.id);
    expect(seen).toEqual([...times.keys()].toSorted((a, b) => times[a]! - times[b]! || a - b));
  });

  test("policies are named as in the config, with method and bound", () => {
    expect(candidateOf("hash:maglev:1.25")).toEqual({ label: "hash:maglev:1.25", policy: { kind: "builtin", name: "hash" }, hash: { method: "maglev", boundedLoad: 1.25 } });
    for (const wrong of ["nothing", "p2c:maglev", "hash:0.5", "hash:nothing"]) expect(candidateOf(wrong)).toBeUndefined();
    const upstream = snapshotOf({ upstreams: [{ name: "main", policy: "ip-hash", bounded_load: 1.5, targets: manyTargets(2) }] }).upstreams[0]!;
    expect(ownCandidate(upstream).label).toBe("ip-hash:ketama:1.5");
  });
});
