/** What people said: how one thing that is said changes what was said before, and what is read of it from a disk. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { forgotten, kept, policySaid, readKept, type Said, targetRemoved, targetSaid } from "../../src/supervisor/said.ts";
import { placeProblem, readStateFile, setAside, writeStateFile } from "../../src/supervisor/state-file.ts";

const TOLD = { at: "2026-01-02T03:04:05.000Z", by: "api:test" };
const NOTHING: Said = new Map();
const A = "10.0.0.1:80";

function keysOf(said: Said, target = A): unknown {
  const found = said.get("main")?.targets.get(target);
  return found === undefined ? undefined : { how: found.how, ...found.keys };
}

describe("a target", () => {
  test("keeps what was said of it before, and null takes it back", () => {
    let said = targetSaid(NOTHING, "main", A, { weight: 3 }, true, TOLD);
    said = targetSaid(said, "main", A, { zone: "b" }, true, TOLD);
    expect(keysOf(said)).toEqual({ how: "changed", weight: 3, zone: "b" });
    said = targetSaid(said, "main", A, { weight: null }, true, TOLD);
    expect(keysOf(said)).toEqual({ how: "changed", zone: "b" });
    expect(targetSaid(said, "main", A, { zone: null }, true, TOLD)).toEqual(NOTHING);
  });

  test("that is said to be what it is changes nothing", () => {
    const said = targetSaid(NOTHING, "main", A, { weight: 3 }, false, TOLD);
    expect(targetSaid(said, "main", A, { weight: 3 }, false, { ...TOLD, by: "api:other" })).toBe(said);
  });

  test("of the file is removed until it is put back; another one is forgotten", () => {
    const own = targetRemoved(NOTHING, "main", A, true, TOLD);
    expect(keysOf(own)).toEqual({ how: "removed" });
    expect(targetSaid(own, "main", A, {}, true, TOLD)).toEqual(NOTHING);
    expect(keysOf(targetSaid(own, "main", A, { weight: 2 }, true, TOLD))).toEqual({ how: "changed", weight: 2 });
    expect(targetRemoved(targetSaid(NOTHING, "main", A, { weight: 2 }, false, TOLD), "main", A, false, TOLD)).toEqual(NOTHING);
  });

  test("has one of priority and backup: what was said last", () => {
    const said = targetSaid(NOTHING, "main", A, { backup: true }, true, TOLD);
    expect(keysOf(targetSaid(said, "main", A, { priority: 0 }, true, TOLD))).toEqual({ how: "changed", priority: 0 });
  });
});

describe("what is kept", () => {
  const change = fc.record({ weight: fc.integer({ min: 0, max: 1000 }), zone: fc.constantFrom("a", "b"), priority: fc.integer({ min: 0, max: 5 }), max_requests: fc.nat(1000), drain: fc.boolean() }, { requiredKeys: [] });
  const steps = fc.array(fc.tuple(fc.constantFrom("main", "other"), fc.integer({ min: 1, max: 4 }), fc.oneof(change, fc.constant("removed" as const), fc.constantFrom("p2c", "random", undefined)), fc.boolean()), { maxLength: 30 });

  test("is read as it was", () => {
    fc.assert(
      fc.property(steps, (all) => {
        let said = NOTHING;
        for (const [upstream, number, what, own] of all) {
          const target = `10.0.0.${number}:80`;
          if (what === "removed") said = targetRemoved(said, upstream, target, own, TOLD);
          else if (typeof what === "object") said = targetSaid(said, upstream, target, what, own, TOLD);
          else said = policySaid(said, upstream, what === undefined ? undefined : { policy: what }, TOLD);
        }
        const states = [{ upstream: "main", target: A, state: "drain" as const, leaving: true, ...TOLD }];
        const read = readKept(JSON.parse(JSON.stringify(kept(said, states))));
        // Upstreams with a policy come first; that order means nothing.
        expect(Object.fromEntries(read.said)).toEqual(Object.fromEntries(said));
        expect(read.states).toEqual(states);
        expect(forgotten(forgotten(said, "main"), "other").size).toBe(0);
      }),
    );
  });

  const good = kept(targetSaid(NOTHING, "main", A, { weight: 3 }, false, TOLD), []);
  for (const [what, value, says] of [
    ["another version", { ...good, version: 2 }, "version"],
    ["a key that targets do not have", { ...good, targets: [{ ...good.targets[0]!, keys: { wieght: 1 } }] }, "targets.0.keys"],
    ["a weight out of range", { ...good, targets: [{ ...good.targets[0]!, keys: { weight: -1 } }] }, "targets.0.keys.weight"],
    ["an address that is none", { ...good, targets: [{ ...good.targets[0]!, target: "nowhere" }] }, "targets.0.target"],
    ["a policy's key that is wrong", { ...good, policies: [{ upstream: "main", keys: { policy: "hash", hash_key: "moon" }, ...TOLD }] }, "hash_key"],
    ["a state that there is none of", { ...good, states: [{ upstream: "main", target: A, state: "gone", ...TOLD }] }, "states.0.state"],
    ["an array", [], "expected object"],
  ] as const) {
    test(`is not ${what}`, () => expect(() => readKept(value)).toThrow(says));
  }
});

test("another version's is no damage: it says so, and what is read here", () => {
  for (const version of [0, 2, 17]) expect(() => readKept({ version, said: [] })).toThrow(`it is of version ${version}, and this Fairlead reads version 1`);
});

test("a state file is written whole, and a damaged one is kept aside", () => {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-state-"));
  const path = join(directory, "state.json");
  try {
    expect(readStateFile(path)).toBeUndefined();
    expect(placeProblem(path)).toBeUndefined();
    expect(placeProblem(join(directory, "none", "state.json"))).toContain("its directory does not exist");
    const all = kept(targetSaid(NOTHING, "main", A, { weight: 3 }, false, TOLD), []);
    writeStateFile(path, all);
    expect(readStateFile(path)).toEqual(JSON.parse(JSON.stringify(all)));
    expect(readdirSync(directory)).toEqual(["state.json"]);
    writeFileSync(path, "{");
    expect(() => readStateFile(path)).toThrow();
    expect(setAside(path, "damaged")).toBe(`${path}.damaged`);
    expect(readdirSync(directory)).toEqual(["state.json.damaged"]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
