/** A quantile of recent durations: within a bucket of the exact one, and it forgets. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { RecentQuantile } from "../../src/upstream/quantile.ts";

/** A bucket's upper end ÷ its lower one. */
const BUCKET = 2 ** (1 / 8);

function of(durations: readonly number[]): RecentQuantile {
  const quantile = new RecentQuantile();
  for (const each of durations) quantile.observe(each);
  return quantile;
}

const times = (n: number, milliseconds: number): number[] => Array.from({ length: n }, () => milliseconds);

describe("a quantile", () => {
  test("is not known from fewer than 50 durations", () => {
    expect(of([]).at(95)).toBeUndefined();
    expect(of(times(49, 10)).at(95)).toBeUndefined();
    expect(of(times(50, 10)).at(95)).toBeWithin(10, 10 * BUCKET);
  });

  test("of even durations lies where it should", () => {
    const quantile = of(Array.from({ length: 1000 }, (_, i) => i + 1));
    for (const percent of [50, 90, 95, 99, 99.9, 100]) {
      const exact = percent * 10;
      expect(quantile.at(percent)!).toBeGreaterThanOrEqual(exact);
      expect(quantile.at(percent)!).toBeLessThanOrEqual(exact * BUCKET * 1.0001);
    }
  });

  test("is not moved by the few above it", () => {
    const quantile = of([...times(96, 10), ...times(4, 10_000)]);
    expect(quantile.at(95)!).toBeLessThan(11);
    expect(quantile.at(99)!).toBeGreaterThanOrEqual(10_000);
  });

  test("holds for what is below and above all buckets", () => {
    expect(of(times(50, 0)).at(95)!).toBeLessThan(0.02);
    expect(of(times(50, 1e9)).at(95)!).toBe(2 ** 18);
  });

  test("is within one bucket of the exact one, for any durations", () => {
    const durations = fc.array(fc.double({ min: 0.02, max: 200_000, noNaN: true }), { minLength: 50, maxLength: 400 });
    fc.assert(
      fc.property(durations, fc.integer({ min: 50, max: 100 }), (all, percent) => {
        const exact = all.toSorted((a, b) => a - b)[Math.ceil((all.length * percent) / 100) - 1]!;
        const found = of(all).at(percent)!;
        expect(found).toBeGreaterThanOrEqual(exact * 0.9999);
        expect(found).toBeLessThanOrEqual(exact * BUCKET * 1.0001);
      }),
      { seed: 1 },
    );
  });
});

describe("forgetting", () => {
  test("what is new outweighs what is old before long", () => {
    const quantile = of(times(10_000, 10));
    expect(quantile.at(95)!).toBeLessThan(11);
    for (const each of times(6000, 100)) quantile.observe(each);
    expect(quantile.at(50)!).toBeGreaterThanOrEqual(100);
    for (const each of times(50_000, 10)) quantile.observe(each);
    expect(quantile.at(95)!).toBeLessThan(11);
  });

  test("it knows enough all the while", () => {
    const quantile = new RecentQuantile();
    for (let i = 0; i < 50_000; i++) {
      quantile.observe(2 ** ((i % 190) / 8 - 6));
      if (i >= 50) expect(quantile.at(95)).toBeDefined();
    }
  });
});
