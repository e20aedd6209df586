import { describe, expect, test } from "bun:test";
import { Dice } from "../support/random.ts";
import { judge, type Sample, theilSen, windows } from "./judge.ts";

const MIB = 1024 * 1024;
/** What ten minutes leave after the warm-up, sampled each second; and an hour. */
const SECONDS = 420;
const HOUR = 3_600;
/** Of one worker's exchanges in a second. */
const RATE = 125;
/** Of resident memory, per hour, in a run of ten minutes, and in one of an hour. */
const ALLOWED = 32 * MIB;
const ALLOWED_HOUR = 14 * MIB;
const SEEDS = 60;

type Shape = (second: number, dice: Dice) => number;

function series(seed: number, shapes: readonly Shape[], length = SECONDS): Sample[] {
  const dice = new Dice(seed);
  return Array.from({ length }, (_, at) => ({ at, value: shapes.reduce((sum, shape) => sum + shape(at, dice), 0) }));
}

const level = (value: number): Shape => () => value;
const leak = (aSecond: number): Shape => (second) => second * aSecond;
/** Evenly distributed, this much up or down. */
const noise = (amplitude: number): Shape => (_, dice) => (dice.random() * 2 - 1) * amplitude;
/** Of a garbage collector. */
const sawtooth = (height: number, period: number, phase: number): Shape => (second) => (((second + phase * period) % period) / period) * height;
/** Pages that an allocator takes less and less of. */
const filling = (height: number, constant: number): Shape => (second) => height * (1 - Math.exp(-second / constant));
const step = (height: number, at: number): Shape => (second) => (second < at ? 0 : height);
/** Now and then much more, for a second. */
const bursts = (height: number): Shape => (_, dice) => (dice.chance(0.05) ? height : 0);

/** How many of many seeds are judged so. */
function verdicts(take: "lowest" | "median", allowance: number, shapesOf: (dice: Dice) => readonly Shape[], length = SECONDS): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { verdict } = judge(series(seed, shapesOf(new Dice(seed + 1_000_000)), length), take, allowance);
    counts[verdict] = (counts[verdict] ?? 0) + 1;
  }
  return counts;
}

describe("a slope", () => {
  test("is exact on a line, and its interval is that point", () => {
    const { slope, low, high } = theilSen(windows(series(1, [level(5), leak(2)]), "median"));
    expect([slope, low, high].map((each) => Math.round(each))).toEqual([7_200, 7_200, 7_200]);
  });

  test("is within its interval in about 95 % of noisy series", () => {
    let within = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const { low, high } = theilSen(windows(series(seed, [leak(1), noise(500)]), "median"));
      if (low <= 3_600 && high >= 3_600) within++;
    }
    expect(within).toBeGreaterThan(180);
    expect(within).toBeLessThan(200);
  });

  test("is not moved by a tenth of the points being anywhere", () => {
    const points = windows(series(1, [leak(10), noise(1)]), "median").map((point, index) => (index % 10 === 3 ? { ...point, value: 1e9 } : point));
    expect(theilSen(points).slope / 36_000).toBeCloseTo(1, 1);
  });
});

describe("is no leak", () => {
  test("noise around a level", () => {
    expect(verdicts("lowest", ALLOWED, () => [level(80 * MIB), noise(2 * MIB)])).toEqual({ steady: SEEDS });
  });

  test("a garbage collector's sawtooth, of any period", () => {
    const counts = verdicts("lowest", ALLOWED, (dice) => [level(60 * MIB), sawtooth(20 * MIB, 5 + dice.below(90), dice.random()), noise(MIB)]);
    expect(counts["growing"] ?? 0).toBe(0);
  });

  test("an allocator that fills itself", () => {
    expect(verdicts("lowest", ALLOWED, (dice) => [level(60 * MIB), filling(15 * MIB, 30 + dice.below(50)), noise(MIB)])["growing"] ?? 0).toBe(0);
  });

  test("one jump, wherever it is", () => {
    expect(verdicts("lowest", ALLOWED, (dice) => [level(60 * MIB), step(10 * MIB, dice.below(SECONDS)), noise(MIB)])["growing"] ?? 0).toBe(0);
  });

  test("bursts of connections", () => {
    expect(verdicts("lowest", 60, () => [level(60), noise(15), bursts(200)])).toEqual({ steady: SEEDS });
  });

  test("what grows by less than it may", () => {
    expect(verdicts("lowest", ALLOWED, () => [level(60 * MIB), leak((ALLOWED / 3_600) * 0.3), noise(MIB)])["growing"] ?? 0).toBe(0);
  });
});

describe("is a leak", () => {
  const leaking = (dice: Dice): Shape[] => [level(60 * MIB), sawtooth(10 * MIB, 5 + dice.below(30), dice.random()), filling(5 * MIB, 60), noise(MIB)];

  test("100 bytes an exchange, in a sawtooth and noise, in an hour", () => {
    expect(verdicts("lowest", ALLOWED_HOUR, (dice) => [...leaking(dice), leak(100 * RATE)], HOUR)).toEqual({ growing: SEEDS });
  });

  test("the same in ten minutes, of twice as many exchanges; with half of those it is not overlooked", () => {
    expect(verdicts("lowest", ALLOWED, (dice) => [...leaking(dice), leak(200 * RATE)])).toEqual({ growing: SEEDS });
    expect(verdicts("lowest", ALLOWED, (dice) => [...leaking(dice), leak(100 * RATE)])["steady"] ?? 0).toBe(0);
  });

  test("a descriptor for each 1,000 connections", () => {
    expect(verdicts("lowest", 90, () => [level(60), noise(12), bursts(100), (second) => Math.floor((second * RATE * 0.5) / 1_000)])).toEqual({ growing: SEEDS });
  });

  test("a loop that is later and later", () => {
    expect(verdicts("median", 0.06, () => [level(0.005), noise(0.002), leak(0.02 / SECONDS)])).toEqual({ growing: SEEDS });
  });
});

test("says that it cannot say when the series is too short, or its noise too large", () => {
  expect(judge(series(1, [leak(MIB)]).slice(0, 40), "lowest", ALLOWED).verdict).toBe("short");
  expect(judge([], "lowest", ALLOWED).verdict).toBe("short");
  expect(judge(series(2, [level(60 * MIB), noise(100 * MIB)]), "median", ALLOWED / 100).verdict).toBe("unclear");
});
