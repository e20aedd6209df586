/** `POST /v1/explain` and `fairlead explain` on an instance of two workers, with targets that are down, ejected and draining. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import type { Explained } from "fairlead";
import type { ExplainedTarget } from "../../../src/admin/explained.ts";
import { ran } from "../../cli/ran.ts";
import { freePort } from "../../support/ports.ts";
import { reply } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

/** A policy that counts its picks, and says nothing of itself. */
const SILENT = "let picks = 0; export default { pick: (_request, targets) => targets[picks++ % targets.length] };";

test("a request is explained as it would go, and nothing is changed by that", async () => {
  const [a, b, c] = await stage.backends(3);
  const bad = await stage.backend((_request, connection) => connection.write(reply(500, "no")));
  const admin = await freePort();
  const gone = `127.0.0.1:${await freePort()}`;
  const token = "secret-of-the-test";
  const { fairlead, url, port } = await stage.fairlead({
    targets: [a!, b!, gone, bad, c!],
    top: { workers: 2, admin: { address: `127.0.0.1:${admin}`, token } },
    upstream: { health_check: { type: "tcp", interval: "200ms", fall: 1, rise: 1 }, outlier_detection: { consecutive_5xx: 1, base_ejection: "60s", max_ejected: "100%" }, retries: 2, panic_threshold: "10%" },
    routes: [{ name: "writes", methods: ["POST"], path_prefix: "/api", upstream: "keyed" }, { hosts: ["*.silent.example"], upstream: "silent" }],
    tail: `
[[upstreams]]
name = "keyed"
policy = "hash"
hash_key = "header:X-User"
targets = [{ address = "${a!.address}" }, { address = "${b!.address}" }, { address = "${c!.address}" }]

[[upstreams]]
name = "silent"
policy = "./silent.ts"
targets = [{ address = "${a!.address}" }, { address = "${b!.address}" }]
`,
    files: { "silent.ts": SILENT },
  });
  const call = (body: unknown, headers: Record<string, string> = {}): Promise<Response> => fetch(`http://127.0.0.1:${admin}/v1/explain`, { method: "POST", headers: { Authorization: `Bearer ${token}`, ...headers }, body: typeof body === "string" ? body : JSON.stringify(body) });
  const explain = async (body: object): Promise<Explained> => {
    const response = await call(body);
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as Explained;
  };
  const state = (told: Explained, address: string): ExplainedTarget => told.upstream!.targets.find((target) => target.address === address)!;

  // The bad one is ejected by its first answer, c is drained, and one is not there.
  for (let i = 0; i < 8; i++) await (await fetch(url)).text();
  await fetch(`http://127.0.0.1:${admin}/v1/upstreams/main/targets/${c!.address}/state`, { method: "PUT", headers: { Authorization: `Bearer ${token}` }, body: '{"state": "drain"}' });
  const told = await until("all three states", async () => {
    const now = await explain({ url });
    return state(now, bad.address).ejected !== null && !state(now, gone).usable && !state(now, c!.address).usable ? now : undefined;
  });
  expect(state(told, gone)).toMatchObject({ usable: false, why_not: ["down"], state: "down", since: expect.stringMatching(/^\d{4}-/), check: { ok: false, reason: expect.stringContaining("refused") } });
  expect(state(told, bad.address)).toMatchObject({ usable: false, why_not: ["ejected"], state: "ejected", ejected: { detector: "consecutive-5xx", times: 1 } });
  expect(state(told, c!.address)).toMatchObject({ usable: false, why_not: ["draining"], state: "draining" });
  expect(told.routes.map(({ label, failed }) => [label, failed?.condition])).toEqual([["writes", "path"], ["*.silent.example", "host"]]);
  expect(told.outcome).toMatchObject({ kind: "forwarded", route: null, upstream: "main" });
  expect(told.upstream!.order.toSorted()).toEqual([a!.address, b!.address].toSorted());

  // Each goes where it was told, whichever worker gets it; with more questions than requests.
  const counts = (): number[] => [a!, b!].map(({ requests }) => requests.length);
  for (let i = 0; i < 6; i++) {
    const { outcome, upstream } = await explain({ url });
    await explain({ url });
    const before = counts();
    await (await fetch(url)).text();
    const went = [a!, b!].find(({ requests }, index) => requests.length > before[index]!)!;
    expect([i, outcome.target]).toEqual([i, went.address]);
    expect(upstream!.tiers[0]!.next.slice(0, 2).toSorted()).toEqual([a!.address, b!.address].toSorted());
  }

  // A key goes where it is told.
  const keyed = await explain({ method: "POST", url: `${url}/api/x`, headers: { "X-User": "ada" } });
  expect(keyed).toMatchObject({ outcome: { route: "writes", upstream: "keyed" }, upstream: { key: { of: "header X-User", value: "ada" }, order: { length: 3 } } });
  const home = [a!, b!, c!].find(({ address }) => address === keyed.outcome.target)!;
  const before = home.requests.length;
  await fetch(`${url}/api/x`, { method: "POST", headers: { "X-User": "ada" }, body: "" });
  expect(home.requests.length).toBe(before + 1);

  // A policy that says nothing of itself is asked only when that is wanted.
  const quiet = { url: `http://x.silent.example:${port}/` };
  expect(await explain(quiet)).toMatchObject({ outcome: { kind: "undecided", target: null, summary: "its policy does not say" }, upstream: { policy_asked: false } });
  expect(await explain({ ...quiet, ask_policy: true })).toMatchObject({ outcome: { kind: "forwarded", target: a!.address }, upstream: { policy_asked: true } });
  expect(await explain({ ...quiet, ask_policy: true })).toMatchObject({ outcome: { target: b!.address } });

  // Wrong input changes nothing, and is told.
  const problem = async (body: unknown, headers?: Record<string, string>): Promise<unknown> => {
    const response = await call(body, headers);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    return [response.status, ((await response.json()) as { detail: string }).detail];
  };
  expect(await problem({ url: "nonsense" })).toEqual([422, expect.stringContaining("no URL of a request")]);
  expect(await problem({ url: "constructor://127.0.0.1/" })).toEqual([422, expect.stringContaining("no URL of a request")]);
  expect(await problem({ url, client: "[::1]:99999" })).toEqual([422, expect.stringContaining("is no address")]);
  expect(await problem({ url, listener: "back" })).toEqual([422, `there is no listener "back"; there are front (http, port ${port})`]);
  expect(await problem("{")).toEqual([400, "the body is not JSON"]);
  expect(await problem({})).toEqual([400, expect.stringContaining("url")]);
  expect(await problem({ url, extra: 1 })).toEqual([400, expect.stringContaining("extra")]);
  expect(await problem({ url: `${url}/${"x".repeat(70_000)}` })).toEqual([413, expect.any(String)]);
  expect(await problem({ url }, { Authorization: "Bearer other" })).toEqual([401, expect.any(String)]);

  // The same for people.
  const directory = stage.directory();
  writeFileSync(join(directory, "fairlead.toml"), `[admin]\naddress = "127.0.0.1:${admin}"\ntoken = "${token}"\n`);
  const { code, stdout, stderr } = await ran(["explain", "POST", `${url}/api/x`, "-H", "X-User: ada", "--client", "203.0.113.9"], directory);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toContain(`front  →  writes  →  keyed  →  ${keyed.outcome.target!}\nby hash\n`);
  for (const part of ["client 203.0.113.9:50000", '"ada" hashes to', "✓ writes  → keyed", `▸  ${keyed.outcome.target!}`, "+ X-Forwarded-For: 203.0.113.9", "the method is not idempotent"]) expect(stdout).toContain(part);
  expect(stdout).not.toContain("\u001B");
  const main = await ran(["explain", url], directory);
  expect(main.stdout).toMatch(new RegExp(`✗ .*${gone}.* down for .*refused`));
  expect(main.stdout).toMatch(new RegExp(`✗ .*${bad.address}.* ejected by consecutive-5xx for another \\d+`));
  expect(main.stdout).toMatch(new RegExp(`✗ .*${c!.address}.* draining`));
  expect(main.stdout).toContain("✗ *.silent.example");
  const json = await ran(["explain", url, "--json"], directory);
  expect(JSON.parse(json.stdout)).toMatchObject({ outcome: { upstream: "main" }, listener: { name: "front", found_by: "port" } });
  expect(await ran(["explain", url, "--listener", "back"], directory)).toMatchObject({ code: 1, stdout: "", stderr: `fairlead: there is no listener "back"; there are front (http, port ${port})\n` });
  expect(await ran(["explain", url, "--token", "other"], directory)).toMatchObject({ code: 1, stderr: expect.stringContaining("wants a token") });
  expect(await ran(["explain", url, "-H", "nonsense"], directory)).toMatchObject({ code: 2, stderr: "fairlead: -H \"nonsense\" is no header: write it as -H 'Name: value'\n" });
  expect(fairlead.log.filter(({ level }) => level === "error")).toEqual([]);
}, 60_000);
