/** What a policy says that it would do is what it does next, and saying it changes nothing. */
import { describe, expect, test } from "bun:test";
import { Flag } from "../../src/scoreboard/scoreboard.ts";
import type { RoutingPolicy } from "../../src/policies/policy.ts";
import type { PickExplanation } from "../../src/upstream/explain.ts";
import type { Target } from "../../src/upstream/target.ts";
import type { Upstream } from "../../src/upstream/upstream.ts";
import { Dice } from "../support/random.ts";
import { ANYBODY, type AtWork, atWork, counts, keyed, manyTargets } from "../support/upstreams.ts";

const DETERMINISTIC: Readonly<Record<string, object>> = {
  "round-robin": { policy: "round-robin" },
  "least-connections": { policy: "least-connections" },
  first: { policy: "first" },
  single: { policy: "single" },
  ketama: { policy: "hash", hash_method: "ketama" },
  maglev: { policy: "hash", hash_method: "maglev" },
  rendezvous: { policy: "hash", hash_method: "rendezvous" },
  "hash with bounded loads": { policy: "hash", hash_method: "ketama", bounded_load: 1.25 },
};
const RANDOM: Readonly<Record<string, object>> = { random: { policy: "random" }, "weighted-random": { policy: "weighted-random" }, p2c: { policy: "p2c" }, "peak-ewma": { policy: "peak-ewma" } };

interface Pair {
  readonly asked: AtWork;
  readonly plain: AtWork;
}

/** The same upstream twice: one that is asked to explain, one that is not. */
function pairOf(dice: Dice, policy: object, length: number): Pair {
  const weighted = dice.chance(0.6);
  const limited = dice.chance(0.3);
  const targets = manyTargets(length, () => ({ ...(weighted ? { weight: dice.below(6) } : {}), ...(limited && dice.chance(0.5) ? { max_requests: 1 + dice.below(3) } : {}), ...(dice.chance(0.1) ? { priority: 1 } : {}) }));
  // Somebody has to be there.
  Object.assign(targets[0]!, { weight: 3 });
  const value = { ...policy, panic_threshold: dice.chance(0.3) ? "50%" : "0%", targets };
  return { asked: atWork(value, { workers: 2 }), plain: atWork(value, { workers: 2 }) };
}

/** The same thing happens to both. */
function happens(dice: Dice, { asked, plain }: Pair): void {
  const slot = dice.below(asked.config.targets.length);
  const worker = dice.below(2);
  const what = dice.random();
  const flags = dice.chance(0.4) ? dice.one([Flag.DOWN, Flag.EJECTED, Flag.DRAINING, Flag.MAINTENANCE, Flag.SILENT]) : 0;
  const share = 100 + dice.below(10) * 100;
  for (const { board, workers } of [asked, plain]) {
    const upstream = workers[worker]!;
    const target = upstream.targets[slot]!;
    if (what < 0.3) board.setFlags(0, slot, flags);
    else if (what < 0.4) board.setShare(0, slot, Math.min(1000, share));
    else if (what < 0.7) upstream.enter(target);
    else if (target.openRequests > 0) upstream.leaveEarly(target, 0);
  }
}

const nameOf = (target: unknown): string => (target as Target | undefined)?.name ?? "none";

function explained(upstream: Upstream, key: string): Promise<PickExplanation> {
  return upstream.explain(key === "" ? ANYBODY : keyed(key), false);
}

describe("a policy that leaves nothing to chance", () => {
  for (const [name, policy] of Object.entries(DETERMINISTIC)) {
    test(`${name}: picks next what it says, and in the order that it says; and asking changes no later pick`, async () => {
      const dice = new Dice(1 + name.length);
      let compared = 0;
      let orders = 0;
      for (let round = 0; round < 24; round++) {
        const pair = pairOf(dice, policy, round % 12 === 11 ? 300 : 1 + dice.below(9));
        for (let step = 0; step < 25; step++) {
          for (let i = dice.below(3); i > 0; i--) happens(dice, pair);
          const worker = dice.below(2);
          const key = dice.chance(0.2) ? "" : `client-${dice.below(1000)}`;
          const request = key === "" ? ANYBODY : keyed(key);
          const asked = pair.asked.workers[worker]!;
          const plain = pair.plain.workers[worker]!;
          const { pick, order, tiers } = await explained(asked, key);
          for (let i = dice.below(3); i > 0; i--) await explained(asked, `other-${i}`);
          const oneTier = tiers.filter(({ load }) => load > 0).length <= 1;
          const real = asked.pick(request, []);
          if (oneTier) {
            expect([round, step, nameOf(pick)]).toEqual([round, step, nameOf(real)]);
            compared++;
          }
          expect([round, step, nameOf(plain.pick(request, []))]).toEqual([round, step, nameOf(real)]);
          if (!oneTier || real === undefined || dice.chance(0.5)) continue;
          // Each one fails: the next is as it was told.
          const tried = [real as Target];
          for (const next of order.slice(1, 5)) {
            const retried = asked.pick(request, tried);
            plain.pick(request, tried.map(({ slot }) => plain.targets[slot]!));
            expect([round, step, nameOf(retried)]).toEqual([round, step, next.name]);
            tried.push(next);
            orders++;
          }
        }
      }
      expect(compared).toBeGreaterThan(400);
      expect(orders).toBeGreaterThan(100);
    });
  }
});

describe("a policy that draws", () => {
  for (const [name, policy] of Object.entries(RANDOM)) {
    test(`${name}: says how likely each target is, and asking draws nothing`, async () => {
      const dice = new Dice(7);
      for (let round = 0; round < 6; round++) {
        const pair = pairOf(dice, policy, 2 + dice.below(5));
        for (let i = 0; i < 12; i++) happens(dice, pair);
        const { upstream } = pair.asked;
        const { tiers } = await explained(upstream, "");
        const loaded = tiers.filter(({ load }) => load > 0);
        if (loaded.length !== 1 || loaded[0]!.policy === undefined) continue;
        const said = new Map((loaded[0]!.policy.scores ?? []).map(({ target, probability }) => [target.name, probability!]));
        if (loaded[0]!.usable.every((target) => target.isFull)) continue;
        expect([...said.values()].reduce((sum, chance) => sum + chance, 0)).toBeCloseTo(1, 9);
        const times = 8_000;
        const seen = counts(Array.from({ length: times }, () => nameOf(upstream.pick(ANYBODY, []))));
        for (const [target, chance] of said) expect(Math.abs((seen[target] ?? 0) / times - chance)).toBeLessThan(0.025);
      }
      const pair = pairOf(dice, policy, 6);
      for (let i = 0; i < 60; i++) {
        await explained(pair.asked.upstream, "");
        expect(nameOf(pair.asked.upstream.pick(ANYBODY, []))).toBe(nameOf(pair.plain.upstream.pick(ANYBODY, [])));
      }
    });

    test(`${name}: says it of second attempts too`, () => {
      const { upstream, config } = atWork({ ...policy, targets: manyTargets(6, (index) => ({ weight: 1 + (index % 3) })) });
      upstream.enter(upstream.targets[1]!);
      upstream.refresh();
      const tried = [upstream.targets[2]!, upstream.targets[5]!];
      const own = upstream.policyOf(0) as unknown as Required<RoutingPolicy<Target>>;
      const { scores } = own.explain(ANYBODY, upstream.usable, tried);
      const times = 8_000;
      const seen = counts(Array.from({ length: times }, () => nameOf(upstream.pick(ANYBODY, tried))));
      expect(scores).toHaveLength(config.targets.length);
      for (const { target, probability } of scores!) expect(Math.abs((seen[target.name] ?? 0) / times - probability!)).toBeLessThan(0.025);
    });
  }
});

describe("what is said of", () => {
  test("round robin: current weights and turns, as nginx has them", async () => {
    const { upstream, config } = atWork({ policy: "round-robin", targets: [{ address: "10.0.0.1:1", weight: 5 }, { address: "10.0.0.2:1" }, { address: "10.0.0.3:1" }] });
    const [a, b, c] = config.targets.map(({ name }) => name) as [string, string, string];
    const credits: (number | undefined)[][] = [];
    for (let turn = 0; turn < 7; turn++) {
      const { tiers } = await explained(upstream, "");
      const { next, scores } = tiers[0]!.policy!;
      if (turn === 0) expect(next!.map(({ name }) => name)).toEqual([a, a, b, a, c, a]);
      credits.push(scores!.map(({ score }) => score));
      upstream.pick(ANYBODY, []);
    }
    // Before each step, with what the step adds: { 5, 1, 1 }, { 3, 2, 2 }, …
    expect(credits).toEqual([[5, 1, 1], [3, 2, 2], [1, 3, 3], [6, -3, 4], [4, -2, 5], [9, -1, -1], [7, 0, 0]]);
  });

  test("hash: the key's choices, and why one is passed over", async () => {
    const { upstream, board } = atWork({ policy: "hash", hash_method: "maglev", panic_threshold: "0%", targets: manyTargets(4) });
    const before = await explained(upstream, "someone");
    const [first, second] = before.order as [Target, Target];
    board.setFlags(0, first.slot, Flag.DOWN);
    const after = await explained(upstream, "someone");
    expect(after.pick).toBe(second);
    const scores = after.tiers[0]!.policy!.scores!;
    expect(scores.find(({ target }) => target === first)).toMatchObject({ score: 1, note: "choice 1 of this key: not usable: passed over" });
    expect(scores.find(({ target }) => target === second)).toMatchObject({ score: 2, note: "choice 2 of this key: takes it" });
    expect(after.tiers[0]!.policy!.note).toMatch(/^"someone" hashes to \d+, entry \d+ of 65537 \(maglev\)$/);
  });

  test("a user's policy: what it says itself; without explain its pick is called only when that is asked for", async () => {
    let picks = 0;
    const value = { policy: "round-robin", targets: manyTargets(3) };
    const silent = atWork(value, { policy: () => ({ pick: (_request, targets) => (picks++, targets[1]) }) });
    const unasked = await silent.upstream.explain(ANYBODY, false);
    expect(unasked).toMatchObject({ pick: undefined, asked: false, hasRoom: true });
    expect(unasked.tiers[0]!.policy!.note).toContain("has no explain");
    expect(picks).toBe(0);
    const asked = await silent.upstream.explain(ANYBODY, true);
    expect([asked.pick?.slot, asked.asked, picks]).toEqual([1, true, 1]);
    expect(asked.tiers[0]!.policy!.note).toContain("its pick was called");
    const telling = atWork(value, { policy: () => ({ pick: () => undefined, explain: (_request, targets) => ({ pick: targets[2], scores: [{ target: targets[2]!, score: 4, note: "mine" }], note: "as I like" }) }) });
    expect(await telling.upstream.explain(ANYBODY, false)).toMatchObject({ pick: { slot: 2 }, order: [{ slot: 2 }] });
    const faulty = atWork(value, { policy: () => ({ pick: () => undefined, explain: () => { throw new TypeError("no"); } }) });
    expect((await faulty.upstream.explain(ANYBODY, false)).tiers[0]!.policy).toEqual({ note: "its explain threw TypeError: no" });
  });

  test("tiers: which is used, with how much, and panic", async () => {
    const { upstream, board } = atWork({ policy: "round-robin", panic_threshold: "50%", targets: [...manyTargets(4), { address: "10.9.0.1:80", priority: 1 }] });
    expect((await explained(upstream, "")).tiers.map(({ load, note }) => [load, note])).toEqual([[1, ""], [0, "not used: the tiers before it can take everything"]]);
    for (const slot of [0, 1]) board.setFlags(0, slot, Flag.DOWN);
    const shared = await explained(upstream, "");
    expect(shared.pick).toBeUndefined();
    expect(shared.tiers.map(({ load }) => Math.round(load * 100))).toEqual([70, 30]);
    expect(shared.tiers[1]!.note).toContain("takes 30 %");
    for (const slot of [2, 4]) board.setFlags(0, slot, Flag.DOWN);
    expect((await explained(upstream, "")).tiers[0]).toMatchObject({ panic: true, note: "panic: only 1 of 4 are healthy, so all 4 are used" });
  });
});
