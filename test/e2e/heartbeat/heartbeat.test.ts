/** Back ends that report themselves: with curl, and with the client under Node and Bun. */
import { describe, expect, test } from "bun:test";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { Fairlead } from "../../support/fairlead.ts";
import { Load } from "../../support/load.ts";
import { alwaysName } from "../../support/names.ts";
import { freePort } from "../../support/ports.ts";
import { isAlive, workersOf } from "../../support/processes.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
const TOKEN = "a token for tests";
/** May do nothing else. */
const BEATS = "what every back end has";
const CLIENT = resolve(import.meta.dir, "../../../heartbeat/index.js");

interface Front extends Balanced {
  readonly admin: string;
}

async function listening(upstream: TomlTable = {}, targets: readonly { address: string }[] = [], top: TomlTable = {}): Promise<Front> {
  const admin = await freePort();
  const front = await stage.fairlead({ targets, top: { admin: { address: `127.0.0.1:${admin}`, token: TOKEN, tokens: [{ name: "backends", token: BEATS, access: "heartbeat" }] }, ...top }, upstream: { heartbeat: {}, ...upstream } });
  return { ...front, admin: `http://127.0.0.1:${admin}` };
}

function placeOf(front: Front, address: string, upstream = "main", what = "heartbeat"): string {
  return `${front.admin}/v1/upstreams/${upstream}/targets/${encodeURIComponent(address)}/${what}`;
}

async function beat(front: Front, address: string, body: object | string = {}, { method = "PUT", upstream = "main", what = "heartbeat", token = TOKEN } = {}): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(placeOf(front, address, upstream, what), { method, headers: token === "" ? {} : { Authorization: `Bearer ${token}` }, ...(method === "PUT" ? { body: typeof body === "string" ? body : JSON.stringify(body) } : {}) });
  const text = await response.text();
  return { status: response.status, body: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>) };
}

/** Names of those that answer `count` requests; "-" for a 503. */
async function answers({ url }: Balanced, count: number): Promise<string[]> {
  const names: string[] = [];
  for (let i = 0; i < count; i++) {
    const response = await fetch(url);
    const text = await response.text();
    names.push(response.status === 503 ? "-" : text.split(" ")[0]!);
  }
  return names;
}

const only = (front: Balanced, names: string) => until(`answers of ${names}`, async () => [...new Set(await answers(front, 6))].toSorted().join("") === names);

describe("a beat", () => {
  test("brings a back end in that is not in the file; silence takes it out; another beat brings it back", async () => {
    const front = await listening();
    const { address } = await stage.backend(alwaysName("a"));
    expect(await answers(front, 1)).toEqual(["-"]);
    expect(await beat(front, address, { ttl: 0.4 })).toEqual({ status: 201, body: { ttl: 0.4 } });
    await only(front, "a");
    await only(front, "-");
    await front.fairlead.line("that it stopped", ({ msg }) => msg === "Heartbeat has stopped; target is out");
    expect(await beat(front, address, { ttl: "30s" })).toEqual({ status: 200, body: { ttl: 30 } });
    await only(front, "a");
  });

  test("with curl", async () => {
    const front = await listening();
    const { address } = await stage.backend(alwaysName("a"));
    const { stdout } = await promisify(execFile)("curl", ["-sS", "-X", "PUT", "-H", `Authorization: Bearer ${TOKEN}`, "-d", '{"ttl": "15s", "capacity": 2}', placeOf(front, address)]);
    expect(JSON.parse(stdout)).toEqual({ ttl: 15 });
    await only(front, "a");
  });

  test("carries the capacity: the weight", async () => {
    const front = await listening();
    for (const [name, capacity] of [["a", 3], ["b", 1]] as const) await beat(front, (await stage.backend(alwaysName(name))).address, { capacity });
    await only(front, "ab");
    const names = await answers(front, 40);
    expect(names.filter((name) => name === "a")).toHaveLength(30);
    expect(names.filter((name) => name === "b")).toHaveLength(10);
  });

  test("that drains takes it out without an error, and a good-bye takes it away", async () => {
    const front = await listening();
    const a = await stage.backend(alwaysName("a"));
    const b = await stage.backend(alwaysName("b"));
    for (const { address } of [a, b]) await beat(front, address);
    await only(front, "ab");
    const load = new Load(front.port, 2);
    await beat(front, a.address, { draining: true });
    await only(front, "b");
    expect((await beat(front, a.address, {}, { method: "DELETE" })).status).toBe(204);
    await until("its removal", async () => {
      const status = (await (await fetch(`${front.admin}/v1/status`, { headers: { Authorization: `Bearer ${TOKEN}` } })).json()) as { upstreams: Record<string, { target: string }[]> };
      return status.upstreams["main"]!.every(({ target }) => target !== a.address);
    });
    await load.stop();
    expect(load.failures).toEqual([]);
    expect((await beat(front, a.address, {}, { method: "DELETE" })).status).toBe(404);
  });

  test("of a target in the file: it is in before its first beat, out after its last", async () => {
    const a = await stage.backend(alwaysName("a"));
    const b = await stage.backend(alwaysName("b"));
    const front = await listening({}, [a, b]);
    await only(front, "ab");
    expect((await beat(front, a.address, { ttl: 0.3 })).status).toBe(200);
    await only(front, "b");
  });

  test("of a target that is taken out of the file goes on as one that joined", async () => {
    const a = await stage.backend(alwaysName("a"));
    const b = await stage.backend(alwaysName("b"));
    const front = await listening({}, [a, b]);
    await beat(front, a.address);
    const file = join(front.fairlead.directory, "fairlead.toml");
    const text = await Bun.file(file).text();
    const without = text.replace(new RegExp(`\\[\\[upstreams.targets\\]\\]\\s*address = "${a.address}"\\s*|\\{ ?address = "${a.address}" ?\\},? ?`), "");
    expect(without).not.toBe(text);
    await Bun.write(file, without);
    front.fairlead.signal("SIGHUP");
    await only(front, "b");
    expect((await beat(front, a.address)).status).toBe(201);
    await only(front, "ab");
  });

  test("of a target in the file means the same to the next supervisor: a good-bye is silence", async () => {
    const a = await stage.backend(alwaysName("a"));
    const b = await stage.backend(alwaysName("b"));
    const front = await listening({}, [a, b]);
    await beat(front, a.address, { ttl: "60s" });
    await until("the beat on disk", () => Bun.spawnSync(["grep", "-rq", "--include=beats.json", `"address":"${a.address}"`, join(tmpdir(), "fairlead-tests")]).exitCode === 0);
    process.kill(front.fairlead.pid, "SIGKILL");
    await until("its end", () => front.fairlead.ended !== undefined);
    const next = await Fairlead.start("", { arguments: ["run", "--config", join(front.fairlead.directory, "fairlead.toml"), "--log-format", "json"] });
    stage.atEnd(() => next.kill());
    await only(front, "ab");
    expect((await beat(front, a.address, {}, { method: "DELETE" })).status).toBe(204);
    await only(front, "b");
  });

  test("is refused with what is wrong", async () => {
    const inFile = await stage.backend();
    const front = await listening({ heartbeat: { register: false } }, [inFile]);
    const { address } = inFile;
    const refused = async (status: number, text: string, ...rest: Parameters<typeof beat> extends [unknown, unknown, ...infer R] ? R : never) => {
      const answer = await beat(front, address, ...rest);
      expect([answer.status, answer.body["detail"]]).toEqual([status, expect.stringContaining(text)]);
    };
    await refused(401, "show a token", {}, { token: "" });
    await refused(401, "show a token", {}, { token: "another token" });
    expect((await beat(front, address, {}, { token: BEATS })).status).toBe(200);
    await refused(403, 'token "backends" has access = "heartbeat"; this needs "steer"', { state: "drain" }, { token: BEATS, what: "state" });
    await refused(404, 'no upstream "nobody"', {}, { upstream: "nobody" });
    await refused(400, "not JSON", "ttl=5");
    await refused(400, "not a JSON object", "[1]");
    await refused(400, 'Unrecognized key: "TTL"', { TTL: 5 });
    await refused(400, "ttl is a duration", { ttl: "soon" });
    await refused(400, "ttl is a duration", { ttl: -1 });
    await refused(400, "capacity is a number", { capacity: "much" });
    await refused(400, "draining is true or false", { draining: 1 });
    await refused(405, "POST is not among PUT, DELETE", {}, { method: "POST" });
    expect((await beat(front, "127.0.0.1:1")).body["detail"]).toContain("its targets cannot register");
    const strict = await listening();
    expect((await beat(strict, "no address")).body["detail"]).toContain("is not an address");
    // By no heartbeat does a listener lead to what only this machine can reach.
    const port = new URL(strict.admin).port;
    for (const [what, said] of [["unix:/var/run/docker.sock", "those are made targets by the configuration only"], [`127.0.0.1:${port}`, "is the admin address of this instance"], [`[::ffff:127.0.0.1]:${port}`, "is the admin address of this instance"], [`localhost:${port}`, "may lead to the admin address"]] as const) {
      const { status, body } = await beat(strict, what, {}, { token: BEATS });
      expect([what, status, body["detail"]]).toEqual([what, 403, expect.stringContaining(said)]);
    }
    const tall = await fetch(placeOf(strict, "127.0.0.1:1"), { method: "PUT", headers: { Authorization: `Bearer ${TOKEN}` }, body: "x".repeat(100_000) });
    expect(tall.status).toBe(413);
  });

  test("is kept over a reload, and by another supervisor", async () => {
    const front = await listening();
    const { address } = await stage.backend(alwaysName("a"));
    await beat(front, address, { ttl: "60s" });
    await only(front, "a");
    front.fairlead.signal("SIGHUP");
    await front.fairlead.line("reload", ({ msg }) => msg === "Reload applied");
    expect(new Set(await answers(front, 4))).toEqual(new Set(["a"]));
    process.kill(front.fairlead.pid, "SIGKILL");
    await until("its end", () => front.fairlead.ended !== undefined);
    const load = new Load(front.port, 2);
    const next = await Fairlead.start("", { arguments: ["run", "--config", join(front.fairlead.directory, "fairlead.toml"), "--log-format", "json"] });
    stage.atEnd(() => next.kill());
    expect(workersOf(next)).toHaveLength(1);
    await only(front, "a");
    await load.stop();
    expect(load.failures).toEqual([]);
  });
});

describe("a person", () => {
  test("drains a target, takes it out altogether, and brings it back", async () => {
    const a = await stage.backend(alwaysName("a"));
    const b = await stage.backend(alwaysName("b"));
    const front = await listening({}, [a, b]);
    for (const [state, shown, names] of [["drain", "draining", "b"], ["maint", "maintenance", "b"], ["ready", "up", "ab"]] as const) {
      expect(await beat(front, a.address, { state }, { what: "state" })).toMatchObject({ status: 200, body: { state: shown } });
      await only(front, names);
    }
    // What was answered stays so when another supervisor takes over.
    await beat(front, a.address, { state: "drain" }, { what: "state" });
    process.kill(front.fairlead.pid, "SIGKILL");
    await until("its end", () => front.fairlead.ended !== undefined);
    const next = await Fairlead.start("", { arguments: ["run", "--config", join(front.fairlead.directory, "fairlead.toml"), "--log-format", "json"] });
    stage.atEnd(() => next.kill());
    await until("the old worker's end", () => workersOf(front.fairlead).every((pid) => !isAlive(pid)));
    await only(front, "b");
    await beat(front, a.address, { state: "ready" }, { what: "state" });
    await only(front, "ab");
    expect((await beat(front, a.address, { state: "gone" }, { what: "state" })).status).toBe(400);
    expect((await beat(front, "127.0.0.1:1", { state: "drain" }, { what: "state" })).status).toBe(404);
    expect((await beat(front, a.address, { state: "drain" }, { what: "state", token: "no" })).status).toBe(401);
  });
});

describe("the client", () => {
  const PROGRAM = `
    import http from "node:http";
    import { startHeartbeat } from ${JSON.stringify(CLIENT)};
    const server = http.createServer((request, response) => response.end(process.argv[2] + " "));
    server.listen(0, "127.0.0.1", async () => {
      const heartbeat = startHeartbeat({ admin: process.argv[3], token: process.argv[4], upstream: "main", address: "127.0.0.1:" + server.address().port, ttl: 3, drainTime: 0.3, onError: (error) => console.log(String(error)) });
      await heartbeat.ready.then(() => console.log("ready"), () => {});
    });
  `;

  async function start(runtime: string, name: string, front: Front, token = TOKEN): Promise<{ child: ChildProcess; output: () => string }> {
    const file = join(stage.directory(), "backend.mjs");
    await Bun.write(file, PROGRAM);
    const child = spawn(runtime, [file, name, front.admin, token], { stdio: ["ignore", "pipe", "inherit"] });
    stage.atEnd(() => child.kill("SIGKILL"));
    let text = "";
    child.stdout!.on("data", (chunk) => (text += chunk));
    return { child, output: () => text };
  }

  for (const [name, runtime] of [["node", "node"], ["bun", process.execPath]] as const) {
    test(`reports a back end under ${name}; on SIGTERM it drains, says good-bye and ends, and no request fails`, async () => {
      const front = await listening();
      const stays = await stage.backend(alwaysName("stays"));
      await beat(front, stays.address);
      const { child, output } = await start(runtime, "goes", front);
      await until("the first beat", () => output().includes("ready"));
      await only(front, "goesstays");
      const load = new Load(front.port, 2);
      child.kill("SIGTERM");
      await until("its end", () => child.signalCode !== null || child.exitCode !== null);
      expect(child.signalCode).toBe("SIGTERM");
      await load.stop();
      expect(load.failures).toEqual([]);
      await front.fairlead.line("its good-bye", ({ msg }) => msg === "Target has left");
      expect(front.fairlead.log.some(({ msg }) => msg === "Target takes no new requests")).toBe(true);
    });
  }

  test("beats again and again, and says what is wrong with a beat", async () => {
    const front = await listening();
    const wrong = await start("node", "x", front, "the wrong token");
    await until("the reason, twice", () => wrong.output().split("401").length > 2);
    // Heartbeats that fail end nobody.
    expect(wrong.child.exitCode).toBeNull();
    const { output } = await start("node", "x", front);
    await until("the first beat", () => output().includes("ready"));
    // More than its ttl.
    await only(front, "x");
    const end = performance.now() + 3_500;
    while (performance.now() < end) {
      expect(await answers(front, 1)).toEqual(["x"]);
      await sleep(20);
    }
  }, 15_000);
});
