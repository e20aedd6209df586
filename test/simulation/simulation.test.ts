/** Worlds in which everything goes wrong, from seeds: a short pass of `npm run simulate:faults`, and the seeds that have found something. */
import { describe, expect, test } from "bun:test";
import { FAULTS } from "./plan.ts";
import { type Result, runSeed } from "./play.ts";

/** The same each time, so that a change is judged by what it changed: other ones are for whoever looks at what they find. */
const ALWAYS = 120;
/** For a machine that does much else, in ms. */
const TIMEOUT = 120_000;

/**
 * Each shows a bug that is mended: without its mending it fails. Directed tests are named where there are some; seeds move when what is drawn changes, and then are
 * found anew by taking the mending out.
 */
const FOUND: readonly (readonly [seed: number, what: string])[] = [
  [6771, "a reset that a write ran into looked like a FIN, so that half a stream of tcp ended as if it were whole (test/net/connection.test.ts)"],
  [322, "a last reply was reset 2 s after it was written, though its client still read it (test/e2e/http/slow-readers.test.ts)"],
  [131, "a client that read on slowly was cut off after client_body, as if it had stopped (test/net/connection.test.ts)"],
  [2266, "a connection that was ended while its peer read nothing stayed for ever (test/net/connection.test.ts)"],
  [5530, "an HTTP/2 client's last reply was reset half a second after GOAWAY, though it still read it and said so (test/e2e/http/slow-readers.test.ts)"],
  [384, "who read slowly by windows of HTTP/2 was cut off after client_body, or body, as if it had stopped (test/e2e/http/slow-readers.test.ts)"],
];

function expectGood({ seed, failure }: Result): void {
  if (failure !== undefined) throw new Error(`${failure.invariant}: ${failure.detail}\nreplay: npm run simulate:faults -- --seed ${seed} --trace`);
}

describe("a simulated world", () => {
  const always = Array.from({ length: ALWAYS }, (_, seed) => runSeed(seed));

  test("breaks no invariant", () => {
    for (const result of always) expectGood(result);
  }, TIMEOUT);

  test("is the same whenever its seed is, traced or not; and another one with another seed", () => {
    for (const first of always.slice(0, 20)) {
      const { trace, ...again } = runSeed(first.seed, { trace: true });
      const { trace: none, ...before } = first;
      expect(again).toEqual(before);
      expect([none.length, trace.length > 0]).toEqual([0, true]);
    }
    expect(new Set(always.map(({ hash }) => hash)).size).toBe(ALWAYS);
  }, TIMEOUT);

  test("is calm or stormy, and shows answers and failures", () => {
    const sum = (of: (result: Result) => number): number => always.reduce((total, result) => total + of(result), 0);
    const [requests, answered] = [sum((result) => result.requests), sum((result) => result.answered)];
    expect(requests).toBeGreaterThan(1_000);
    expect(answered / requests).toBeGreaterThan(0.5);
    expect(answered / requests).toBeLessThan(0.95);
    expect(always.filter(({ calm }) => calm).length).toBeGreaterThan(20);
    expect(new Set(always.flatMap(({ faults }) => faults.map(({ kind }) => kind)))).toEqual(new Set(FAULTS));
  });

  for (const [seed, what] of FOUND) test(`${seed}: ${what}`, () => expectGood(runSeed(seed)), TIMEOUT);
});
