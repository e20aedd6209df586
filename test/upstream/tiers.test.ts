/** Tiers: what each gets by its health, as Envoy documents it, and what an upstream makes of that. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { silentLog } from "../../src/observability/log.ts";
import type { RoutingPolicy } from "../../src/policies/policy.ts";
import { RoundRobinPolicy } from "../../src/policies/round-robin.ts";
import { Flag, Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import { LatencyClock } from "../../src/upstream/latency.ts";
import { Target } from "../../src/upstream/target.ts";
import { tierShares } from "../../src/upstream/tiers.ts";
import { Upstream } from "../../src/upstream/upstream.ts";
import { randomFrom } from "../support/random.ts";
import { ANYBODY, type AtWork, atWork, counts, ManualClock, manyTargets, snapshotOf } from "../support/upstreams.ts";

/** Loads in whole percent, and panics, of tiers of a hundred targets each. */
function shares(healthy: readonly number[], panicThreshold = 50, overprovisioning = 1.4): { percents: number[]; panics: boolean[] } {
  const all = tierShares(
    healthy.map((each) => ({ wanted: 100, healthy: each })),
    overprovisioning,
    panicThreshold,
  );
  return { percents: all.map(({ load }) => Math.round(load * 100)), panics: all.map(({ panic }) => panic) };
}

describe("shares", () => {
  test("of two tiers are those of Envoy's table", () => {
    for (const [healthy, first] of [[100, 100], [72, 100], [71, 99], [50, 70], [25, 35], [0, 0]] as const) expect(shares([healthy, 100]).percents).toEqual([first, 100 - first]);
  });

  test("of three tiers are those of Envoy's table", () => {
    const table: readonly [number[], number[]][] = [
      [[100, 100, 100], [100, 0, 0]],
      [[72, 72, 100], [100, 0, 0]],
      [[71, 71, 100], [99, 1, 0]],
      [[50, 50, 100], [70, 30, 0]],
      [[25, 100, 100], [35, 65, 0]],
      [[25, 25, 100], [35, 35, 30]],
      [[25, 25, 20], [36, 36, 29]],
    ];
    for (const [healthy, percents] of table) expect(shares(healthy).percents).toEqual(percents);
  });

  test("and panics of two tiers are those of Envoy's table", () => {
    const table: readonly [number[], number[], boolean[]][] = [
      [[72, 72], [100, 0], [false, false]],
      [[71, 71], [99, 1], [false, false]],
      [[50, 60], [70, 30], [false, false]],
      [[25, 100], [35, 65], [false, false]],
      [[25, 25], [50, 50], [true, true]],
      [[5, 65], [7, 93], [true, false]],
    ];
    for (const [healthy, percents, panics] of table) expect(shares(healthy)).toEqual({ percents, panics });
  });

  test("without overprovisioning every sick target's part spills over", () => {
    expect(shares([90, 100], 50, 1).percents).toEqual([90, 10]);
  });

  test("nobody healthy: nobody gets anything, and nobody panics", () => {
    expect(shares([0, 0])).toEqual({ percents: [0, 0], panics: [false, false] });
    expect(tierShares([{ wanted: 0, healthy: 0 }], 1.4, 50)).toEqual([{ load: 0, panic: false }]);
  });

  test("a threshold of 0 never panics", () => {
    expect(shares([1, 1], 0).panics).toEqual([false, false]);
  });

  test("a tier without wanted targets gets nothing", () => {
    expect(tierShares([{ wanted: 0, healthy: 0 }, { wanted: 3, healthy: 3 }], 1.4, 50)).toEqual([{ load: 0, panic: false }, { load: 1, panic: false }]);
  });

  const someTiers = fc.array(
    fc.integer({ min: 0, max: 12 }).chain((wanted) => fc.record({ wanted: fc.constant(wanted), healthy: fc.integer({ min: 0, max: wanted }) })),
    { minLength: 1, maxLength: 6 },
  );

  test("are never below 0 and come to 1, or to 0 when nobody is healthy; without health there is no share", () => {
    fc.assert(
      fc.property(someTiers, fc.double({ min: 1, max: 3, noNaN: true }), (tiers, overprovisioning) => {
        const all = tierShares(tiers, overprovisioning, 50);
        const sum = all.reduce((total, { load }) => total + load, 0);
        expect(sum).toBeCloseTo(tiers.some(({ healthy }) => healthy > 0) ? 1 : 0, 9);
        for (const [index, { load }] of all.entries()) {
          expect(load).toBeGreaterThanOrEqual(0);
          if (tiers[index]!.healthy === 0) expect(load).toBe(0);
        }
      }),
      { seed: 1 },
    );
  });

  test("a tier that is not needed gets nothing at all, not even what rounding leaves", () => {
    const tiers = [{ wanted: 10, healthy: 7 }, { wanted: 10, healthy: 3 }, { wanted: 10, healthy: 10 }];
    expect(tierShares(tiers, 1, 0)[2]!.load).toBe(0);
  });
});

/** `sizes` targets of priority 0, 1, …; the names of tier t begin with `10.t.`. */
function tiered(sizes: readonly number[], more: object = {}): AtWork & { share(times: number): Record<string, number>; down(...slots: number[]): void } {
  const targets = sizes.flatMap((size, priority) => Array.from({ length: size }, (_, index) => ({ address: `10.${priority}.0.${index}:80`, priority })));
  const work = atWork({ panic_threshold: "0%", targets, ...more });
  return {
    ...work,
    share: (times) => counts(work.pick(times).map((name) => name.slice(0, 4))),
    down: (...slots) => slots.forEach((slot) => void work.board.setFlags(0, slot, Flag.DOWN)),
  };
}

describe("an upstream", () => {
  test("uses its backup only when too few of the others are healthy, and leaves it when they are back", () => {
    const targets = manyTargets(5, (index) => (index === 4 ? { backup: true } : {}));
    const { board, config, pick } = atWork({ panic_threshold: "0%", targets });
    const backup = config.targets[4]!.name;
    expect(pick(100)).not.toContain(backup);
    board.setFlags(0, 0, Flag.DOWN);
    // 3 of 4 times 1.4 is enough.
    expect(pick(100)).not.toContain(backup);
    board.setFlags(0, 1, Flag.DOWN);
    expect(counts(pick(2000))[backup]).toBeWithin(520, 680);
    board.setFlags(0, 2, Flag.DOWN);
    board.setFlags(0, 3, Flag.DOWN);
    expect(counts(pick(100))).toEqual({ [backup]: 100 });
    for (const slot of [0, 1, 2, 3]) board.setFlags(0, slot, 0);
    expect(pick(100)).not.toContain(backup);
  });

  test("spills over by health, and each tier goes round by itself", () => {
    const { pick, config, down } = tiered([4, 3]);
    down(0, 1);
    const all = counts(pick(9000));
    const [, , c, d, e, f, g] = config.targets.map(({ name }) => all[name] ?? 0);
    expect(c! + d!).toBeWithin(6100, 6500);
    expect(Math.abs(c! - d!)).toBeLessThanOrEqual(1);
    expect(Math.max(e!, f!, g!) - Math.min(e!, f!, g!)).toBeLessThanOrEqual(1);
  });

  test("spills over through three tiers", () => {
    const { share, down } = tiered([4, 4, 1]);
    down(0, 1, 2, 4, 5, 6);
    // 35 %, 35 %, 30 %.
    const all = share(10_000);
    expect(all["10.0"]).toBeWithin(3300, 3700);
    expect(all["10.1"]).toBeWithin(3300, 3700);
    expect(all["10.2"]).toBeWithin(2800, 3200);
  });

  test("leaves numbers out: priorities 1 and 5 are its first and second tier", () => {
    const { board, config, pick } = atWork({ panic_threshold: "0%", targets: [{ address: "10.0.0.1:80", priority: 5 }, { address: "10.0.0.2:80", priority: 1 }] });
    expect(config.targets.map(({ tier }) => tier)).toEqual([1, 0]);
    expect(counts(pick(10))).toEqual({ "10.0.0.2:80": 10 });
    board.setFlags(0, config.targets[1]!.slot, Flag.DOWN);
    expect(counts(pick(10))).toEqual({ "10.0.0.1:80": 10 });
  });

  test("who drains is not missed: the others' share of health is counted without it", () => {
    const { board, share } = tiered([3, 1]);
    board.setFlags(0, 0, Flag.DRAINING);
    board.setFlags(0, 1, Flag.MAINTENANCE);
    expect(share(100)).toEqual({ "10.0": 100 });
    board.setFlags(0, 2, Flag.DRAINING);
    expect(share(100)).toEqual({ "10.1": 100 });
  });

  test("an attempt that failed in one tier goes on in another that has a share, and only then in one that has none", () => {
    const { upstream, down } = tiered([2, 1, 1]);
    down(0);
    const [, b, c, d] = upstream.targets;
    for (let i = 0; i < 50; i++) {
      expect(upstream.pick(ANYBODY, [b!])).toBe(c!);
      expect(upstream.pick(ANYBODY, [c!])).toBe(b!);
      expect(upstream.pick(ANYBODY, [b!, c!])).toBe(d!);
      expect(upstream.pick(ANYBODY, [b!, c!, d!])).toBeUndefined();
    }
    expect(upstream.usable).not.toContain(d!);
  });
});

describe("panic", () => {
  test("with too few healthy all are used, but not who is withdrawn; with none healthy nobody is", () => {
    const { board, config, pick, upstream } = atWork({ panic_threshold: "50%", targets: manyTargets(6) });
    board.setFlags(0, 5, Flag.DRAINING);
    for (const slot of [0, 1]) board.setFlags(0, slot, Flag.DOWN);
    // 3 of 5.
    expect(upstream.usable).toHaveLength(3);
    board.setFlags(0, 2, Flag.EJECTED);
    expect(counts(pick(50))).toEqual(Object.fromEntries(config.targets.slice(0, 5).map(({ name }) => [name, 10])));
    board.setFlags(0, 3, Flag.SILENT);
    expect(upstream.usable).toHaveLength(5);
    board.setFlags(0, 4, Flag.DOWN);
    expect(upstream.usable).toHaveLength(0);
    expect(upstream.pick(ANYBODY, [])).toBeUndefined();
    board.setFlags(0, 0, 0);
    board.setFlags(0, 1, 0);
    board.setFlags(0, 2, 0);
    expect(upstream.usable.map(({ slot }) => slot)).toEqual([0, 1, 2]);
  });

  test("exactly at the threshold there is none", () => {
    const { upstream, board } = atWork({ panic_threshold: "50%", targets: manyTargets(4) });
    for (const slot of [0, 1]) board.setFlags(0, slot, Flag.DOWN);
    expect(upstream.usable).toHaveLength(2);
  });

  test("is at 50 % unless said otherwise, and off with fewer than 4 targets", () => {
    expect(atWork({ targets: manyTargets(4) }).config.panicThreshold).toBe(50);
    const { board, upstream } = atWork({ targets: manyTargets(3) });
    for (const slot of [0, 1]) board.setFlags(0, slot, Flag.DOWN);
    expect(upstream.usable).toHaveLength(1);
  });

  test("is not while another tier can take what this one cannot", () => {
    const { down, share, upstream } = tiered([4, 4], { panic_threshold: "50%" });
    down(0, 1, 2);
    expect(upstream.usable).toHaveLength(5);
    expect(share(1000)["10.1"]).toBeWithin(600, 700);
    down(4, 5, 6);
    expect(upstream.usable).toHaveLength(8);
  });
});

describe("prefer_zone", () => {
  function inZone(zone: string, targets: readonly object[], prefer = true): { board: Scoreboard; names(times: number): Record<string, number> } {
    const config = snapshotOf({ zone, upstreams: [{ name: "main", prefer_zone: prefer, panic_threshold: "0%", targets }] }).upstreams[0]!;
    const clock = new ManualClock();
    const latencyClock = new LatencyClock(clock);
    const board = Scoreboard.local({ workers: 1, targets: 16, upstreams: 1 });
    const policyOf = (_tier: number, context: ConstructorParameters<typeof RoundRobinPolicy>[0]): RoutingPolicy => new RoundRobinPolicy(context);
    const host = { board, slot: 0, clock, latencyClock, log: silentLog(), random: randomFrom(1), report: () => {} };
    const upstream = new Upstream(config, config.targets.map((target) => new Target(target, board, 0, latencyClock)), policyOf, host);
    return { board, names: (times) => counts(Array.from({ length: times }, () => (upstream.pick(ANYBODY, []) as Target | undefined)?.name ?? "none")) };
  }

  const TARGETS = [
    { address: "east-1:1", zone: "east" },
    { address: "west-1:1", zone: "west" },
    { address: "east-2:1", zone: "east" },
    { address: "nowhere:1" },
    { address: "backup-west:1", zone: "west", backup: true },
    { address: "backup-east:1", zone: "east", backup: true },
  ];

  test("the own zone gets everything while enough of it is healthy", () => {
    expect(inZone("east", TARGETS).names(100)).toEqual({ "east-1:1": 50, "east-2:1": 50 });
    expect(inZone("west", TARGETS).names(100)).toEqual({ "west-1:1": 100 });
  });

  test("what it cannot take goes to the other zones before any backup", () => {
    const { board, names } = inZone("east", TARGETS);
    board.setFlags(0, 0, Flag.DOWN);
    const all = names(2000);
    expect(all["east-2:1"]).toBeWithin(1320, 1480);
    expect(Object.keys(all).toSorted()).toEqual(["east-2:1", "nowhere:1", "west-1:1"]);
    board.setFlags(0, 2, Flag.DOWN);
    expect(names(100)).toEqual({ "west-1:1": 50, "nowhere:1": 50 });
  });

  test("of the backups too those of the own zone come first", () => {
    const { board, names } = inZone("east", TARGETS);
    for (const slot of [0, 1, 2, 3]) board.setFlags(0, slot, Flag.DOWN);
    expect(names(10)).toEqual({ "backup-east:1": 10 });
  });

  test("a zone without targets of its own uses all the others", () => {
    expect(inZone("north", TARGETS).names(99)).toEqual({ "east-1:1": 25, "west-1:1": 25, "east-2:1": 25, "nowhere:1": 24 });
  });

  test("without it zones do not matter", () => {
    expect(Object.keys(inZone("east", TARGETS, false).names(100))).toHaveLength(4);
  });
});
