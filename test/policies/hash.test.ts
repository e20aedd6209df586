/** hash: a key's target is the same everywhere, few keys move when targets come and go, and bounded loads hold. */
import { describe, expect, test } from "bun:test";
import { silentLog } from "../../src/observability/log.ts";
import { Flag } from "../../src/scoreboard/scoreboard.ts";
import { LatencyClock } from "../../src/upstream/latency.ts";
import type { Target } from "../../src/upstream/target.ts";
import { Upstream } from "../../src/upstream/upstream.ts";
import { ANYBODY, type AtWork, atWork, counts, keyed, manyTargets } from "../support/upstreams.ts";

const METHODS = ["ketama", "maglev", "rendezvous"] as const;
type Method = (typeof METHODS)[number];

const KEYS = Array.from({ length: 20_000 }, (_, i) => `client-${i}`);
const FEW_KEYS = KEYS.slice(0, 2000);

function hashing(hash_method: Method, targets: readonly object[], more: object = {}, workers = 1): AtWork {
  return atWork({ policy: "hash", hash_method, panic_threshold: "0%", targets, ...more }, { workers });
}

function nameOf(upstream: Upstream, key: string, tried: readonly Target[] = []): string {
  return (upstream.pick(keyed(key), tried) as Target | undefined)?.name ?? "none";
}

const mapping = (upstream: Upstream, keys: readonly string[] = KEYS): string[] => keys.map((key) => nameOf(upstream, key));

/** The part of the keys that have another target, of those that `of` is true for. */
function moved(before: readonly string[], after: readonly string[], of: (name: string) => boolean = () => true): number {
  const relevant = before.filter(of);
  return before.filter((name, i) => of(name) && name !== after[i]).length / relevant.length;
}

const withWeights = (weights: readonly number[]): object[] => manyTargets(weights.length, (index) => ({ weight: weights[index]! }));

for (const method of METHODS) {
  describe(method, () => {
    test("the same key has the same target, whoever asks and however often", () => {
      const { workers } = hashing(method, manyTargets(10), {}, 3);
      const first = mapping(workers[0]!, FEW_KEYS);
      for (const upstream of workers) expect(mapping(upstream, FEW_KEYS)).toEqual(first);
    });

    test("two instances agree, with weights too", () => {
      const targets = withWeights([1, 2, 3, 5, 8, 1, 1]);
      expect(mapping(hashing(method, targets).upstream)).toEqual(mapping(hashing(method, targets).upstream));
    });

    test("every target has about its even share", () => {
      const shares = Object.values(counts(mapping(hashing(method, manyTargets(10)).upstream)));
      expect(shares).toHaveLength(10);
      const tolerance = method === "ketama" ? 600 : 200;
      for (const share of shares) expect(share).toBeWithin(2000 - tolerance, 2000 + tolerance);
    });

    test("weights shift the shares; weight 0 gets nothing", () => {
      const weights = [1, 2, 0, 4, 1];
      const { upstream, config } = hashing(method, withWeights(weights));
      const all = counts(mapping(upstream));
      for (const [index, { name }] of config.targets.entries()) {
        const due = (KEYS.length * weights[index]!) / 8;
        expect(Math.abs((all[name] ?? 0) - due)).toBeLessThanOrEqual(due * (method === "ketama" ? 0.3 : 0.1));
      }
    });

    test("a target that is down: its keys spread over the others, all other keys stay, and it gets its own back", () => {
      const { board, config, upstream } = hashing(method, manyTargets(10));
      const before = mapping(upstream);
      const { name: gone, slot } = config.targets[3]!;
      board.setFlags(0, slot, Flag.DOWN);
      const during = mapping(upstream);
      expect(moved(before, during, (name) => name !== gone)).toBe(0);
      const refuge = counts(during.filter((_, i) => before[i] === gone));
      expect(refuge[gone]).toBeUndefined();
      expect(Object.keys(refuge)).toHaveLength(9);
      for (const share of Object.values(refuge)) expect(share).toBeLessThan(before.filter((name) => name === gone).length / 3);
      board.setFlags(0, slot, 0);
      expect(mapping(upstream)).toEqual(before);
    });

    test("with all but one down that one gets everything", () => {
      const { board, config, upstream } = hashing(method, manyTargets(10), { panic_threshold: "0%" });
      for (const { slot } of config.targets.slice(1)) board.setFlags(0, slot, Flag.DOWN);
      expect(counts(mapping(upstream, FEW_KEYS))).toEqual({ [config.targets[0]!.name]: FEW_KEYS.length });
    });

    test("a target that was tried is passed over, and a key's second choice is always the same", () => {
      const { upstream } = hashing(method, manyTargets(6));
      for (const key of FEW_KEYS) {
        const first = upstream.pick(keyed(key), []) as Target;
        const second = nameOf(upstream, key, [first]);
        expect(second).not.toBe(first.name);
        expect(nameOf(upstream, key, [first])).toBe(second);
      }
      expect(nameOf(upstream, "any", upstream.targets)).toBe("none");
    });

    test("a target that starts slowly has that part of its own keys, always the same ones, and more as it goes on", () => {
      const { board, config, upstream } = hashing(method, manyTargets(5));
      const before = mapping(upstream);
      const { name, slot } = config.targets[2]!;
      let last = new Set<string>();
      for (const share of [100, 500, 900]) {
        board.setShare(0, slot, share);
        const during = mapping(upstream);
        expect(moved(before, during, (each) => each !== name)).toBe(0);
        const kept = new Set(KEYS.filter((_, i) => during[i] === name));
        expect(kept.size / before.filter((each) => each === name).length).toBeWithin(share / 1000 - 0.05, share / 1000 + 0.05);
        expect([...last].every((key) => kept.has(key))).toBeTrue();
        last = kept;
      }
    });

    test("without a key it goes round", () => {
      const { config, pick } = hashing(method, manyTargets(4), {}, 2);
      const order = config.targets.map(({ name }) => name);
      expect(pick(8, ANYBODY)).toEqual([...order, ...order]);
    });

    test("one target that is full: its keys go to their next one", () => {
      const { upstream } = hashing(method, manyTargets(4), { max_requests: 1 });
      const target = upstream.pick(keyed("k"), []) as Target;
      expect(upstream.enter(target)).toBeTrue();
      const other = nameOf(upstream, "k");
      expect(other).not.toBe(target.name);
      expect(other).not.toBe("none");
      upstream.leave(target, { failed: false, milliseconds: 1, status: 200 });
      expect(nameOf(upstream, "k")).toBe(target.name);
    });
  });
}

describe("another configuration", () => {
  const without = (targets: readonly object[], index: number): object[] => targets.filter((_, at) => at !== index);

  for (const method of ["ketama", "rendezvous"] as const) {
    test(`${method}: of a target that is taken out the keys move and no others`, () => {
      const targets = manyTargets(10);
      const { config, upstream } = hashing(method, targets);
      const before = mapping(upstream);
      const after = mapping(hashing(method, without(targets, 4)).upstream);
      const gone = config.targets[4]!.name;
      expect(moved(before, after, (name) => name !== gone)).toBe(0);
      expect(moved(before, after)).toBeWithin(0.07, 0.14);
    });

    for (const [what, weights] of [["the same common factor as before", [2, 1, 3, 2, 2, 1, 1, 2, 3, 1]], ["another common factor", [2, 2, 2, 2, 1, 2, 2, 2, 2, 2]]] as const) {
      test(`${method}: of a target that is taken out the keys move and no others where the weights left have ${what}`, () => {
        const targets = withWeights(weights);
        const { config, upstream } = hashing(method, targets);
        const before = mapping(upstream);
        const after = mapping(hashing(method, without(targets, 4)).upstream);
        const gone = config.targets[4]!.name;
        expect(moved(before, after, (name) => name !== gone)).toBe(0);
      });
    }

    test(`${method}: the order in the file does not matter`, () => {
      const targets = withWeights([1, 2, 3, 1, 1, 2, 1, 1, 3, 1]);
      expect(mapping(hashing(method, targets.toReversed()).upstream)).toEqual(mapping(hashing(method, targets).upstream));
    });
  }

  for (const method of ["maglev", "rendezvous"] as const) {
    test(`${method}: weights count by their ratio only`, () => {
      expect(mapping(hashing(method, withWeights([10, 20, 30])).upstream)).toEqual(mapping(hashing(method, withWeights([1, 2, 3])).upstream));
    });
  }

  test("maglev: of a target that is taken out the keys move, and a few more", () => {
    const targets = manyTargets(10);
    const { config, upstream } = hashing("maglev", targets);
    const before = mapping(upstream);
    const after = mapping(hashing("maglev", without(targets, 4)).upstream);
    const gone = config.targets[4]!.name;
    expect(moved(before, after, (name) => name !== gone)).toBeLessThan(0.04);
    expect(moved(before, after)).toBeWithin(0.09, 0.14);
  });

  test("maglev: every target has the same part of the table, to one percent", () => {
    const { upstream } = hashing("maglev", manyTargets(7));
    const shares = Object.values(counts(mapping(upstream, Array.from({ length: 200_000 }, (_, i) => `k${i}`))));
    for (const share of shares) expect(share / (200_000 / 7)).toBeWithin(0.98, 1.02);
  });
});

describe("bounded_load", () => {
  for (const method of METHODS) {
    test(`${method}: one hot key fills no target beyond its bound while requests stay open`, () => {
      const { workers } = hashing(method, manyTargets(10), { bounded_load: 1.25 }, 3);
      for (let open = 1; open <= 400; open++) {
        const worker = workers[open % 3]!;
        worker.enter(worker.pick(keyed("hot"), []) as Target);
        const most = Math.max(...worker.targets.map(({ openRequests }) => openRequests));
        expect(most).toBeLessThanOrEqual(Math.ceil((1.25 * open) / 10));
      }
    });

    test(`${method}: the bound goes by weight`, () => {
      const weights = [1, 2, 5];
      const { upstream } = hashing(method, withWeights(weights), { bounded_load: 1.5 });
      for (let open = 1; open <= 400; open++) {
        upstream.enter(upstream.pick(keyed("hot"), []) as Target);
        for (const [index, { openRequests }] of upstream.targets.entries()) expect(openRequests).toBeLessThanOrEqual(Math.ceil((1.5 * open * weights[index]!) / 8));
      }
    });

    test(`${method}: the bound holds for those that are left when some are down`, () => {
      const { board, config, upstream } = hashing(method, manyTargets(10), { bounded_load: 1.25 });
      for (const { slot } of config.targets.slice(0, 5)) board.setFlags(0, slot, Flag.DOWN);
      for (let open = 1; open <= 200; open++) {
        upstream.enter(upstream.pick(keyed("hot"), []) as Target);
        expect(Math.max(...upstream.targets.map(({ openRequests }) => openRequests))).toBeLessThanOrEqual(Math.ceil((1.25 * open) / 5));
      }
    });

    test(`${method}: an idle set sends every key home, and so does a busy one once the load is over`, () => {
      const home = mapping(hashing(method, manyTargets(10)).upstream, FEW_KEYS);
      const { upstream } = hashing(method, manyTargets(10), { bounded_load: 1.25 });
      expect(mapping(upstream, FEW_KEYS)).toEqual(home);
      const open = Array.from({ length: 60 }, () => upstream.pick(keyed("hot"), []) as Target).filter((target) => upstream.enter(target));
      for (const target of open) upstream.leave(target, { failed: false, milliseconds: 1, status: 200 });
      expect(mapping(upstream, FEW_KEYS)).toEqual(home);
    });
  }

  test("of two tiers that share the traffic, each target stays within its bound of what its tier has", () => {
    const targets = manyTargets(8, (index) => ({ priority: index < 4 ? 0 : 1 }));
    const { board, upstream } = hashing("ketama", targets, { bounded_load: 1.25 });
    // Of tier 0 half is healthy: it gets 70 %, tier 1 the rest.
    for (const slot of [0, 1]) board.setFlags(0, slot, Flag.DOWN);
    for (let open = 1; open <= 1000; open++) upstream.enter(upstream.pick(keyed("hot"), []) as Target);
    const open = upstream.targets.map(({ openRequests }) => openRequests);
    const ofTier = open[2]! + open[3]!;
    expect(ofTier).toBeWithin(650, 750);
    expect(Math.max(...open)).toBeLessThanOrEqual(Math.ceil((1.25 * ofTier) / 2) + 1);
  });
});

test("after a reload the bound goes by the targets of now, though the policy is the same one", () => {
  const before = atWork({ policy: "hash", bounded_load: 1.25, panic_threshold: "off", targets: manyTargets(4) });
  const { config, board, clock, upstream: old } = before;
  const latencyClock = new LatencyClock(clock);
  const host = { board, slot: 0, clock, latencyClock, log: silentLog(), random: () => 0, report: () => {} };
  const upstream = new Upstream(config, old.targets, (tier) => old.policyOf(tier)!, host, old);
  // Two go out after the reload, with many requests still open.
  for (const slot of [0, 1]) for (let i = 0; i < 100; i++) upstream.enter(upstream.targets[slot]!);
  for (const slot of [0, 1]) board.setFlags(0, slot, Flag.DOWN);
  for (let i = 0; i < 40; i++) upstream.enter(upstream.pick(keyed("hot"), []) as Target);
  const open = upstream.targets.slice(2).map(({ openRequests }) => openRequests);
  expect(open.reduce((a, b) => a + b)).toBe(40);
  expect(Math.max(...open)).toBeLessThanOrEqual(Math.ceil(1.25 * 20));
});
