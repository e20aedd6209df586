/** What the status of a call means to Fairlead: which calls are made once more, and what it says about the target. */
import { beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Call, GrpcClient, GrpcServer, Status } from "../../support/grpc.ts";
import { type InProcess, inProcess } from "../../support/in-process.ts";
import { openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
let client: GrpcClient;
let bad: GrpcServer;
let good: GrpcServer;
let fairlead: InProcess;
let accessLog: string;

beforeAll(async () => {
  [client, bad, good] = await Promise.all([GrpcClient.start(), GrpcServer.start({ name: "bad", fail: Status.UNAVAILABLE }), GrpcServer.start({ name: "good" })]);
  for (const server of [bad, good]) stage.atEnd(() => server.signal("SIGKILL"));
  stage.atEnd(() => client.kill());
  const front = (upstream: TomlTable, targets = [bad, good]) => ({ targets, upstream: { protocol: "h2c", retry_backoff: "off", outlier_detection: false, ...upstream } });
  const breaker = { circuit_breaker: { min_requests: 5, failure_rate: "50%", open_for: "60s" } };
  accessLog = join(stage.directory(), "access.log");
  fairlead = await inProcess(stage, {
    again: front({ retry_on: ["grpc-unavailable"] }),
    small: front({ retry_on: ["grpc-unavailable"], retry_buffer: "1KiB" }),
    others: front({ retry_on: ["grpc-internal", "grpc-cancelled", "grpc-deadline-exceeded", "grpc-resource-exhausted", 503] }),
    poor: front({ retry_on: ["grpc-unavailable"], retry_budget: "0%", retry_budget_min: 0 }),
    both: front({ retry_on: ["grpc-unavailable"], retries: 3 }, [bad]),
    breaker: front(breaker, [good]),
    trailing: front(breaker, [good]),
    careless: front(breaker, [good]),
    ejecting: { targets: [bad, good], upstream: { protocol: "h2c", outlier_detection: { base_ejection: "60s" } } },
  }, { access_log: { path: accessLog, format: "$listener $grpc_status $status $attempts $cause" } });
}, 30_000);

async function codes(front: string, count: number, call: Partial<Call> = {}): Promise<number[]> {
  const all: number[] = [];
  for (let i = 0; i < count; i++) all.push((await client.unary({ port: fairlead.port(front), ...call })).code);
  return all.toSorted((a, b) => a - b);
}

function some(count: number, code: number): number[] {
  return Array.from({ length: count }, () => code);
}

describe("retry_on with a gRPC status", () => {
  test("makes the call once more on another target, and the client sees nothing of it", async () => {
    const [before, line] = [bad.count("call"), fairlead.log.length];
    expect(await codes("again", 10, { size: 40_000 })).toEqual(some(10, Status.OK));
    expect(bad.count("call") - before).toBe(5);
    expect(await fairlead.line("the retry", ({ cause }) => cause === "retry-status", line)).toMatchObject({ level: "debug", detail: "grpc-status 14", msg: "Attempt failed, trying again" });
  });

  test("does not when more of the call went out than is kept", async () => {
    expect(await codes("small", 6, { size: 100_000 })).toEqual([...some(3, Status.OK), ...some(3, Status.UNAVAILABLE)]);
    expect(await codes("small", 6, { size: 500 })).toEqual(some(6, Status.OK));
  });

  test("leaves other statuses alone", async () => {
    expect(await codes("others", 6)).toEqual([...some(3, Status.OK), ...some(3, Status.UNAVAILABLE)]);
  });

  test("keeps to the budget", async () => {
    expect(await codes("poor", 6)).toEqual([...some(3, Status.OK), ...some(3, Status.UNAVAILABLE)]);
  });

  test("passes the last answer on, with its metadata, when all attempts fail", async () => {
    const before = bad.count("call");
    const outcome = await client.unary({ port: fairlead.port("both") });
    expect(outcome).toMatchObject({ code: Status.UNAVAILABLE, details: "no: bad, 100 % ü", trailers: { "x-trailer": "last words" } });
    expect(bad.count("call") - before).toBe(4);
  });

  test("does not once the target has begun to answer", async () => {
    const outcome = await client.download({ port: fairlead.port("again"), metadata: { "x-count": 2, "x-fail": Status.UNAVAILABLE } });
    expect(outcome).toMatchObject({ code: Status.UNAVAILABLE, messages: 2 });
  });
});

describe("the circuit breaker", () => {
  test("opens on calls that the target fails, and then answers UNAVAILABLE itself", async () => {
    expect(await codes("breaker", 5, { metadata: { "x-fail": Status.INTERNAL } })).toEqual(some(5, Status.INTERNAL));
    expect(await client.unary({ port: fairlead.port("breaker") })).toMatchObject({ code: Status.UNAVAILABLE, details: "circuit open" });
  });

  test("hears of failures behind messages too", async () => {
    for (let i = 0; i < 5; i++) await client.download({ port: fairlead.port("trailing"), metadata: { "x-count": 1, "x-fail": 15 } });
    expect(await client.unary({ port: fairlead.port("trailing") })).toMatchObject({ details: "circuit open" });
  });

  test("stays closed when the call, not the target, was at fault", async () => {
    for (const code of [3, 5, 7, 12, 16]) expect(await codes("careless", 4, { metadata: { "x-fail": code } })).toEqual(some(4, code));
    expect(await codes("careless", 1)).toEqual([Status.OK]);
  });
});

test("a target that is UNAVAILABLE five times in a row is ejected", async () => {
  const line = fairlead.log.length;
  expect((await codes("ejecting", 10)).filter((code) => code !== Status.OK)).toEqual(some(5, Status.UNAVAILABLE));
  await fairlead.line("the ejection", ({ msg }) => /eject/i.test(String(msg)), line);
  expect(await codes("ejecting", 6)).toEqual(some(6, Status.OK));
});

describe("the access log", () => {
  test("tells the status of the call: the target's, after however many attempts, or ours", async () => {
    const kinds = (): string[] => [...new Set(readFileSync(accessLog, "utf8").split("\n").slice(0, -1))];
    const expected = ["again 0 200 1 done", "again 0 200 2 done", "others 14 200 1 done", "others 0 200 1 done"];
    await until("the lines", () => expected.every((line) => kinds().includes(line)));
    const ours = kinds().filter((line) => line.endsWith(" circuit-open"));
    expect(ours.length).toBeGreaterThan(0);
    expect(ours.every((line) => line.includes(" 14 503 0 "))).toBe(true);
  });
});
