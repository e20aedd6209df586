/** Which exchanges are kept, at what bounded cost, and which of them a flood pushes out. */
import { describe, expect, test } from "bun:test";
import type { Account, Attempt } from "../../src/observability/account.ts";
import type { Cause } from "../../src/observability/cause.ts";
import { type ExchangeRecord, recordOf, type RecordRules } from "../../src/observability/exchange-record.ts";
import { ExchangeRing } from "../../src/observability/exchange-ring.ts";
import { type Batch, ExchangeWitness, MAX_WAITING, PER_CAUSE, PER_SECOND } from "../../src/observability/exchange-witness.ts";
import { FakeNetwork } from "../health/support.ts";
import { ACCOUNT } from "../support/account.ts";

const RULES: RecordRules = { slow: 1000, sample: 0, query: "drop" };

function attempt(target: string, more: Partial<Attempt> = {}): Attempt {
  return { target, at: 0, connect: 0, firstByte: 1, milliseconds: 2, status: 200, cause: "done", detail: "", hedge: false, ...more };
}

function account(more: Partial<Account> = {}): Account {
  return { ...ACCOUNT, at: 1_000_000, target: "a:1", path: "/x?token=secret", fields: ["Basic c2VjcmV0"], requestId: "r-1", milliseconds: 2.34567, tries: [attempt("a:1")], candidates: ["a:1", "b:1"], candidateCount: 2, ...more };
}

function witness(rules: Partial<RecordRules> = {}, random = () => 0.5) {
  const { clock } = new FakeNetwork();
  const batches: Batch[] = [];
  return { clock, batches, witness: new ExchangeWitness({ ...RULES, ...rules }, { clock, random, send: (batch) => void batches.push(batch) }) };
}

describe("a record", () => {
  test("has what the account has, without query and fields, and says why it is kept", () => {
    const record = recordOf(account({ tries: [attempt("b:1", { status: 0, cause: "connect-refused", detail: "ECONNREFUSED" }), attempt("a:1", { at: 1.00049 })], attempts: 2, status: 503, milliseconds: 1500 }), RULES);
    expect(record).toMatchObject({ at: "1970-01-01T00:16:40.000Z", why: ["failed", "retried", "slow"], path: "/x?…", request_id: "r-1", duration_ms: 1500, candidate_count: 2, candidates: ["a:1", "b:1"] });
    expect(record.tries.map(({ target, cause, at_ms }) => [target, cause, at_ms])).toEqual([["b:1", "connect-refused", 0], ["a:1", "done", 1]]);
    expect(JSON.stringify(record)).not.toContain("ecret");
    expect(recordOf(account(), { ...RULES, query: "keep" })).toMatchObject({ path: "/x?token=secret", why: ["sampled"], duration_ms: 2.346 });
  });

  test("has an end, whatever a client sends", () => {
    const long = "x".repeat(100_000);
    const record = recordOf(account({ path: `/${long}`, method: long, host: long, requestId: long, detail: long, tries: Array.from({ length: 500 }, () => attempt("a:1", { detail: long })) }), RULES);
    expect(JSON.stringify(record).length).toBeLessThan(32 * 700 + 5_000);
    expect(record.tries).toHaveLength(32);
  });
});

describe("a witness wants", () => {
  for (const [what, cause, status, attempts, milliseconds, wanted] of [
    ["one that failed at its target", "connect-refused", 502, 1, 1, true],
    ["one that this side gave up", "queue-timeout", 503, 0, 1, true],
    ["a 500 of the target's own", "done", 500, 1, 1, true],
    ["a tcp connection that came to nothing", "connect-timeout", 0, 1, 1, true],
    ["one that was tried again", "done", 200, 2, 1, true],
    ["one that took long", "done", 200, 1, 1000, true],
    ["one that a client waited long for in vain", "client-closed", 499, 1, 2000, true],
    ["not one that went well", "done", 200, 1, 999, false],
    ["not one that the client broke off", "client-closed", 499, 1, 5, false],
    ["not a bad request", "bad-request", 400, 0, 0, false],
    ["not a long tunnel", "done", 101, 1, 50_000, false],
    ["not a long tcp connection", "done", 0, 1, 50_000, false],
  ] as const satisfies readonly (readonly [string, Cause, number, number, number, boolean])[]) {
    test(what, () => expect(witness().witness.wants(cause, status, attempts, milliseconds)).toBe(wanted));
  }

  test("a part of the others", () => {
    const draws = [0.0009, 0.001, 0.5];
    const { witness: sampling } = witness({ sample: 0.001 }, () => draws.shift()!);
    expect([1, 2, 3].map(() => sampling.wants("done", 200, 1, 1))).toEqual([true, false, false]);
  });

  test("so many of a cause in a second, and so many in all; what it leaves out is counted", () => {
    const { witness: flooded, clock, batches } = witness();
    const wanted = (cause: Cause, times: number) => Array.from({ length: times }, () => flooded.wants(cause, 502, 1, 1)).filter(Boolean).length;
    expect(wanted("connect-refused", 1000)).toBe(PER_CAUSE);
    expect(wanted("target-reset", 10)).toBe(10);
    expect(["target-closed", "bad-reply", "queue-full", "no-route"].map((cause) => wanted(cause as Cause, 1000)).reduce((sum, count) => sum + count)).toBe(PER_SECOND - PER_CAUSE - 10);
    clock.advance(1000);
    expect(wanted("connect-refused", 1)).toBe(1);
    flooded.tell(account());
    clock.advance(100);
    expect(batches).toHaveLength(1);
    expect(batches[0]!.dropped).toBe(1000 - PER_CAUSE + 4000 - (PER_SECOND - PER_CAUSE - 10));
  });
});

describe("batches", () => {
  test("go every 100 ms, and not before the last one is taken", () => {
    const { witness: sending, clock, batches } = witness();
    for (let i = 0; i < 3; i++) sending.tell(account());
    clock.advance(99);
    expect(batches).toHaveLength(0);
    clock.advance(1);
    expect(batches.map(({ records }) => records.length)).toEqual([3]);
    sending.tell(account());
    clock.advance(1000);
    expect(batches).toHaveLength(1);
    sending.taken();
    clock.advance(100);
    expect(batches.map(({ records }) => records.length)).toEqual([3, 1]);
    sending.taken();
    clock.advance(1000);
    expect(batches).toHaveLength(2);
  });

  test("do not grow while nobody takes them", () => {
    const { witness: alone, clock, batches } = witness();
    alone.tell(account());
    clock.advance(100);
    for (let i = 0; i < 10_000; i++) alone.tell(account());
    clock.advance(60_000);
    alone.taken();
    clock.advance(100);
    expect(batches.map(({ records, dropped }) => [records.length, dropped])).toEqual([[1, 0], [MAX_WAITING, 10_000 - MAX_WAITING]]);
  });

  test("hold at most a MiB of text", () => {
    const { witness: alone, clock, batches } = witness();
    for (let i = 0; i < MAX_WAITING; i++) alone.tell(account({ tries: Array.from({ length: 32 }, () => attempt("a:1", { detail: "d".repeat(500) })) }));
    clock.advance(100);
    expect(batches[0]!.records.reduce((sum, { text }) => sum + text.length, 0)).toBeLessThanOrEqual(1024 * 1024);
    expect(batches[0]!.records.length + batches[0]!.dropped).toBe(MAX_WAITING);
  });
});

describe("what is kept", () => {
  function sent(more: Partial<ExchangeRecord> = {}): { readonly cause: Cause; readonly text: string } {
    const record = { ...recordOf(account(), RULES), ...more };
    return { cause: record.cause, text: JSON.stringify(record) };
  }
  function ring(keep = 100, memory = 1024 * 1024): ExchangeRing {
    const made = new ExchangeRing(0);
    made.apply(keep, memory);
    return made;
  }

  test("is found by upstream, any target tried, cause, why and request id, newest first", () => {
    const kept = ring();
    kept.add({ records: [sent({ request_id: "one" }), sent({ upstream: "other", cause: "target-reset", why: ["failed"] })], dropped: 2 });
    kept.add({ records: [sent({ target: "c:1", tries: [{ ...recordOf(account(), RULES).tries[0]!, target: "b:1" }] })], dropped: 1 });
    const ids = (query: object) => kept.query({ limit: 10, ...query }).map(({ id }) => id);
    expect(ids({})).toEqual(["0-3", "0-2", "0-1"]);
    expect(ids({ limit: 1 })).toEqual(["0-3"]);
    expect(ids({ upstream: "other" })).toEqual(["0-2"]);
    expect(ids({ target: "b:1" })).toEqual(["0-3"]);
    expect(ids({ target: "c:1" })).toEqual(["0-3"]);
    expect(ids({ cause: "target-reset" })).toEqual(["0-2"]);
    expect(ids({ why: "sampled" })).toEqual(["0-3", "0-1"]);
    expect(ids({ requestId: "one" })).toEqual(["0-1"]);
    expect(kept.get("0-2")).toMatchObject({ id: "0-2", upstream: "other" });
    for (const id of ["0-4", "1-2", "", "0", "0-2x"]) expect(kept.get(id)).toBeUndefined();
    expect(kept.dropped).toBe(3);
  });

  test("of one cause pushes nothing else out", () => {
    const kept = ring(10);
    kept.add({ records: [sent({ cause: "tls-verify-failed" }), ...Array.from({ length: 500 }, () => sent({ cause: "no-route" }))], dropped: 0 });
    expect(kept.size).toBe(10);
    expect(kept.query({ limit: 99 }).map(({ id }) => id)).toEqual([501, 500, 499, 498, 497, 496, 495, 494, 493, 1].map((n) => `0-${n}`));
  });

  test("stays within its bytes, and goes when it is not wanted", () => {
    const kept = ring(1000, 100_000);
    const record = sent();
    kept.add({ records: Array.from({ length: 1000 }, () => record), dropped: 0 });
    expect(kept.size).toBe(Math.floor(100_000 / (150 + 2 * record.text.length)));
    kept.apply(0, 0);
    expect(kept.size).toBe(0);
    kept.add({ records: [record], dropped: 0 });
    expect(kept.size).toBe(0);
  });
});
