/** The timer wheel: never early, at most two ticks late, cheap to move. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { TICK, Timed, TimerWheel } from "../../src/net/timers.ts";

class Probe extends Timed {
  readonly fired: number[] = [];
  now = (): number => 0;
  onDeadline(): void {
    this.fired.push(this.now());
  }
}

describe("the timer wheel", () => {
  test("fires each deadline once, never early, at most two ticks late", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 1, maxLength: 50 }), (deadlines) => {
        let now = 1000;
        const wheel = new TimerWheel(now);
        const probes = deadlines.map((at) => {
          const probe = new Probe();
          probe.now = () => now;
          wheel.schedule(probe, now + at);
          return { probe, due: now + at };
        });
        for (const end = now + 61_000; now < end; ) {
          now += TICK;
          wheel.sweep(now);
        }
        for (const { probe, due } of probes) {
          expect(probe.fired).toHaveLength(1);
          expect(probe.fired[0]).toBeGreaterThanOrEqual(due);
          expect(probe.fired[0]).toBeLessThanOrEqual(due + 2 * TICK);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("a deadline that moves later fires at its last place only", () => {
    let now = 0;
    const wheel = new TimerWheel(now);
    const probe = new Probe();
    probe.now = () => now;
    for (; now < 5000; now += TICK) {
      wheel.schedule(probe, now + 1000);
      wheel.sweep(now);
    }
    expect(probe.fired).toEqual([]);
    for (; now < 7000; now += TICK) wheel.sweep(now);
    expect(probe.fired).toHaveLength(1);
    expect(probe.fired[0]).toBeWithin(5960, 6040);
  });

  test("a deadline that moves earlier fires earlier; a cancelled one never", () => {
    let now = 0;
    const wheel = new TimerWheel(now);
    const moved = new Probe();
    moved.now = () => now;
    const cancelled = new Probe();
    wheel.schedule(moved, 30_000);
    wheel.schedule(moved, 100);
    wheel.schedule(cancelled, 100);
    wheel.cancel(cancelled);
    for (; now < 31_000; now += TICK) wheel.sweep(now);
    expect(moved.fired).toHaveLength(1);
    expect(moved.fired[0]).toBeLessThanOrEqual(140);
    expect(cancelled.fired).toEqual([]);
  });

  test("one that fires may remove or move others of the same slot", () => {
    const wheel = new TimerWheel(0);
    const probes = Array.from({ length: 5 }, () => new Probe());
    const first = probes[4]!;
    first.onDeadline = () => {
      wheel.remove(probes[3]!);
      wheel.schedule(probes[2]!, 500);
    };
    for (const probe of probes) wheel.schedule(probe, 100);
    wheel.sweep(120);
    expect(probes.map((probe) => probe.fired.length)).toEqual([1, 1, 0, 0, 0]);
    wheel.sweep(540);
    expect(probes[2]!.fired).toHaveLength(1);
  });

  test("a stall longer than the wheel fires everything that is due", () => {
    const wheel = new TimerWheel(0);
    const probes = Array.from({ length: 100 }, () => new Probe());
    for (const [i, probe] of probes.entries()) wheel.schedule(probe, 1 + i * 500);
    wheel.sweep(100_000);
    expect(probes.every((probe) => probe.fired.length === 1)).toBe(true);
  });
});
