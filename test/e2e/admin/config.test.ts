/** The configuration by the API: brought, refused, compared, kept, and never silently stale. */
import { beforeAll, expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, statSync, symlinkSync, renameSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isAlive } from "../../../src/supervisor/runtime-directory.ts";
import { freePort } from "../../support/ports.ts";
import { openStage } from "../../support/stage.ts";
import { api, type Steered, steered, steeredAgain, steeredText, who } from "../../support/steered.ts";
import { Holding, named } from "../../support/traffic.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const POLICY = "export default class { pick(_request, targets) { return targets.at(-1); } }\n";
const holding = new Holding("held");
let a: string, b: string, c: string, held: string;
let at: Steered;

/** What the file says, with these targets instead. */
const withTargets = (...targets: readonly string[]): string => steeredText(at, targets);

beforeAll(async () => {
  [a, b, c] = (await Promise.all(["a", "b", "c"].map(async (name) => (await stage.backend(named(name))).address))) as [string, string, string];
  held = (await stage.backend(holding.script)).address;
  at = await steered(stage, [a], "", { "mine.ts": POLICY });
});

test("what runs is told with where it is from, without secrets", async () => {
  const { status, body, etag } = await api(at, "GET", "config");
  expect(status).toBe(200);
  expect(body).toMatchObject({ generation: 1, source: "file", file: { path: at.file, changed: false, since: null, problem: null }, applied: { generation: 1, by: "start" }, rejected: null });
  expect(body.config.admin).toMatchObject({ token: "(secret)", state_file: "state.json" });
  expect(body.config.upstreams).toMatchObject([{ name: "main", policy: "round-robin", retries: 1, targets: [{ address: a, weight: 1 }] }]);
  expect(etag).toMatch(/^"1-\w+"$/);
});

test("what is wrong is refused with its place, changes nothing, and is told afterwards", async () => {
  const wrong = withTargets(a).replace("workers = 2", 'workers = 2\nzzne = "x"').replace("upstream = \"main\"", 'upstream = "mian"');
  const refused = await api(at, "PUT", "config", wrong);
  const errors = [
    { message: 'unknown key "zzne"', line: 2, column: 1, hint: 'did you mean "zone"?' },
    { message: 'there is no upstream "mian"', line: 10, column: 12, hint: 'did you mean "main"?' },
  ];
  expect(refused).toMatchObject({ status: 422, body: { errors } });
  const { body } = await api(at, "GET", "config");
  expect(body).toMatchObject({ generation: 1, source: "file", applied: { generation: 1 }, rejected: { by: "api:token", source: "api", errors } });
  expect((await api(at, "GET", "events?kind=config-rejected&limit=1")).body.events).toMatchObject([{ summary: expect.stringContaining("what was sent:2:1:") }]);
  expect(await who(at, 4)).toEqual({ a: 4 });
  expect((await api(at, "PUT", "config", "not toml at all")).body.errors).toMatchObject([{ line: 1 }]);
  expect(await api(at, "PUT", "config", `a${".a".repeat(100_000)} = 1`)).toMatchObject({ status: 422, body: { errors: [{ message: "this nests more than 32 deep", line: 1, column: 63 }] } });
  const many = Array.from({ length: 3_000 }, (_, index) => `key-${index} = 1\n`).join("");
  const logged = at.fairlead.log.length;
  expect((await api(at, "PUT", "config", many)).body.errors).toHaveLength(101);
  await until("the log", () => at.fairlead.log.slice(logged).some(({ msg }) => msg === "what was sent: and 2900 more"));
  expect(at.fairlead.log.slice(logged).filter(({ msg }) => msg?.startsWith("what was sent:"))).toHaveLength(101);
  expect((await api(at, "PUT", "config", withTargets(a).replace('name = "main"\n', 'name = "main"\npolicy = "./nobody.ts"\n'))).status).toBe(422);
  // One that would not start is refused too: a policy that does not load.
  await writeFile(join(at.fairlead.directory, "broken.ts"), "throw new Error('not today');\n");
  const broken = withTargets(a).replace('name = "main"\n', 'name = "main"\npolicy = "./broken.ts"\n');
  expect((await api(at, "PUT", "config?dry_run=true", broken)).body.errors).toMatchObject([{ message: expect.stringContaining("not today") }]);
  expect((await api(at, "PUT", "config", broken)).body.errors).toMatchObject([{ message: expect.stringContaining("not today") }]);
  expect((await api(at, "PUT", "config?dry_run=perhaps", broken)).status).toBe(400);
  expect((await api(at, "GET", "config")).body.generation).toBe(1);
});

test("a dry run and a diff say what would change and how much is open to it, and change nothing", async () => {
  const candidate = steeredText(at, [b], 'policy = "p2c"\n', 'drain_timeout = "5s"\n');
  const words = ["drain_timeout 30s → 5s", 'upstream "main": policy round-robin → p2c', `upstream "main": target "${b}" is added`, `upstream "main": target "${a}" is removed`];
  for (const answer of [(await api(at, "PUT", "config?dry_run=true", candidate)).body.diff, (await api(at, "POST", "config/diff", candidate)).body]) {
    expect(answer).toMatchObject({ changed: true, summary: "settings ~1, upstreams ~1, targets +1 -1", words, applies: "in_place" });
  }
  expect((await api(at, "POST", "config/diff", candidate.replace("workers = 2", "workers = 1"))).body).toMatchObject({ applies: "new_workers" });
  expect((await api(at, "POST", "config/diff", "x = 1")).status).toBe(422);
  // What is open.
  await api(at, "PUT", `upstreams/main/targets/${encodeURIComponent(held)}`, {});
  await api(at, "PUT", "upstreams/main/policy", { policy: "first" });
  await api(at, "PUT", `upstreams/main/targets/${encodeURIComponent(a)}`, { weight: 0 });
  const client = await stage.client(at);
  client.request("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  await until("the request", () => holding.held.length === 1);
  await api(at, "PUT", `upstreams/main/targets/${encodeURIComponent(held)}`, { weight: 3 });
  const open = { open_requests: 1, open_connections: 1 };
  const report = (await api(at, "POST", "config/diff", withTargets(a).replaceAll('"main"', '"other"').replace("127.0.0.1:" + at.port, "127.0.0.1:1"))).body as unknown as Record<string, { removed: object[]; changed: object[] }>;
  expect(report["upstreams"]!.removed).toEqual([{ name: "main", open_requests: 1 }]);
  expect(report["listeners"]!.changed).toMatchObject([{ name: "front", open_clients: 1 }]);
  // What the API says over the file stays: only what it does not say is told.
  expect((await api(at, "POST", "config/diff", withTargets(a))).body).toMatchObject({ changed: false });
  const cleared = (await api(at, "DELETE", "overrides")).body;
  expect(cleared).toMatchObject({ cleared: 3 });
  holding.release();
  expect((await client.finalReply()).text).toBe("held");
  await api(at, "PUT", "config", withTargets(a, held));
  const slow = await stage.client(at);
  while (holding.held.length === 0) {
    slow.request("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await Promise.race([slow.finalReply(), until("a request", () => holding.held.length === 1)]);
  }
  const gone = (await api(at, "POST", "config/diff", withTargets(a))).body as unknown as { upstreams: { changed: { targets: { removed: object[] } }[] } };
  expect(gone.upstreams.changed[0]!.targets.removed).toEqual([{ name: held, ...open }]);
  holding.release();
  await until("the end of it", async () => JSON.stringify((await api(at, "POST", "config/diff", withTargets(a))).body).includes('"open_requests":0'));
});

test("one that is brought runs at once, is in no file, and ends with the next reload", async () => {
  const { status, body } = await api(at, "PUT", "config", withTargets(b));
  expect(status).toBe(200);
  expect(body).toMatchObject({ source: "api", file: { changed: true }, applied: { by: "api:token", summary: "targets +1 -2" }, rejected: null, diff: { changed: true } });
  expect(await who(at, 4)).toEqual({ b: 4 });
  expect(readFileSync(at.file, "utf8")).toBe(withTargets(a));
  expect((await api(at, "GET", "config/diff")).body.words).toEqual([`upstream "main": target "${a}" is added`, `upstream "main": target "${b}" is removed`]);
  let from = at.fairlead.log.length;
  const replaced = (): boolean => at.fairlead.log.slice(from).some(({ msg }) => msg === "A configuration that came by the API is replaced by what the file says");
  // By whom ever.
  expect((await api(at, "POST", "reload")).status).toBe(200);
  await at.fairlead.line("the reload", ({ msg }) => msg === "Reload applied", from);
  expect(replaced()).toBeTrue();
  expect((await api(at, "PUT", "config", withTargets(b))).status).toBe(200);
  from = at.fairlead.log.length;
  at.fairlead.signal("SIGHUP");
  await at.fairlead.line("the reload", ({ msg }) => msg === "Reload applied", from);
  expect(replaced()).toBeTrue();
  expect(await who(at, 4)).toEqual({ a: 4 });
  expect((await api(at, "GET", "config")).body).toMatchObject({ source: "file", file: { changed: false }, applied: { by: "signal", summary: "targets +1 -1" } });
});

test("of two at the same time that know the same, one is too late", async () => {
  const { etag } = await api(at, "GET", "config");
  const both = await Promise.all([api(at, "PUT", "config", withTargets(b), { "If-Match": etag! }), api(at, "PUT", "config", withTargets(c), { "If-Match": etag! })]);
  expect(both.map(({ status }) => status)).toEqual([200, 412]);
  expect(both[1]).toMatchObject({ etag: both[0]!.etag, body: { detail: expect.stringContaining("api:token") } });
  expect(await who(at, 4)).toEqual({ b: 4 });
  // One that is only tried is told the same.
  expect((await api(at, "PUT", "config?dry_run=true", withTargets(c), { "If-Match": etag! })).status).toBe(412);
  expect((await api(at, "PUT", "config?dry_run=true", withTargets(c), { "If-Match": both[0]!.etag! })).status).toBe(200);
  expect((await api(at, "GET", "config")).etag).toBe(both[0]!.etag);
  // What people say of targets meanwhile is no other configuration.
  await api(at, "PUT", `upstreams/main/targets/${encodeURIComponent(b)}`, { weight: 2 });
  expect((await api(at, "PUT", "config", withTargets(c), { "If-Match": both[0]!.etag! })).status).toBe(200);
  await api(at, "DELETE", "overrides");
  expect((await api(at, "PUT", "config", withTargets(b, c), { "If-Match": "*" })).status).toBe(200);
});

test("what is in no file goes on over a takeover, and is forgotten by a stop", async () => {
  const first = at.fairlead;
  const { workers: old } = (await api(at, "GET", "status")).body;
  process.kill(first.pid, "SIGKILL");
  await until("its end", () => first.ended !== undefined);
  await writeFile(at.file, "broken");
  await steeredAgain(at);
  await until("the admin address", async () => api(at, "GET", "config").then(() => true, () => false));
  await until("the old workers' end", () => !old.some((pid) => isAlive(pid)), 10_000);
  expect(await who(at, 4)).toEqual({ b: 2, c: 2 });
  expect((await api(at, "GET", "config")).body).toMatchObject({ source: "api", applied: { by: "api:token" }, file: { changed: true } });
  // The file is wrong: that is told, and nothing is lost.
  const refused = await api(at, "POST", "reload");
  expect(refused).toMatchObject({ status: 422, body: { errors: [{ line: 1 }] } });
  expect((await api(at, "GET", "config/diff")).status).toBe(422);
  expect((await api(at, "GET", "config")).body).toMatchObject({ source: "api", rejected: { by: "api:token", source: "file", errors: [{ line: 1 }] } });
  await writeFile(at.file, withTargets(a));
  await at.fairlead.stop();
  await steeredAgain(at);
  expect(await who(at, 4)).toEqual({ a: 4 });
  expect((await api(at, "GET", "config")).body).toMatchObject({ source: "file", file: { changed: false } });
});

test("with persist it is the file's, which keeps its mode, through a link, too", async () => {
  const real = join(at.fairlead.directory, "..", `real-${at.port}.toml`);
  renameSync(at.file, real);
  symlinkSync(real, at.file);
  stage.atEnd(() => renameSync(real, at.file));
  chmodSync(real, 0o640);
  const { status, body } = await api(at, "PUT", "config?persist=true", withTargets(c));
  expect(status).toBe(200);
  expect(body).toMatchObject({ source: "file", file: { changed: false }, applied: { by: "api:token" } });
  expect(readFileSync(at.file, "utf8")).toBe(withTargets(c));
  expect(statSync(real).mode & 0o777).toBe(0o640);
  expect((await api(at, "POST", "reload")).body).toMatchObject({ diff: { changed: false } });
  expect(await who(at, 4)).toEqual({ c: 4 });
  // A rejected one is not written.
  expect((await api(at, "PUT", "config?persist=true", "nonsense")).status).toBe(422);
  // Nor is one that is well, but cannot be run here.
  expect((await api(at, "PUT", "config?persist=true", withTargets(c).replace(`127.0.0.1:${at.admin}`, `127.0.0.1:${at.port}`))).body.detail).toContain("cannot open the admin address");
  expect(readFileSync(at.file, "utf8")).toBe(withTargets(c));
  expect(readdirSync(dirname(real)).filter((name) => name.startsWith(`real-${at.port}`))).toEqual([`real-${at.port}.toml`]);
});

test("what was said of an upstream that does not go with the file any more is set aside, and comes back with it", async () => {
  const mine = withTargets(a, b).replace('name = "main"\n', 'name = "main"\npolicy = "./mine.ts"\n');
  expect((await api(at, "PUT", "config", mine)).status).toBe(200);
  expect(await who(at, 2)).toEqual({ b: 2 });
  // A policy file that the configuration names may be gone back to by its name.
  expect((await api(at, "PUT", "upstreams/main/policy", { policy: "first" })).status).toBe(200);
  expect(await who(at, 2)).toEqual({ a: 2 });
  expect((await api(at, "PUT", "upstreams/main/policy", { policy: "./mine.ts" })).status).toBe(200);
  expect(await who(at, 2)).toEqual({ b: 2 });
  expect((await api(at, "PUT", "config", withTargets(a, b))).status).toBe(200);
  expect(await who(at, 4)).toEqual({ a: 2, b: 2 });
  expect((await api(at, "GET", "overrides")).body.overrides).toMatchObject([{ upstream: "main", what: "policy", aside: expect.stringContaining('policy file "./mine.ts" is not named by the configuration') }]);
  // A state is in force whatever becomes of the rest.
  const state = `upstreams/main/targets/${encodeURIComponent(a)}/state`;
  await api(at, "PUT", state, { state: "maint" });
  expect(await who(at, 2)).toEqual({ b: 2 });
  expect((await api(at, "GET", "overrides")).body.overrides).toMatchObject([{ what: "policy", aside: expect.any(String) }, { what: "state", aside: null }]);
  await api(at, "PUT", state, { state: "ready" });
  expect((await api(at, "PUT", "config", mine)).status).toBe(200);
  expect((await api(at, "GET", "overrides")).body.overrides).toMatchObject([{ what: "policy", aside: null }]);
  expect(await who(at, 2)).toEqual({ b: 2 });
  await api(at, "DELETE", "overrides");
});

test("one that moves the admin address is answered at the one before", async () => {
  const before = at.admin;
  const admin = await freePort();
  expect((await api(at, "PUT", "config", steeredText({ ...at, admin }, [a]))).status).toBe(200);
  expect((await api({ admin }, "GET", "config")).body).toMatchObject({ source: "api" });
  await until("its end", () => api({ admin: before }, "GET", "config").then(() => false, () => true));
  expect((await api({ admin }, "PUT", "config", withTargets(a))).status).toBe(200);
  expect((await fetch(`http://127.0.0.1:${before}/v1/config`, { method: "PUT", body: withTargets(b) })).status).toBe(401);
});

test("10,000 targets: one more is in force soon", async () => {
  const many = Array.from({ length: 10_000 }, (_, index) => `127.1.${index >> 8}.${index & 255}:9`);
  expect((await api(at, "PUT", "config", steeredText(at, [a, ...many], "queue_size = 0\n"))).status).toBe(200);
  const times: number[] = [];
  for (let index = 0; index < 5; index++) {
    const began = performance.now();
    expect((await api(at, "PUT", `upstreams/main/targets/${encodeURIComponent(`127.2.0.${index}:9`)}`, { weight: 2 })).status).toBe(201);
    times.push(Math.round(performance.now() - began));
  }
  console.log(`one target beside 10,000: ${times.join(", ")} ms`);
  expect(times.toSorted((x, y) => x - y)[2]!).toBeLessThan(3_000);
  const before = (await api(at, "GET", "config")).body.generation;
  const began = performance.now();
  await Promise.all(Array.from({ length: 100 }, (_, index) => api(at, "DELETE", `upstreams/main/targets/${encodeURIComponent(many[index]!)}`)));
  console.log(`100 removed at once: ${Math.round(performance.now() - began)} ms`);
  expect((await api(at, "GET", "config")).body.generation - before).toBeLessThan(10);
}, 30_000);
