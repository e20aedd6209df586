/** A short pass of `npm run chaos`: three faults on one arrangement; and that its judge finds what must not be. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Inflicted } from "./fault.ts";
import { killBackend } from "./faults/kill-backend.ts";
import { killWorker } from "./faults/kill-worker.ts";
import { reload } from "./faults/reload.ts";
import { describe as tell, isGood, judge, wasUnderWay } from "./judge.ts";
import { Backend } from "./load/backend.ts";
import { Generator } from "./load/generator.ts";
import type { Failure, FailureKind, LoadReport } from "./load/plan.ts";
import { note, TWICE } from "./load/table.ts";
import { type Load, Scene } from "./scene.ts";

/** Starts of processes on a machine that does much else, in ms. */
const TIMEOUT = 60_000;

/** More in ten seconds are a crash loop. */
const MOST_DEATHS = 5;

/** As little as shows it: what is due each second, and each of it takes 20 ms, so that some is always under way. */
const load: Load = ({ plain, secure }) => [
  [
    { name: "open", port: plain, protocol: "h1", connections: 16, posts: 0.2, rate: 200 },
    { name: "h2", port: secure, protocol: "h2", tls: true, connections: 2, posts: 0.2, rate: 100 },
  ],
];

describe("faults on real processes", () => {
  let scene: Scene;
  let report: LoadReport;
  let leftOver: readonly string[];
  let ofWorker: Inflicted;
  let ofBackend: Inflicted;
  let ofReloads: Inflicted;

  beforeAll(async () => {
    scene = await Scene.start({ load, slowEvery: 1, backends: 2 });
    const once = { quick: true, isOver: () => true };
    // The one that is killed may have had nobody to serve.
    let deaths = 0;
    ofWorker = await killWorker.run(scene, { quick: true, isOver: () => ++deaths === MOST_DEATHS || scene.counts.failed > 0 });
    ofBackend = await killBackend.run(scene, once);
    let reloads = 0;
    ofReloads = await reload.run(scene, { quick: true, isOver: () => ++reloads === 5 });
    ({ report, leftOver } = await scene.finish());
  }, TIMEOUT);

  afterAll(() => scene?.end(), TIMEOUT);

  test("cost what was on the processes that were killed, and nothing else", () => {
    const judgement = judge(report, [...ofWorker.allowances, ...ofBackend.allowances], [...leftOver, ...(ofReloads.complaints ?? [])]);
    expect([judgement.violations.map(tell), judgement.complaints]).toEqual([[], []]);
    expect(report.requests).toBeGreaterThan(300);
  });

  test("cost something, which breaks the bar where it is not allowed", () => {
    const without = judge(report, ofBackend.allowances, []);
    expect(without.violations.length).toBeGreaterThan(0);
    expect(isGood(without)).toBe(false);
  });
});

describe("a load generator", () => {
  for (const [wrong, kind, detail] of [
    ["number", "wrong", /^the reply is that of \d+$/],
    ["byte", "wrong", /^other bytes than its own/],
    ["short", "truncated", /^after \d+ bytes of the body$/],
  ] as const satisfies readonly (readonly [string, FailureKind, RegExp])[]) {
    test(`finds replies that are wrong: ${wrong}`, async () => {
      const backend = await Backend.start({ id: 1, wrongEvery: 10, wrong });
      const generator = await Generator.start({ first: 1, lanes: [{ name: "direct", port: backend.plan.port, protocol: "h1", connections: 2, rate: 500 }] });
      while (generator.counts.requests < 100) await Bun.sleep(5);
      const { requests, failed, failures } = await generator.stop();
      await backend.kill();
      // Each tenth, of numbers that follow each other.
      expect(Math.abs(failed - requests / 10)).toBeLessThanOrEqual(1);
      for (const failure of failures) expect([failure.kind, failure.number % 10, detail.test(failure.detail)]).toEqual([kind, 0, true]);
    }, TIMEOUT);
  }
});

describe("the judge", () => {
  const failure = (more: Partial<Failure>): Failure => ({ kind: "closed", lane: "closed", number: 1, method: "GET", port: 1000, status: 0, answeredBefore: 1, backend: 1, sent: 1_000, ended: 1_010, detail: "", reason: "", ...more });
  const reported = (failures: readonly Failure[], failed = failures.length): LoadReport => ({ requests: 100, failed, resent: 0, connections: 1, lanes: [], failures, seconds: 1 });
  const onPort = { why: "on a port", most: 2, covers: ({ port }: Failure): boolean => port === 1000 };

  test("allows what was computed, no more of it and nothing else", () => {
    expect(isGood(judge(reported([failure({}), failure({})]), [onPort], []))).toBe(true);
    expect(judge(reported([failure({}), failure({}), failure({})]), [onPort], []).violations).toHaveLength(1);
    expect(judge(reported([failure({ port: 1001 })]), [onPort], []).violations).toHaveLength(1);
  });

  test("never allows a wrong reply, whatever else may fail there", () => {
    const judgement = judge(reported([failure({ kind: "wrong" })]), [onPort], []);
    expect([judgement.wrong, isGood(judgement)]).toEqual([1, false]);
  });

  test("does not pass over failures that are not told, or what is left behind", () => {
    expect(isGood(judge(reported([], 1), [onPort], []))).toBe(false);
    expect(isGood(judge(reported([]), [], ["still open"]))).toBe(false);
  });

  test("knows what was under way when a process died", () => {
    const was = (sent: number, ended: number): boolean => wasUnderWay(failure({ sent, ended }), 10_000, 10_005);
    expect([was(9_000, 10_003), was(10_100, 10_110), was(9_000, 9_999), was(11_000, 11_005), was(10_004, 14_000)]).toEqual([true, true, false, false, false]);
  });

  test("sees from the table of POSTs who had one, and that one came twice", () => {
    const path = join(tmpdir(), `fairlead-chaos-table-${process.pid}`);
    writeFileSync(path, Buffer.alloc(64));
    const posts = Bun.mmap(path, { shared: true });
    for (const [number, id] of [
      [5, 1],
      [6, 2],
      [6, 3],
    ] as const)
      note(posts, number, id);
    expect([...posts.subarray(4, 8)]).toEqual([0, 1, TWICE, 0]);
    rmSync(path);
  });
});
