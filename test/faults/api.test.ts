/** Faults by the admin API on a running instance of two workers: on all of them, over a worker's death and a reload, until their time is over. */
import { beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ran } from "../cli/ran.ts";
import { mismatch, type OpenApi } from "../support/openapi.ts";
import { freePort } from "../support/ports.ts";
import { type Balanced, openStage } from "../support/stage.ts";
import { until } from "../support/until.ts";

const stage = openStage();
const TOKENS = { all: "the token of all", ops: "the token of ops", eyes: "the token of eyes" };

let front: Balanced;
let base: string;
let document: OpenApi;

interface Fault {
  readonly name: string;
  readonly source: string;
  readonly active: boolean;
  readonly keys: Readonly<Record<string, unknown>>;
  readonly until: string | null;
  readonly by: string | null;
}

interface Event {
  readonly kind: string;
  readonly summary: string;
  readonly by: string;
}

beforeAll(async () => {
  const admin = await freePort();
  base = `http://127.0.0.1:${admin}/v1/`;
  front = await stage.fairlead({
    targets: [await stage.backend()],
    top: {
      workers: 2,
      admin: { address: `127.0.0.1:${admin}`, token: TOKENS.all, tokens: [{ name: "ops", token: TOKENS.ops, access: "steer" }, { name: "eyes", token: TOKENS.eyes, access: "read" }] },
      access_log: { path: "access.log", format: "$status $cause $fault" },
      faults: { enabled: true, rules: [{ name: "by-file", methods: ["PUT"], abort: 507, percent: 100 }] },
    },
  });
  document = (await ask("openapi.json")).body as unknown as OpenApi;
});

async function ask<T = Record<string, unknown>>(path: string, method = "GET", body?: object, token = TOKENS.ops): Promise<{ status: number; body: T }> {
  const response = await fetch(base + path, { method, headers: { Authorization: `Bearer ${token}` }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  return { status: response.status, body: (await response.json()) as T };
}

/** Statuses of requests on connections of their own, which both workers take. */
async function statuses(method = "GET", count = 24): Promise<number[]> {
  const all = await Promise.all(Array.from({ length: count }, async () => (await fetch(front.url, { method, headers: { Connection: "close" } })).status));
  return [...new Set(all)];
}

async function listed(): Promise<readonly Fault[]> {
  const { status, body } = await ask<{ enabled: boolean; faults: Fault[] }>("faults");
  expect([status, mismatch(document, document.paths["/v1/faults"]!["get"]!.responses["200"]!.content!["application/json"]!.schema, body)]).toEqual([200, undefined]);
  return body.faults;
}

/** Names of those that the overview says inject now. */
async function injecting(): Promise<readonly string[]> {
  const { body } = await ask<{ instance: { faults: { name: string; until: string | null }[] } }>("overview");
  expect(mismatch(document, document.paths["/v1/overview"]!["get"]!.responses["200"]!.content!["application/json"]!.schema, body)).toBeUndefined();
  return body.instance.faults.map(({ name, until: end }) => `${name}${end === null ? "" : " until"}`);
}

async function events(kind: string): Promise<readonly Event[]> {
  return (await ask<{ events: Event[] }>(`events?kind=${kind}`)).body.events;
}

test("what the file says is in force from the start, and told", async () => {
  expect([await statuses("PUT"), await statuses()]).toEqual([[507], [200]]);
  expect(await listed()).toMatchObject([{ name: "by-file", source: "file", active: true, keys: { methods: ["PUT"], percent: 100, abort: 507 }, until: null, by: null }]);
  expect(await events("fault-injected")).toMatchObject([{ summary: expect.stringContaining('Fault "by-file" is injected: methods ["PUT"], percent 100, abort 507'), by: "config" }]);
});

test("one that is brought is on all workers when the call is answered, goes before the file's, and outlives workers and reloads", async () => {
  const put = await ask<Fault>("faults/outage", "PUT", { abort: 503, for: "5m", percent: "100%" });
  expect([put.status, put.body]).toMatchObject([200, { name: "outage", source: "api", active: true, keys: { abort: 503, percent: 100 }, by: "api:ops" }]);
  expect(Date.parse(put.body.until!) - Date.now()).toBeGreaterThan(290_000);
  expect([await statuses(), await statuses("PUT")]).toEqual([[503], [503]]);
  expect((await listed()).map(({ name }) => name)).toEqual(["outage", "by-file"]);
  expect(await injecting()).toEqual(["outage until", "by-file"]);
  const explained = await ask("explain", "POST", { url: front.url }, TOKENS.eyes);
  expect(mismatch(document, document.paths["/v1/explain"]!["post"]!.responses["200"]!.content!["application/json"]!.schema, explained.body)).toBeUndefined();
  expect(explained.body).toMatchObject({ outcome: { kind: "refused", status: 503, summary: 'fault "outage": abort 503' }, faults: [{ name: "outage", until: put.body.until, chance: 1 }, { name: "by-file", matched: false, failed: { condition: "method", wanted: "PUT", seen: "GET" } }] });
  const admin = new URL(base).host;
  for (const command of [["status"], ["top", "--once"]]) {
    const { code, stdout } = await ran([...command, "--admin", admin, "--token", TOKENS.eyes], front.fairlead.directory);
    expect([command, code, stdout]).toEqual([command, 0, expect.stringMatching(/^look at +Faults 2 rules inject: outage until \d\d:\d\d:\d\d, by-file$/m)]);
  }
  const workers = async (): Promise<number[]> => (await ask<{ workers: number[] }>("status")).body.workers;
  const before = await workers();
  for (const pid of before) process.kill(pid, "SIGKILL");
  await until("both are replaced", async () => {
    const now = await workers();
    return now.length === 2 && now.every((pid) => !before.includes(pid)) && (await ask<{ state: string }>("instance")).body.state === "ok";
  });
  expect(await until("they serve", () => statuses().catch(() => undefined))).toEqual([503]);
  expect((await ask("reload", "POST")).status).toBe(200);
  expect([await statuses(), (await events("fault-injected")).length]).toEqual([[503], 2]);
  expect((await ask<Fault>("faults/outage")).body).toEqual(put.body);
  expect((await ask("faults/outage", "DELETE")).body).toEqual({ ended: 1 });
  expect([await statuses(), await statuses("PUT")]).toEqual([[200], [507]]);
  expect(await events("fault-over")).toMatchObject([{ summary: 'Fault "outage" is injected no more', by: "api:ops" }]);
});

test("exchanges, access log and metrics tell which fault befell whom", async () => {
  const { body } = await ask<{ exchanges: { fault: string; status: number; cause: string }[] }>("exchanges?fault=outage&limit=1");
  expect(body.exchanges).toMatchObject([{ fault: "outage", status: 503, cause: "fault-injected" }]);
  expect((await ask<{ exchanges: object[] }>("exchanges?fault=out")).body.exchanges).toEqual([]);
  const lines = await until("the access log", () => {
    const text = readFileSync(join(front.fairlead.directory, "access.log"), "utf8");
    return text.includes("503 fault-injected outage\n") && text.includes("507 fault-injected by-file\n") && text.includes("200 done -\n");
  });
  expect(lines).toBe(true);
  const metrics = await (await fetch(new URL("/metrics", base), { headers: { Authorization: `Bearer ${TOKENS.ops}` } })).text();
  expect(Number(/^fairlead_faults_injected_total\{effect="abort"\} (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(24);
  expect(metrics).toContain('fairlead_faults_injected_total{effect="throttle"} 0\n');
});

test("it ends by itself", async () => {
  expect((await ask("faults/short", "PUT", { delay: "1h", for: "900ms" })).status).toBe(200);
  const began = performance.now();
  // Who waits for it waits no longer.
  expect(await statuses("GET", 8)).toEqual([200]);
  expect(performance.now() - began).toBeGreaterThan(500);
  await until("the timeline says so", async () => (await events("fault-over")).some(({ summary, by }) => summary === 'Fault "short" is injected no more: its time is over' && by === "supervisor"));
  expect((await listed()).map(({ name }) => name)).toEqual(["by-file"]);
  expect(front.fairlead.lines.some((line) => line.includes("FAULT IS INJECTED") && line.includes("short"))).toBe(true);
});

test("what the file says can be ended, and rests until the file says something else", async () => {
  expect((await ask("faults", "DELETE")).body).toEqual({ ended: 1 });
  expect([await statuses("PUT"), await listed()]).toMatchObject([[200], [{ name: "by-file", active: false, by: "api:ops" }]]);
  // One that takes nobody injects nothing.
  await ask("faults/nobody", "PUT", { percent: 0, abort: 503, for: "1m" });
  expect(await injecting()).toEqual([]);
  await ask("faults/nobody", "DELETE");
  await ask("reload", "POST");
  expect(await statuses("PUT")).toEqual([200]);
  const file = join(front.fairlead.directory, "fairlead.toml");
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace("abort = 507", "abort = 506"));
  expect((await ask("reload", "POST")).status).toBe(200);
  expect([await statuses("PUT"), await listed()]).toMatchObject([[506], [{ name: "by-file", active: true, by: null }]]);
});

test("the value of a header that a rule asks for is shown to nobody", async () => {
  const secret = "only-the-testers-know";
  expect((await ask("faults/testers", "PUT", { abort: 503, for: "5m", percent: 100, headers: { "X-Tester": secret } })).status).toBe(200);
  for (const headers of [{}, { "X-Tester": "a guess" }] as Record<string, string>[]) {
    const { status, body } = await ask<{ faults: object[] }>("explain", "POST", { url: front.url, headers }, TOKENS.eyes);
    expect([status, JSON.stringify(body).includes(secret), body.faults[0]]).toMatchObject([200, false, { name: "testers", failed: { condition: "header", name: "X-Tester", wanted: "the rule's value", seen: headers["X-Tester"] ?? null } }]);
  }
  for (const path of ["faults", "events", "config", "overview"]) expect([path, JSON.stringify((await ask(path, "GET", undefined, TOKENS.eyes)).body).includes(secret)]).toEqual([path, false]);
  expect((await ask("faults/testers", "DELETE")).status).toBe(200);
});

test("what is wrong with a call is told; without enabled nothing is injected, nor what was before", async () => {
  for (const [body, status, said] of [
    [{ abort: 503 }, 400, "for"],
    [{ abort: 503, for: "2h" }, 400, "up to an hour"],
    [{ for: "1m" }, 422, "it is not said what is injected"],
    [{ abort: 503, reset: true, for: "1m" }, 422, "a request is reset, or answered"],
    [{ abort: 503, upstreams: ["mian"], for: "1m" }, 422, 'upstreams.0: there is no upstream "mian" (did you mean "main"?)'],
    [{ abort: 503, routes: [], for: "1m" }, 422, "routes: routes names nobody"],
    [{ target_delay: "1s", targets: ["10.1.2.3:80"], for: "1m" }, 422, 'targets.0: there is no target "10.1.2.3:80" (known: 127.0.0.1:'],
    [{ abort: 99, for: "1m" }, 400, "abort"],
  ] as const) {
    const told = await ask<{ detail: string }>("faults/x", "PUT", body);
    expect([body, told.status, told.body.detail]).toEqual([body, status, expect.stringContaining(said)]);
  }
  expect((await ask("faults/x", "PUT", { abort: 503, for: "1m" }, TOKENS.eyes)).status).toBe(403);
  expect([(await ask("faults/x", "DELETE")).status, (await ask("faults/x")).status]).toEqual([404, 404]);
  await ask("faults/last", "PUT", { abort: 503, for: "1h" });
  const file = join(front.fairlead.directory, "fairlead.toml");
  writeFileSync(file, readFileSync(file, "utf8").replace("enabled = true", "enabled = false"));
  expect((await ask("reload", "POST")).status).toBe(200);
  expect([await statuses(), await statuses("PUT"), await listed()]).toEqual([[200], [200], []]);
  expect(await ask("faults/x", "PUT", { abort: 503, for: "1m" })).toMatchObject({ status: 409, body: { detail: "faults are not injected here: set [faults] enabled = true in the configuration" } });
});
