/** Usable targets and picks: health moves them, a user's policy cannot break them. */
import { describe, expect, test } from "bun:test";
import { bunNetwork } from "../../src/net/bun.ts";
import type { Log } from "../../src/observability/log.ts";
import type { RoutingPolicy } from "../../src/policies/policy.ts";
import { RandomPolicy } from "../../src/policies/random.ts";
import { RoundRobinPolicy } from "../../src/policies/round-robin.ts";
import { SinglePolicy } from "../../src/policies/single.ts";
import { Flag, Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import { LatencyClock } from "../../src/upstream/latency.ts";
import { Target } from "../../src/upstream/target.ts";
import { Upstream } from "../../src/upstream/upstream.ts";
import { ANYBODY as request, atWork, manyTargets, snapshotOf } from "../support/upstreams.ts";

const MODULE = { kind: "module", path: "./mine.ts", version: "1", timeout: 50 } as const;

function arrange(policy: RoutingPolicy, config?: typeof MODULE): { upstream: Upstream; board: Scoreboard; targets: Target[]; warnings: string[] } {
  const board = Scoreboard.local({ workers: 1, targets: 8, upstreams: 1 });
  const compiled = snapshotOf({ upstreams: [{ name: "main", targets: manyTargets(3) }] }).upstreams[0]!;
  const { clock } = bunNetwork();
  const latencyClock = new LatencyClock(clock);
  const targets = compiled.targets.map((target, index) => new Target({ ...target, name: `t${index}` }, board, 0, latencyClock));
  const warnings: string[] = [];
  const log = { warn: (_fields: object, message: string) => warnings.push(message) } as unknown as Log;
  const host = { board, slot: 0, clock, latencyClock, log, random: Math.random, report: () => {} };
  const upstream = new Upstream(config === undefined ? compiled : { ...compiled, policy: config }, targets, () => policy, host);
  return { upstream, board, targets, warnings };
}

const names = async (upstream: Upstream, times: number): Promise<string[]> => {
  const picked: string[] = [];
  for (let i = 0; i < times; i++) picked.push((await upstream.pick(request, []))?.name ?? "none");
  return picked;
};

describe("usable targets", () => {
  test("follow the scoreboard at once, and the list is the same while nothing changes", () => {
    const { upstream, board } = arrange(new SinglePolicy());
    const before = upstream.usable;
    expect(upstream.usable).toBe(before);
    board.setFlags(0, 0, Flag.DOWN);
    expect(upstream.usable.map((target) => target.name)).toEqual(["t1", "t2"]);
    board.setFlags(0, 0, 0);
    expect(upstream.usable).toHaveLength(3);
  });

  test("none usable, or all tried: no target", () => {
    const { upstream, board, targets } = arrange(new SinglePolicy());
    expect(upstream.pick(request, targets)).toBeUndefined();
    for (const slot of [0, 1, 2]) board.setFlags(0, slot, Flag.DOWN);
    expect(upstream.pick(request, [])).toBeUndefined();
  });
});

describe("built-in policies", () => {
  test("round robin goes round, over the healthy ones only", async () => {
    const { upstream, board } = arrange(new RoundRobinPolicy());
    expect(await names(upstream, 6)).toEqual(["t0", "t1", "t2", "t0", "t1", "t2"]);
    board.setFlags(0, 1, Flag.DOWN);
    expect(new Set(await names(upstream, 4))).toEqual(new Set(["t0", "t2"]));
  });

  test("round robin is even where the cursor wraps", () => {
    let cursor = 2 ** 32 - 2;
    const policy = new RoundRobinPolicy({ cursor: () => cursor++ >>> 0, peek: () => cursor >>> 0 });
    const targets = arrange(policy).targets;
    for (let i = 0; i < 4; i++) expect(policy.pick(request, targets)).toBeDefined();
  });

  test("random reaches every target about equally", async () => {
    const { upstream } = arrange(new RandomPolicy({ random: Math.random }));
    const picked = await names(upstream, 3000);
    for (const name of ["t0", "t1", "t2"]) expect(picked.filter((each) => each === name).length).toBeWithin(850, 1150);
  });

  test("single stays with the first, and costs no promise", () => {
    const { upstream, targets } = arrange(new SinglePolicy());
    expect(upstream.pick(request, [])).toBe(targets[0]!);
    expect(upstream.pick(request, [targets[0]!])).toBe(targets[1]!);
  });
});

describe("a user's policy", () => {
  const broken: readonly [string, RoutingPolicy, string][] = [
    ["throws", { pick: () => { throw new TypeError("oops"); } }, "threw TypeError: oops"],
    ["rejects", { pick: () => Promise.reject(new Error("later")) }, "threw Error: later"],
    ["hangs", { pick: () => new Promise(() => {}) }, "did not answer within 50 ms"],
    ["returns nonsense", { pick: () => "t1" as never }, "returned something that is not one of the targets"],
    ["promises nonsense", { pick: () => Promise.resolve({ name: "t1" } as never) }, "returned something that is not one of the targets"],
  ];
  for (const [what, policy, message] of broken) {
    test(`that ${what} is reported, and round robin decides`, async () => {
      const { upstream, warnings } = arrange(policy, MODULE);
      expect(await names(upstream, 2)).toEqual(["t0", "t1"]);
      expect(warnings).toHaveLength(2);
      expect(warnings[0]).toContain(message);
    });
  }

  test("may wait and may say none", async () => {
    const { upstream, targets } = arrange({ pick: async (_request, all) => all[2] }, MODULE);
    expect(await upstream.pick(request, [])).toBe(targets[2]!);
    expect(await arrange({ pick: () => undefined }, MODULE).upstream.pick(request, [])).toBeUndefined();
  });

  test("thinks once for each pick, also where targets have limits, and again only if its choice is full", async () => {
    let asked = 0;
    const policy: RoutingPolicy = {
      pick: async (_request, all) => {
        asked++;
        return all[0];
      },
    };
    const { upstream } = atWork({ targets: manyTargets(2), max_requests: 1 }, { policy: () => policy });
    const [first, second] = upstream.targets;
    expect([await upstream.pick(request, []), asked]).toEqual([first, 1]);
    upstream.enter(first!);
    expect([await upstream.pick(request, []), asked]).toEqual([second, 3]);
  });

  test("that throws from ended is reported only", () => {
    const { upstream, targets, warnings } = arrange({ pick: (_request, all) => all[0], ended: () => { throw new Error("no"); } }, MODULE);
    upstream.enter(targets[0]!);
    upstream.leave(targets[0]!, { failed: false, milliseconds: 1, status: 200 });
    expect(warnings[0]).toContain("Error: no");
  });
});
