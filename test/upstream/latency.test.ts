/** A target's latency: up at once, down over 10 s, and the same for all workers. */
import { describe, expect, test } from "bun:test";
import type { Clock } from "../../src/net/network.ts";
import { Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import { decayed, LatencyClock, observe } from "../../src/upstream/latency.ts";

/** Numbers in the scoreboard are floats of 32 bits. */
const DIGITS = 3;

class Latency {
  readonly board = Scoreboard.local({ workers: 1, targets: 2, upstreams: 1 });
  stamp: number;

  constructor(stamp = 1000) {
    this.stamp = stamp | 0;
  }

  after(milliseconds: number): this {
    this.stamp = (this.stamp + milliseconds) | 0;
    return this;
  }

  took(milliseconds: number, failed = false): this {
    observe(this.board, 1, this.stamp, milliseconds, failed);
    return this;
  }

  get now(): number {
    return decayed(this.board, 1, this.stamp);
  }
}

describe("latency", () => {
  test("is 0 while nothing is known, and that of other targets does not matter", () => {
    const latency = new Latency();
    expect(latency.now).toBe(0);
    observe(latency.board, 0, latency.stamp, 50, false);
    expect(latency.now).toBe(0);
  });

  test("is the first that is seen", () => {
    expect(new Latency().took(12).now).toBe(12);
  });

  test("jumps up at once", () => {
    expect(new Latency().took(12).after(5).took(340).now).toBe(340);
  });

  test("comes down by the time that has passed since, not by how often it is asked", () => {
    expect(new Latency().took(100).took(10).took(10).now).toBe(100);
    const often = new Latency().took(100);
    for (let i = 0; i < 100; i++) often.after(100).took(10);
    expect(often.now).toBeCloseTo(10 + 90 / Math.E, DIGITS);
    expect(new Latency().took(100).after(10_000).took(10).now).toBeCloseTo(10 + 90 / Math.E, DIGITS);
  });

  test("goes on coming down while nobody asks", () => {
    const latency = new Latency().took(1000);
    expect(latency.after(10_000).now).toBeCloseTo(1000 / Math.E, DIGITS);
    expect(latency.after(60_000).now).toBeLessThan(1);
  });

  test("is higher at once again where an old peak is nearly forgotten", () => {
    expect(new Latency().took(1000).after(60_000).took(500).now).toBeCloseTo(500, -1);
  });

  test("of another worker whose clock is a little behind is not made older or younger by that", () => {
    const latency = new Latency().took(100).after(-3);
    expect(latency.now).toBe(100);
    expect(latency.took(10).now).toBe(100);
  });

  test("holds where the stamp wraps", () => {
    const latency = new Latency(0x7f_ff_ff_00).took(100).after(10_000);
    expect(latency.stamp).toBeLessThan(0);
    expect(latency.now).toBeCloseTo(100 / Math.E, DIGITS);
  });
});

describe("a failure", () => {
  test("counts ten times what is known, and 100 ms at least", () => {
    expect(new Latency().took(50).took(1, true).now).toBe(500);
    expect(new Latency().took(2).took(1, true).now).toBe(100);
    expect(new Latency().took(1, true).now).toBe(100);
  });

  test("that took long counts as long", () => {
    expect(new Latency().took(2).took(5000, true).now).toBe(5000);
  });

  test("after failures adds up to an hour and no more, and is forgotten within minutes", () => {
    const latency = new Latency();
    for (let i = 0; i < 20; i++) latency.took(1, true);
    expect(latency.now).toBe(3_600_000);
    expect(latency.after(150_000).now).toBeLessThan(2);
  });
});

describe("the clock", () => {
  function process(started: number): Clock & { time: number } {
    return {
      time: started,
      get now() {
        return this.time - started;
      },
      precise: () => 0,
      wall() {
        return this.time;
      },
      everyTick: () => () => {},
      after: () => () => {},
    };
  }

  test("shows about the same in processes that started at different times", () => {
    const [one, other] = [process(1_700_000_000_000.25), process(1_700_000_060_000.75)];
    one.time += 60_000.5;
    const clocks = [new LatencyClock(one), new LatencyClock(other)] as const;
    for (let seconds = 0; seconds < 100; seconds++) {
      expect(Math.abs(clocks[0].stamp - clocks[1].stamp)).toBeLessThanOrEqual(1);
      one.time += 1000;
      other.time += 1000;
    }
  });

  test("goes on where its numbers wrap", () => {
    const clock = process(2 ** 31 * 800 - 10);
    const stamps = new LatencyClock(clock);
    const before = stamps.stamp;
    clock.time += 20;
    expect((stamps.stamp - before) | 0).toBe(20);
  });
});
