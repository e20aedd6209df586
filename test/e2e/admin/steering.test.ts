/** Steering a running instance: targets and policies by the API, under load, over worker replacement, reload, takeover, upgrade, stop and start. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isAlive } from "../../../src/supervisor/runtime-directory.ts";
import { Load } from "../../support/load.ts";
import { openStage } from "../../support/stage.ts";
import { api, type Steered, steered, steeredAgain, steeredText, who } from "../../support/steered.ts";
import { Holding, named } from "../../support/traffic.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

const target = (address: string, more = ""): string => `upstreams/main/targets/${encodeURIComponent(address)}${more}`;

async function workersOf(at: Steered): Promise<readonly number[]> {
  return (await api(at, "GET", "status")).body.workers;
}

async function generationOf(at: Steered): Promise<number> {
  return (await api(at, "GET", "config")).body.generation;
}

describe("targets and policies", () => {
  let at: Steered;
  let a: string, b: string, c: string;
  const holding = new Holding("held");

  /** These, and from now on no others: whose turn it is with other clients about is chance. */
  async function answering(...names: readonly string[]): Promise<void> {
    const seen = new Set<string>();
    await until(`answers of ${names.join(", ")}`, async () => {
      for (const name of Object.keys(await who(at, 5))) seen.add(name);
      return names.every((name) => seen.has(name));
    });
    expect([...seen].toSorted()).toEqual([...names]);
  }

  test("are added, weighed and removed under load, and no request is lost", async () => {
    [a, b, c] = await Promise.all(["a", "b", "c"].map(async (name) => (await stage.backend(named(name))).address)) as [string, string, string];
    at = await steered(stage, [a, b]);
    const load = new Load(at.port, 4);
    await until("traffic", () => load.requests > 50);
    expect(await api(at, "PUT", target(c), { weight: 2 })).toMatchObject({ status: 201, body: { upstream: "main", target: c, weight: 2, state: "up", share: 1, generation: 2 } });
    await answering("a", "b", "c");
    expect(await api(at, "PUT", target(c), { zone: "north" })).toMatchObject({ status: 200, body: { weight: 2, zone: "north", generation: 3 } });
    expect(await api(at, "PUT", target(c), { weight: null })).toMatchObject({ status: 200, body: { weight: 1, zone: "north" } });
    // Of the file.
    expect((await api(at, "DELETE", target(a))).status).toBe(204);
    await answering("b", "c");
    expect((await api(at, "PUT", target(b), { weight: 0 })).status).toBe(200);
    expect(await who(at)).toEqual({ c: 12 });
    expect((await api(at, "DELETE", target(a))).status).toBe(404);
    expect((await api(at, "PUT", target(a), {})).status).toBe(201);
    expect((await api(at, "PUT", target(b), { weight: null })).status).toBe(200);
    expect((await api(at, "DELETE", target(c))).status).toBe(204);
    await answering("a", "b");
    // As if nothing had ever been said.
    expect((await api(at, "GET", "overrides")).body.overrides).toEqual([]);
    const told = (await api(at, "GET", `events?target=${c}`)).body.events;
    expect(told.toReversed()).toMatchObject([
      { kind: "joined", upstream: "main", summary: "Joined with weight 2", by: "api:token" },
      { kind: "changed", summary: 'It is said of it: zone "north"', by: "api:token" },
      { kind: "weight", summary: "Weight 1, before 2", by: "api:token" },
      { kind: "left", by: "api:token" },
    ]);
    await load.stop();
    expect(load.failures).toEqual([]);
  }, 20_000);

  test("20 calls at once are few changes, and each is in force when it is answered", async () => {
    const before = await generationOf(at);
    const addresses = Array.from({ length: 20 }, (_, index) => `127.0.0.2:${2000 + index}`);
    const answers = await Promise.all(addresses.map((address) => api(at, "PUT", target(address), { weight: 0 })));
    expect(answers.map(({ status }) => status)).toEqual(addresses.map(() => 201));
    const after = await generationOf(at);
    expect(after - before).toBeLessThanOrEqual(4);
    // One that is wrong is no reason to refuse the others.
    const mixed = await Promise.all([api(at, "DELETE", target(addresses[0]!)), api(at, "PUT", target(addresses[1]!), { backup: true, priority: 0 }), api(at, "DELETE", target(addresses[2]!)), api(at, "DELETE", target("127.0.0.2:1"))]);
    expect(mixed.map(({ status }) => status)).toEqual([204, 422, 204, 404]);
    expect(mixed[1]!.body).toMatchObject({ detail: "a backup is not of priority 0 (leave one of the two out)" });
    expect((await api(at, "GET", "overrides")).body.overrides).toHaveLength(18);
    expect((await api(at, "DELETE", "overrides/main")).body).toMatchObject({ cleared: 18 });
    expect((await api(at, "GET", "overrides")).body.overrides).toEqual([]);
    expect((await api(at, "DELETE", "overrides")).body).toMatchObject({ cleared: 0 });
  });

  test("a policy takes effect, keeps the counters, and goes back to the file's", async () => {
    const requests = async (): Promise<number> => (await api(at, "GET", "status")).body.traffic[0]!.requests;
    const before = await requests();
    expect(await api(at, "PUT", "upstreams/main/policy", { policy: "first" })).toMatchObject({ status: 200, body: { upstream: "main", policy: "first" } });
    expect(await who(at, 6)).toEqual({ a: 6 });
    expect((await api(at, "PUT", "upstreams/main/policy", { policy: "hash", hash_key: "path", policy_timeout: "1500ms" })).status).toBe(200);
    expect(Object.keys(await who(at, 6))).toHaveLength(1);
    expect((await api(at, "DELETE", "upstreams/main/policy")).body).toMatchObject({ policy: "round-robin" });
    expect(await who(at, 6)).toEqual({ a: 3, b: 3 });
    expect(await requests()).toBe(before + 18);
  });

  test("what is wrong is said, and changes nothing", async () => {
    const before = await generationOf(at);
    const wrong: readonly (readonly [method: string, path: string, body: object | string | undefined, status: number, says: string])[] = [
      ["PUT", target(a), { weight: -1 }, 400, "weight"],
      ["PUT", target(a), { wieght: 1 }, 400, "wieght"],
      ["PUT", target(a), { zone: "no spaces here" }, 400, "zone"],
      ["PUT", target(a), "[]", 400, "not a JSON object"],
      ["PUT", target(a), "{", 400, "not JSON"],
      ["PUT", target("nowhere"), { weight: 1 }, 422, "is not an address"],
      ["PUT", target("unix:/var/run/docker.sock"), {}, 403, 'name it in upstream "main" there'],
      ["PUT", target(`127.0.0.1:${at.admin}`), {}, 403, "is the admin address of this instance"],
      ["PUT", target(`0.0.0.0:${at.admin}`), {}, 403, "is the admin address of this instance"],
      ["PUT", target(`an.example:${at.admin}`), {}, 403, "may lead to the admin address of this instance"],
      ["PUT", "upstreams/mian/targets/127.0.0.1%3A1", {}, 404, 'there is no upstream "mian"'],
      ["PUT", "upstreams/mian/policy", { policy: "p2c" }, 404, 'there is no upstream "mian"'],
      ["PUT", "upstreams/main/policy", {}, 400, "p2c"],
      ["PUT", "upstreams/main/policy", { policy: "p3c" }, 422, 'there is no policy "p3c" (did you mean "p2c"?'],
      ["PUT", "upstreams/main/policy", { policy: "/etc/passwd" }, 422, 'policy file "/etc/passwd" is not named by the configuration (built-in ones: '],
      ["PUT", "upstreams/main/policy", { policy: "./mine.ts" }, 422, 'policy file "./mine.ts" is not named by the configuration (built-in ones: '],
      ["PUT", "upstreams/main/policy", { policy: "p2c", bounded_load: 2 }, 422, "bounded_load goes with"],
      ["PUT", "upstreams/main/policy", { policy: "hash", hash_key: "moon" }, 400, "hash_key"],
      ["DELETE", target("127.0.0.1:1"), undefined, 404, "is no target"],
      ["DELETE", `${target(a)}?drain=maybe`, undefined, 400, "drain"],
      ["DELETE", "overrides/mian", undefined, 404, 'there is no upstream "mian"'],
      ["PUT", `${target(a)}/state`, { state: "gone" }, 400, "state"],
    ];
    for (const [method, path, body, status, says] of wrong) {
      const answer = await api(at, method, path, body);
      expect({ path, body, status: answer.status }).toEqual({ path, body, status });
      expect(answer.body.detail).toContain(says);
    }
    expect(await generationOf(at)).toBe(before);
    expect((await api(at, "GET", "overrides")).body.overrides).toEqual([]);
    // The last one cannot go.
    expect((await api(at, "DELETE", target(a))).status).toBe(204);
    expect(await api(at, "DELETE", target(b))).toMatchObject({ status: 422, body: { detail: expect.stringContaining("at least one target") } });
    expect((await api(at, "PUT", target(a), {})).status).toBe(201);
  });

  test("a target that is removed by draining takes nothing new, ends what it has, and goes", async () => {
    const { address } = await stage.backend(holding.script);
    await api(at, "PUT", "upstreams/main/policy", { policy: "first" });
    for (const other of [a, b]) await api(at, "PUT", target(other), { weight: 0 });
    await api(at, "PUT", target(address), {});
    const client = await stage.client(at);
    client.request("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await until("the request", () => holding.held.length === 1);
    await api(at, "DELETE", "upstreams/main/policy");
    for (const other of [a, b]) await api(at, "PUT", target(other), { weight: null });
    expect(await api(at, "DELETE", `${target(address)}?drain=true`)).toMatchObject({ status: 202, body: { state: "draining" } });
    expect(await who(at, 6)).toEqual({ a: 3, b: 3 });
    expect((await api(at, "GET", "overrides")).body.overrides).toContainEqual(expect.objectContaining({ target: address, what: "state", keys: { state: "drain", leaving: true }, by: "api:token", aside: null }));
    holding.release();
    expect((await client.finalReply()).text).toBe("held");
    await until("its end", async () => (await api(at, "GET", "overrides")).body.overrides.length === 0);
    expect((await api(at, "DELETE", target(address))).status).toBe(404);
  });

  test("the last one is not even drained to be removed", async () => {
    expect((await api(at, "DELETE", target(a))).status).toBe(204);
    for (const query of ["", "?drain=true"]) expect((await api(at, "DELETE", `${target(b)}${query}`)).status).toBe(422);
    expect(await who(at, 2)).toEqual({ b: 2 });
    expect((await api(at, "PUT", target(a), {})).status).toBe(201);
    expect((await api(at, "GET", "overrides")).body.overrides).toEqual([]);
  });

  test("what is said is no configuration that was applied, whoever is asked", async () => {
    const told = async (): Promise<readonly unknown[]> => {
      const { applied } = (await api(at, "GET", "config")).body;
      const { instance } = (await api(at, "GET", "overview")).body as unknown as { readonly instance: { readonly generation: number; readonly config: { readonly applied: { readonly generation: number; readonly at: string } } } };
      const { generation, at: when } = applied as { readonly generation: number; readonly at?: string };
      expect(instance.config.applied).toEqual({ generation, at: when! });
      return [generation, instance.generation];
    };
    const [applied, running] = (await told()) as [number, number];
    await api(at, "PUT", target(a), { weight: 2 });
    expect(await told()).toEqual([applied, running + 1]);
    await api(at, "PUT", target(a), { weight: null });
  });

  test("a unix socket that the configuration names is steered like any target of it", async () => {
    const socket = target("unix:/nowhere");
    expect((await api(at, "PUT", "config", steeredText(at, [a, b, "unix:/nowhere"]))).status).toBe(200);
    expect((await api(at, "PUT", socket, { weight: 2 })).status).toBe(200);
    expect((await api(at, "DELETE", socket)).status).toBe(204);
    expect((await api(at, "PUT", socket, {})).status).toBe(201);
    expect((await api(at, "POST", "reload")).status).toBe(200);
    expect((await api(at, "PUT", socket, {})).status).toBe(403);
    await api(at, "DELETE", "overrides");
  });

  test("what changes nothing is no new generation", async () => {
    const before = await generationOf(at);
    expect((await api(at, "PUT", target(a), {})).status).toBe(200);
    expect((await api(at, "PUT", target(a), { weight: null })).status).toBe(200);
    expect((await api(at, "DELETE", "overrides")).body).toMatchObject({ cleared: 0 });
    expect((await api(at, "DELETE", "overrides/main")).body).toMatchObject({ cleared: 0 });
    expect(await generationOf(at)).toBe(before);
  });

  test("what was said outlives workers, reloads, the supervisor, an upgrade, and a stop", async () => {
    await api(at, "PUT", target(c), { weight: 3, max_requests: 50 });
    await api(at, "DELETE", target(a));
    await api(at, "PUT", `${target(b)}/state`, { state: "maint" });
    await api(at, "PUT", "upstreams/main/policy", { policy: "p2c" });
    const said = [
      { upstream: "main", target: null, what: "policy", keys: { policy: "p2c" }, aside: null, at: expect.any(String), by: "api:token" },
      { upstream: "main", target: c, what: "added", keys: { weight: 3, max_requests: 50 }, aside: null, at: expect.any(String), by: "api:token" },
      { upstream: "main", target: a, what: "removed", keys: {}, aside: null, at: expect.any(String), by: "api:token" },
      { upstream: "main", target: b, what: "state", keys: { state: "maint" }, aside: null, at: expect.any(String), by: "api:token" },
    ];
    const holds = async (): Promise<void> => {
      expect((await api(at, "GET", "overrides")).body.overrides).toEqual(said);
      expect(await who(at, 6)).toEqual({ c: 6 });
      const shown = (await api(at, "GET", "config")).body.config.upstreams[0];
      expect(shown).toMatchObject({ policy: "p2c", targets: [{ address: b, weight: 1 }, { address: c, weight: 3, max_requests: 50 }] });
    };
    await holds();
    const load = new Load(at.port, 2);

    const [one] = await workersOf(at);
    process.kill(one!, "SIGKILL");
    await until("another worker", async () => (await workersOf(at)).length === 2 && !(await workersOf(at)).includes(one!));
    // Requests that it had are lost with it, and nobody's fault here.
    load.failures.length = 0;
    await holds();

    expect((await api(at, "POST", "reload")).body).toMatchObject({ source: "file", applied: { by: "api:token", summary: "nothing has changed" }, diff: { changed: false } });
    await holds();

    // A target that people changed goes with the file's, and comes back with it.
    await writeFile(at.file, steeredText(at, [a]));
    expect((await api(at, "POST", "reload")).body.diff.words).toEqual([`upstream "main": target "${b}" is removed`]);
    expect((await api(at, "GET", "overrides")).body.overrides[3]).toMatchObject({ target: b, aside: `${b} is no target of upstream "main"` });
    await writeFile(at.file, steeredText(at, [a, b]));
    await api(at, "POST", "reload");
    await holds();

    const first = at.fairlead;
    const old = await workersOf(at);
    process.kill(first.pid, "SIGKILL");
    await until("its end", () => first.ended !== undefined);
    await steeredAgain(at);
    await until("the admin address", async () => api(at, "GET", "config").then(() => true, () => false));
    await until("the old workers' end", () => !old.some((pid) => isAlive(pid)), 10_000);
    await holds();

    at.fairlead.signal("SIGUSR2");
    await until("the new binary", async () => api(at, "GET", "status").then(({ body }) => body.pid !== at.fairlead.pid, () => false), 15_000);
    await until("the admin address", async () => api(at, "GET", "config").then(() => true, () => false));
    await holds();
    await load.stop();
    expect(load.failures).toEqual([]);

    const successor = (await api(at, "GET", "status")).body.pid;
    process.kill(successor, "SIGTERM");
    await until("its end", () => !isAlive(successor), 10_000);
    const stateFile = join(first.directory, "state.json");
    expect(statSync(stateFile).mode & 0o777).toBe(0o600);
    await steeredAgain(at);
    await holds();
    expect((await api(at, "GET", "overrides")).body.state_file).toEqual({ path: stateFile, problem: null });
    await at.fairlead.stop();

    // A damaged one is moved out of the way, and traffic is served as the file says.
    writeFileSync(stateFile, readFileSync(stateFile, "utf8").slice(0, 40));
    await steeredAgain(at);
    await at.fairlead.line("the damage", ({ level, msg }) => level === "error" && msg!.includes("STATE FILE IS DAMAGED"));
    expect(await who(at, 6)).toEqual({ a: 3, b: 3 });
    expect((await api(at, "GET", "overrides")).body.state_file?.problem).toContain("damaged");
    expect(existsSync(`${stateFile}.damaged`)).toBe(true);
    await at.fairlead.stop();

    // One of a Fairlead to come is not damaged: it is there for that one.
    const newer = JSON.stringify({ version: 2, said: "what nobody here knows" });
    writeFileSync(stateFile, newer);
    await steeredAgain(at);
    await at.fairlead.line("its version", ({ level, msg, reason }) => level === "error" && msg!.includes("STATE FILE IS ANOTHER VERSION'S") && reason === "it is of version 2, and this Fairlead reads version 1");
    expect((await api(at, "GET", "overrides")).body.state_file?.problem).toBe(`it is of version 2, and this Fairlead reads version 1: it was not read at the start, and is ${stateFile}.version-2 now`);
    await api(at, "PUT", target(c), {});
    expect(readFileSync(`${stateFile}.version-2`, "utf8")).toBe(newer);
    expect(JSON.parse(readFileSync(stateFile, "utf8"))).toMatchObject({ targets: [{ target: c, how: "added" }] });
    await at.fairlead.stop();
  }, 60_000);
});
