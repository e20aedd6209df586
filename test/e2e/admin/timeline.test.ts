/** One instance's day in short: what happens to it and its targets is told with what it follows from, and outlives its supervisor. */
import { beforeAll, describe, expect, test } from "bun:test";
import { appendFileSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EventTold } from "../../../src/admin/events.ts";
import { Fairlead } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { isAlive, workersOf } from "../../support/processes.ts";
import { type RawBackend, reply, type Script } from "../../support/raw-backend.ts";
import { type Balanced, configText, openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const TOKEN = "a long token";
const stage = openStage();
let front: Balanced;
let admin: number;
let backends: RawBackend[];
let directory: string;
/** What it answers checks and requests with. */
const answers = { check: 200, request: 200 };

const script: Script = async (request, connection) => {
  if (await request.ended) connection.write(reply(request.target === "/healthz" ? answers.check : answers.request));
};
const well: Script = async (request, connection) => {
  if (await request.ended) connection.write(reply(200));
};

function config(weight = 1): string {
  const upstream = { retries: 0, panic_threshold: "60%", drain_timeout: "100ms", circuit_breaker: { failure_rate: "50%", min_requests: 8, window: "10s", open_for: "200ms", probes: 1 }, health_check: { path: "/healthz", interval: "100ms", timeout: "1s", rise: 2, fall: 3 }, outlier_detection: { consecutive_5xx: 5, consecutive_gateway: 0, consecutive_local: 0, success_rate_factor: 0, base_ejection: "200ms", interval: "60s", max_ejected: "100%" } };
  const text = configText(front?.port ?? 0, { targets: backends, top: { workers: 2, admin: { address: `127.0.0.1:${admin}`, token: TOKEN } }, upstream });
  return text.replace(`address = "${backends[1]!.address}"`, `address = "${backends[1]!.address}"\nweight = ${weight}`);
}

async function call(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${admin}${path}`, { ...init, headers: { Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" } });
}

async function events(query: string): Promise<EventTold[]> {
  const answer = await call(`/v1/events?${query}`);
  if (answer.status !== 200) throw new Error(await answer.text());
  return ((await answer.json()) as { readonly events: EventTold[] }).events;
}

/** The newest event of that kind of a target, when it has happened, and those that it follows from. */
async function chain(kind: string, target: string | undefined, after: number): Promise<EventTold[]> {
  const of = target === undefined ? "" : `&target=${target}`;
  const newest = await until(`event ${kind}`, async () => (await events(`kind=${kind}&after=${after}&limit=1${of}`))[0]);
  const all = await events("limit=1000");
  const found = [newest];
  while (found.at(-1)!.cause !== null) found.push(all.find(({ id }) => id === found.at(-1)!.cause)!);
  return found;
}

async function newest(): Promise<number> {
  return (await events("limit=1"))[0]!.id;
}

function kinds(found: readonly EventTold[]): string[] {
  return found.map(({ kind }) => kind);
}

async function ask(times: number): Promise<number[]> {
  const client = await stage.client(front);
  const statuses: number[] = [];
  for (let i = 0; i < times; i++) statuses.push((await client.ask("GET /x HTTP/1.1\r\nHost: h.test\r\n\r\n")).status);
  client.destroy();
  return statuses;
}

function configFile(): string {
  return join(directory, "fairlead.toml");
}

async function start(): Promise<Fairlead> {
  const fairlead = await Fairlead.start("", { arguments: ["run", "--config", configFile(), "--log-format", "json", "--runtime-dir", join(directory, "run")] });
  stage.atEnd(() => fairlead.kill());
  return fairlead;
}

beforeAll(async () => {
  directory = stage.directory();
  backends = [await stage.backend(script), await stage.backend(well)];
  const port = await freePort();
  admin = await freePort();
  front = { port, url: "" } as Balanced;
  writeFileSync(configFile(), config());
  front = { fairlead: await start(), port, url: `http://127.0.0.1:${port}` };
});

test("the start is the first event, and a target that was well from the beginning has none", async () => {
  const [started, ...others] = await events("");
  expect(started).toMatchObject({ id: 1, upstream: "", target: "", kind: "started", cause: null, by: "supervisor" });
  expect(started!.summary).toBe("Started: 1 listener, 1 upstream, 2 workers, configuration 1");
  expect(Date.now() - Date.parse(started!.at)).toBeLessThan(20_000);
  expect(others).toEqual([]);
});

test("three failed checks take a target out and make a panic; two that pass bring it back", async () => {
  const target = backends[0]!.address;
  answers.check = 500;
  const panic = await chain("panic", "", 0);
  expect(kinds(panic)).toEqual(["panic", "down", "check-failed", "check-failed", "check-failed"]);
  expect(panic.map(({ target: of }) => of)).toEqual(["", target, target, target, target]);
  expect(panic.map(({ summary }) => summary)).toEqual([
    "Panic: 1 of 2 targets healthy, less than 60%; all of them are used",
    "Down: 3 checks failed in a row: status 500",
    "Check failed (3 of 3): status 500",
    "Check failed (2 of 3): status 500",
    // Its first check passed before.
    "Check failed (1 of 3): status 500",
  ]);
  expect(panic[1]).toMatchObject({ upstream: "main", by: "check" });
  answers.check = 200;
  const up = await chain("up", target, 0);
  expect(kinds(up).slice(0, 4)).toEqual(["up", "check-passed", "check-passed", "down"]);
  expect(up[0]!.summary).toBe("Up: 2 checks passed in a row: status 200");
  expect(up[2]!.summary).toBe("Check passed (1 of 2): status 200");
  expect(kinds(await chain("panic-over", "", 0)).slice(0, 2)).toEqual(["panic-over", "up"]);
});

test("five 5xx in a row eject it until a time, after which it is back", async () => {
  const after = await newest();
  const target = backends[0]!.address;
  answers.request = 500;
  await until("the ejection", async () => {
    await ask(2);
    return (await events(`kind=ejected&after=${after}`)).length > 0;
  });
  answers.request = 200;
  const [over, ejected] = await chain("ejection-over", target, after);
  expect(ejected).toMatchObject({ kind: "ejected", target, by: "outlier-detection", cause: null });
  const until1 = /^Ejected: by 5 consecutive 5xx, until (.*) \(200ms\)$/.exec(ejected!.summary)![1]!;
  expect(Math.abs(Date.parse(until1) - Date.parse(ejected!.at) - 200)).toBeLessThan(5);
  expect(over).toMatchObject({ kind: "ejection-over", summary: "Back after its ejection", by: "outlier-detection" });
  expect(Date.parse(over!.at)).toBeGreaterThanOrEqual(Date.parse(until1) - 5);
});

test("a circuit opens in a worker, tries, and closes", async () => {
  const after = await newest();
  for (const backend of backends) backend.script = async (request, connection) => (await request.ended) && connection.write(reply(request.target === "/healthz" ? 200 : 503));
  await until("the open circuit", async () => {
    await ask(2);
    return (await events(`kind=circuit-open&after=${after}`)).length > 0;
  });
  backends[0]!.script = script;
  backends[1]!.script = well;
  await until("the closed circuit", async () => {
    await ask(1);
    return (await events(`kind=circuit-closed&after=${after}`)).length > 0;
  });
  const closed = await chain("circuit-closed", "", after);
  expect(kinds(closed).slice(0, 2)).toEqual(["circuit-closed", "circuit-half-open"]);
  expect(kinds(closed).at(-1)).toBe("circuit-open");
  expect(closed[0]).toMatchObject({ upstream: "main", by: "circuit-breaker" });
});

test("who drains a target by the API is named, and who brings it back", async () => {
  const after = await newest();
  const target = backends[1]!.address;
  const put = (state: string) => call(`/v1/upstreams/main/targets/${target}/state`, { method: "PUT", body: JSON.stringify({ state }) });
  expect((await put("drain")).status).toBe(200);
  const [cut, drain] = await chain("drain-cut", target, after);
  expect(drain).toMatchObject({ kind: "drain", target, by: "api:token", summary: "Drained by api:token: what is open may go on for 100ms" });
  expect(cut!.summary).toBe("What is open to it is closed: 100ms to drain are over");
  await put("maint");
  expect((await chain("maintenance", target, after))[0]!.by).toBe("api:token");
  await put("ready");
  const [ready, maintenance] = await chain("ready", target, after);
  expect(ready).toMatchObject({ by: "api:token", summary: "Ready by api:token" });
  expect(maintenance!.kind).toBe("maintenance");
  expect(kinds(await events(`target=${target}&after=${after}&kind=drain,maintenance,ready`))).toEqual(["ready", "maintenance", "drain"]);
});

test("a worker that is killed is replaced", async () => {
  const [worker] = workersOf(front.fairlead);
  process.kill(worker!, "SIGKILL");
  const [replaced, died] = await chain("worker-replaced", undefined, 0);
  expect(died).toMatchObject({ kind: "worker-died", upstream: "", target: "", summary: `Worker ${worker} died (SIGKILL)`, by: `worker:${worker}` });
  expect(replaced!.summary).toMatch(/^Worker \d+ serves in its place, after \d+ ms$/);
});

test("a reload is told with what it is to its targets, and why it was rejected", async () => {
  const after = await newest();
  const file = configFile();
  const joining = await stage.backend(well);
  writeFileSync(file, `${config()}\n[[upstreams.targets]]\nadress = "x"\n`);
  front.fairlead.signal("SIGHUP");
  const [rejected] = await chain("config-rejected", undefined, after);
  expect(rejected!.summary).toContain("Configuration rejected, 1 serves on: ");
  expect(rejected!.summary).toEndWith('needs "address" (add address = …) (and 1 more)');
  writeFileSync(file, `${config(3)}\n[[upstreams.targets]]\naddress = "${joining.address}"\n`);
  front.fairlead.signal("SIGHUP");
  const [joined, applied] = await chain("joined", joining.address, after);
  expect(applied).toMatchObject({ kind: "config-applied", by: "config", cause: null });
  expect(applied!.summary).toMatch(/^Configuration \d+ applied: 1 listener, 1 upstream, 3 targets \(1 joined, 1 with another weight\)$/);
  expect(joined).toMatchObject({ upstream: "main", summary: "Joined with weight 1" });
  const [weight] = await events(`kind=weight&target=${backends[1]!.address}`);
  expect(weight).toMatchObject({ summary: "Weight 3, before 1", cause: applied!.id, by: "config" });
  writeFileSync(file, config(3));
  front.fairlead.signal("SIGHUP");
  expect(kinds(await chain("left", joining.address, after))).toEqual(["left", "config-applied"]);
});

describe("the endpoint", () => {
  for (const [query, message] of [
    ["kind=down,upp", 'kind: "upp" is no kind of event'],
    ["limit=1001", "limit: limit is a whole number from 1 to 1000"],
    ["limit=many", "limit: limit is a whole number from 1 to 1000"],
    ["since=yesterday", 'since: "yesterday" is no time'],
    ["after=-1", "after: after is a whole number"],
    ["targt=x", 'Unrecognized key: "targt"'],
  ] as const) {
    test(`says what is wrong with ?${query}`, async () => {
      const answer = await call(`/v1/events?${query}`);
      expect([answer.status, answer.headers.get("content-type")]).toEqual([400, "application/problem+json"]);
      expect(((await answer.json()) as { readonly detail: string }).detail).toContain(message);
    });
  }

  test("wants the token", async () => expect((await fetch(`http://127.0.0.1:${admin}/v1/events`)).status).toBe(401));

  test("filters by time, upstream and target", async () => {
    const [last] = await events("limit=1");
    expect(await events(`since=${last!.at}&limit=5`)).toContainEqual(last!);
    expect(await events("since=2999-01-01T00:00:00Z")).toEqual([]);
    expect((await events("since=10m&limit=1000")).length).toBeGreaterThan(20);
    expect(await events("upstream=other")).toEqual([]);
    expect(kinds(await events("upstream=&kind=started"))).toEqual(["started"]);
  });

  test("streams each event as it happens", async () => {
    const answer = await call("/v1/stream?overview=false");
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    await call(`/v1/upstreams/main/targets/${backends[1]!.address}/state`, { method: "PUT", body: '{"state":"drain"}' });
    let text = "";
    await until("the event", async () => {
      text += (await reader.read()).value ?? "";
      return /^data: .*\n\n/m.test(text);
    });
    await reader.cancel();
    const event = JSON.parse(/^data: (.*)$/m.exec(text)![1]!) as EventTold;
    expect(event).toEqual((await events("kind=drain&limit=1"))[0]!);
  });
});

describe("the timeline goes on", () => {
  test("after an upgrade", async () => {
    const before = await events("limit=1000");
    front.fairlead.signal("SIGUSR2");
    await until("the new one's admin address", () => front.fairlead.log.filter(({ msg }) => msg === "Admin address open").length === 2);
    const [upgraded, upgrade] = await chain("upgraded", undefined, 0);
    expect(upgrade!.kind).toBe("upgrade");
    const after = await events("limit=1000");
    for (const event of before) expect(after).toContainEqual(event);
    expect(upgraded!.id).toBeGreaterThan(before[0]!.id + 1_000);
    // What a person said before is not said again.
    expect(after.filter(({ kind, target }) => kind === "drain" && target === backends[1]!.address)).toHaveLength(2);
    await until("the old one's end", () => front.fairlead.ended !== undefined);
  });

  test("after the death of the supervisor", async () => {
    const supervisor = front.fairlead.log.findLast(({ msg }) => msg === "Fairlead is ready")!["pid"] as number;
    // One that is out when it dies.
    const outSince = await newest();
    writeFileSync(configFile(), config(3).replace('base_ejection = "200ms"', 'base_ejection = "30s"'));
    process.kill(supervisor, "SIGHUP");
    await chain("config-applied", undefined, outSince);
    await call(`/v1/upstreams/main/targets/${backends[1]!.address}/state`, { method: "PUT", body: '{"state":"ready"}' });
    answers.request = 500;
    await until("an ejection", async () => {
      await ask(2);
      return (await events(`kind=ejected&after=${outSince}`)).length > 0;
    });
    answers.request = 200;
    const before = await events("limit=1000");
    const file = join(directory, "run", "events.jsonl");
    await until("all of it on disk", () => readFileSync(file, "utf8").includes(`[${before[0]!.id},`));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    process.kill(supervisor, "SIGKILL");
    await until("its end", () => !isAlive(supervisor));
    // Whatever else is in the file, in whatever state it was left.
    appendFileSync(file, `[1,"x"]\n{}\nnull\n[${before[0]!.id + 1},1,"main"`);
    const next = await start();
    await next.line("the admin address", ({ msg }) => msg === "Admin address open");
    const [takenOver] = await chain("taken-over", undefined, before[0]!.id);
    expect(takenOver!.id).toBeGreaterThan(before[0]!.id);
    const after = await events("limit=1000");
    for (const event of before) expect(after).toContainEqual(event);
    const over = await chain("ejection-over", backends[0]!.address, outSince);
    expect(kinds(over)).toEqual(["ejection-over", "ejected"]);
  });
});
