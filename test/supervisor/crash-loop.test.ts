/** The pauses of a crash loop. */
import { describe, expect, test } from "bun:test";
import { CRASH_DEATHS, CRASH_WINDOW, CrashLoop, LAST_PAUSE } from "../../src/supervisor/crash-loop.ts";

/** Pauses when each new worker dies at once. */
function loop(deaths: number): { readonly pauses: number[]; readonly crashes: CrashLoop; readonly now: number } {
  const crashes = new CrashLoop();
  const pauses: number[] = [];
  let now = 1_000;
  while (pauses.length < deaths) {
    const pause = crashes.died(now);
    pauses.push(pause);
    now += pause + 10;
  }
  return { pauses, crashes, now };
}

describe("a worker that dies is replaced", () => {
  test("at once, when it happens now and then", () => {
    const crashes = new CrashLoop();
    for (let death = 0; death < 50; death++) expect(crashes.died(death * (CRASH_WINDOW / CRASH_DEATHS + 1))).toBe(0);
  });

  test("after pauses that double up to the longest, when it happens again and again", () => {
    const { pauses } = loop(14);
    expect(pauses).toEqual([0, 0, 0, 0, 0, 200, 400, 800, 1_600, 3_200, 6_400, LAST_PAUSE, LAST_PAUSE, LAST_PAUSE]);
  });

  test("at once again after a while of calm", () => {
    const { crashes, now } = loop(10);
    expect(crashes.died(now + CRASH_WINDOW + LAST_PAUSE + 1)).toBe(0);
  });
});
