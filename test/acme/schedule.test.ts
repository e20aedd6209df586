/** When certificates are ordered and failures tried again, and what is read from a CA's refusal. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AcmeProblem, retryAfterOf } from "../../src/acme/problem.ts";
import { FIRST_RETRY, LAST_RETRY, leastPause, LONGEST_PAUSE, renewalTime, retryDelay } from "../../src/acme/schedule.ts";

const DAY = 86_400_000;
const HOUR = 3_600_000;
const NINETY_DAYS = { notBefore: 0, notAfter: 90 * DAY };
const SILENT = { retryAfter: undefined, rateLimited: false };
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("a renewal", () => {
  test("is after two thirds of the lifetime, by chance up to a fiftieth of it earlier", () => {
    expect(renewalTime(NINETY_DAYS, undefined, 0)).toBe(60 * DAY);
    expect(renewalTime(NINETY_DAYS, undefined, 0.5)).toBe(59.1 * DAY);
    expect(renewalTime({ notBefore: 0, notAfter: 6 * DAY }, undefined, 0)).toBe(4 * DAY);
  });

  test("is renew_before before the end", () => {
    expect(renewalTime(NINETY_DAYS, 7 * DAY, 0)).toBe(83 * DAY);
  });

  test("is never before half of the lifetime, less the chance, so that no certificate is due as soon as it is there", () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 1_000 * DAY }), fc.option(fc.integer({ min: 1, max: 3_650 * DAY }), { nil: undefined }), random, (lifetime, renewBefore, chance) => {
        const at = renewalTime({ notBefore: 1_000, notAfter: 1_000 + lifetime }, renewBefore, chance);
        expect(at).toBeGreaterThanOrEqual(1_000 + Math.floor(lifetime * 0.48));
        expect(at).toBeLessThan(1_000 + lifetime);
      }),
    );
  });
});

describe("the pause after a failure", () => {
  test("is a minute, doubles with each failure, and ends at a day", () => {
    expect([1, 2, 3, 4].map((failures) => retryDelay(failures, SILENT, 0))).toEqual([60_000, 120_000, 240_000, 480_000]);
    expect(retryDelay(12, SILENT, 0)).toBe(LAST_RETRY);
    expect(retryDelay(10_000, SILENT, 0)).toBe(LAST_RETRY);
  });

  test("is longer by chance, by up to a fifth, and never shorter than the one before", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), random, (failures, chance) => {
        const least = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** (failures - 1));
        const delay = retryDelay(failures, SILENT, chance);
        expect(delay).toBeGreaterThanOrEqual(least);
        expect(delay).toBeLessThanOrEqual(least * 1.2 + 1);
      }),
    );
  });

  test("is what the CA asks for when that is longer, up to a week", () => {
    expect(retryDelay(1, { retryAfter: 5 * HOUR, rateLimited: false }, 0)).toBe(5 * HOUR);
    expect(retryDelay(12, { retryAfter: 5 * HOUR, rateLimited: true }, 0)).toBe(LAST_RETRY);
    expect(retryDelay(1, { retryAfter: 365 * DAY, rateLimited: true }, 0)).toBe(LONGEST_PAUSE);
  });

  test("is an hour at least when the CA limits us without saying for how long, also for who is in a hurry", () => {
    expect(retryDelay(1, { retryAfter: undefined, rateLimited: true }, 0)).toBe(HOUR);
    expect(leastPause({ retryAfter: undefined, rateLimited: true })).toBe(HOUR);
    expect(leastPause(SILENT)).toBe(0);
  });
});

describe("a refusal", () => {
  test("tells its type and detail, and those of each name", () => {
    const problem = new AcmeProblem("a new order", {
      type: "urn:ietf:params:acme:error:rejectedIdentifier",
      detail: "Some names are refused",
      subproblems: [{ type: "urn:ietf:params:acme:error:malformed", detail: "no such top-level domain", identifier: { type: "dns", value: "a.invalid" } }],
    });
    expect(problem.type).toBe("rejectedIdentifier");
    expect(problem.message).toBe("a new order: rejectedIdentifier: Some names are refused; a.invalid: no such top-level domain");
    expect(problem.rateLimited).toBe(false);
  });

  test("may be anything", () => {
    fc.assert(
      fc.property(fc.object(), (document) => {
        expect(new AcmeProblem("x", document).message).toStartWith("x: ");
      }),
    );
    expect(new AcmeProblem("x", { type: 1, detail: null, subproblems: "many" }).message).toBe("x: no reason was given");
  });

  test("says with Retry-After how long to wait, in seconds or by a date", () => {
    const wall = Date.parse("Sat, 21 Nov 2026 10:00:00 GMT");
    expect(retryAfterOf(null, wall)).toBeUndefined();
    expect(retryAfterOf("120", wall)).toBe(120_000);
    expect(retryAfterOf("Sat, 21 Nov 2026 11:00:00 GMT", wall)).toBe(HOUR);
    expect(retryAfterOf("Sat, 21 Nov 2026 09:00:00 GMT", wall)).toBe(0);
    expect(retryAfterOf("soon", wall)).toBeUndefined();
  });
});
