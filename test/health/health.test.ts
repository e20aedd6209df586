import { describe, expect, test } from "bun:test";
import { failed, formatDuration, inconclusive, passed } from "../../src/health/check.ts";
import { TargetHealth } from "../../src/health/health.ts";

const RISE = 2;
const FALL = 3;

/** The states after each of these results: `+` a success, `-` a failure, `?` an inconclusive one. */
function states(health: TargetHealth, results: string): string {
  return [...results]
    .map((result, at) => {
      health.record(result === "+" ? passed("status 200") : result === "-" ? failed("status 503") : inconclusive("EMFILE"), at, 1, RISE, FALL);
      return health.up ? "U" : "D";
    })
    .join("");
}

describe("a target's health", () => {
  test("goes out after `fall` failures in a row and comes back after `rise` successes", () => {
    expect(states(new TargetHealth(true, 0, true), "--+---+-++")).toBe("UUUUUDDDDU");
  });

  test("is decided by the first result of a new target, either way", () => {
    expect(states(new TargetHealth(true, 0, false), "-+-++")).toBe("DDDDU");
    expect(states(new TargetHealth(false, 0, false), "+--")).toBe("UUU");
    expect(states(new TargetHealth(true, 0, false), "+---")).toBe("UUUD");
  });

  test("does not change by results that say nothing about the target", () => {
    expect(states(new TargetHealth(true, 0, true), "--??-")).toBe("UUUUD");
    expect(states(new TargetHealth(false, 0, false), "??+")).toBe("DDU");
  });

  test("remembers the last result, since when, and the counts", () => {
    const health = new TargetHealth(true, 5, true);
    expect(health.record(failed("reset"), 10, 1.5, 2, 1)).toBe(true);
    expect(health).toMatchObject({ up: false, since: 10, successes: 0, failures: 1, lastResult: { ok: false, reason: "reset", at: 10, milliseconds: 1.5 } });
    expect(health.record(passed("connected"), 20, 1, 2, 1)).toBe(false);
    expect(health).toMatchObject({ up: false, since: 10, successes: 1, failures: 0 });
  });
});

test("durations read as they are written in the config", () => {
  expect([250, 1000, 1500, 2000, 60_000, 90_000, 1234].map(formatDuration)).toEqual(["250ms", "1s", "1.5s", "2s", "1m", "90s", "1234ms"]);
});
