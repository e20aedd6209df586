import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { firstDelay, Gate, nextDelay, secondDelay } from "../../src/health/schedule.ts";

const interval = fc.integer({ min: 10, max: 3_600_000 });
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("the schedule of checks", () => {
  test("keeps each gap within 10 % of the interval", () => {
    fc.assert(
      fc.property(interval, random, (every, draw) => {
        const delay = nextDelay(every, draw);
        return delay >= every * 0.9 - 1e-6 && delay <= every * 1.1 + 1e-6;
      }),
    );
    expect(nextDelay(1000, 0)).toBe(900);
    expect(nextDelay(1000, 0.5)).toBe(1000);
  });

  test("makes each first check within the interval and within a second", () => {
    fc.assert(
      fc.property(interval, fc.integer({ min: 1, max: 100_000 }), random, (every, fresh, draw) => {
        const delay = firstDelay(every, fresh, draw);
        return delay >= 0 && delay <= every && delay <= 1000;
      }),
    );
  });

  test("checks a single new target at once and three within 10 ms", () => {
    expect(firstDelay(5000, 1, 0.99)).toBe(0);
    expect(firstDelay(5000, 3, 0.99)).toBeLessThan(10);
  });

  test("spreads the second checks over the whole interval", () => {
    const delays = Array.from({ length: 1000 }, (_, i) => secondDelay(5000, i / 1000));
    expect(Math.min(...delays)).toBe(0);
    expect(Math.max(...delays)).toBeGreaterThan(4990);
    expect(Math.max(...delays)).toBeLessThan(5000);
  });
});

describe("the gate", () => {
  test("lets in no more than its limit and the others in order", () => {
    const gate = new Gate(2);
    const started: number[] = [];
    for (let i = 0; i < 5; i++) gate.enter(() => started.push(i));
    expect(started).toEqual([0, 1]);
    gate.leave();
    expect(started).toEqual([0, 1, 2]);
    gate.leave();
    gate.leave();
    expect(started).toEqual([0, 1, 2, 3, 4]);
  });

  test("forgets who withdrew", () => {
    const gate = new Gate(1);
    const started: string[] = [];
    const second = () => started.push("second");
    gate.enter(() => started.push("first"));
    gate.enter(second);
    gate.enter(() => started.push("third"));
    expect(gate.withdraw(second)).toBe(true);
    gate.leave();
    expect(started).toEqual(["first", "third"]);
  });

  test("does not grow the stack when tasks end at once", () => {
    const gate = new Gate(1);
    let ended = 0;
    gate.enter(() => {});
    for (let i = 0; i < 100_000; i++) {
      gate.enter(() => {
        ended += 1;
        gate.leave();
      });
    }
    gate.leave();
    expect(ended).toBe(100_000);
  });
});
