/** The admin API as a whole, on a running instance: what it says of itself, what it answers, whom it refuses and how. */
import { beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { faultsOf, mismatch, type OpenApi } from "../../support/openapi.ts";
import { freePort } from "../../support/ports.ts";
import type { RawBackend } from "../../support/raw-backend.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const TOKENS = { eyes: "the token of eyes", ops: "the token of ops", all: "the token of all" };

let base: string;
let front: Balanced;
let backend: RawBackend;
let document: OpenApi;

beforeAll(async () => {
  backend = await stage.backend();
  const admin = await freePort();
  base = `http://127.0.0.1:${admin}`;
  front = await stage.fairlead({
    targets: [backend, "127.0.0.1:1"],
    files: { "ops.token": `${TOKENS.ops}\n` },
    top: {
      admin: {
        address: `127.0.0.1:${admin}`,
        token: TOKENS.all,
        tokens: [
          { name: "eyes", token: TOKENS.eyes, access: "read" },
          { name: "ops", token_file: "ops.token", access: "steer" },
        ],
      },
      routes: [{ hosts: ["api.test"], path_prefix: "/v1", methods: ["GET"], upstream: "other" }],
    },
    upstream: { slow_start: "30s", hedge: {}, circuit_breaker: {}, sticky: {}, heartbeat: {}, health_check: { type: "tcp", interval: "1s" }, outlier_detection: false },
    upstreams: { other: [backend] },
  });
  for (let i = 0; i < 5; i++) await fetch(front.url);
  document = (await (await ask("/v1/openapi.json", { token: "" })).json()) as OpenApi;
});

function ask(path: string, { token = TOKENS.all as string, ...init }: RequestInit & { readonly token?: string } = {}): Promise<Response> {
  return fetch(base + path, { ...init, headers: { ...(token === "" ? {} : { Authorization: `Bearer ${token}` }), ...(init.headers as Record<string, string> | undefined) } });
}

/** A problem document and nothing else. */
async function problem(response: Response): Promise<{ readonly status: number; readonly detail: string; readonly [member: string]: unknown }> {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(response.headers.get("cache-control")).toBe("no-store");
  const body = (await response.json()) as { readonly type: string; readonly title: string; readonly status: number; readonly detail: string };
  expect(body.status).toBe(response.status);
  expect(body.type).toStartWith("https://fairlead.dev/problems/");
  expect(body.title.length).toBeGreaterThan(5);
  expect(mismatch(document, { $ref: "#/components/schemas/Problem" }, body)).toBeUndefined();
  return body as never;
}

/** Paths with names of things that are there. */
function filled(path: string): string {
  return path.replace("{upstream}", "main").replace("{target}", encodeURIComponent(backend.address)).replace("{listener}", "front");
}

describe("what it says of itself", () => {
  test("follows the rules of OpenAPI 3.1", () => expect(faultsOf(document)).toEqual([]));

  test("is what docs/admin.md has, with the access that is needed", () => {
    const rows = readFileSync(join(import.meta.dir, "../../../docs/admin.md"), "utf8").matchAll(/^\| `([A-Z]+) (\/\S*)` \|.*\| (\w+) \|$/gm);
    const documented = new Set([...rows].map(([, method, path, access]) => `${method} ${path} ${access}`));
    const described = Object.entries(document.paths).flatMap(([path, item]) => Object.entries(item).map(([method, { security }]) => `${method.toUpperCase()} ${path} ${security[0]?.["token"]?.[0] ?? "open"}`));
    expect([...documented].toSorted()).toEqual(described.toSorted());
  });

  test("has every path that is answered, and says what is needed for it", async () => {
    expect(Object.keys(document.paths)).toContain("/v1/openapi.json");
    for (const [path, item] of Object.entries(document.paths)) {
      const probe = Object.keys(item).includes("patch") ? "TRACE" : "PATCH";
      const response = await ask(filled(path), { method: probe });
      expect([path, response.status]).toEqual([path, 405]);
      const methods = Object.keys(item).map((method) => method.toUpperCase());
      expect([path, response.headers.get("allow")?.split(", ").toSorted()]).toEqual([path, [...methods, ...(methods.includes("GET") ? ["HEAD"] : [])].toSorted()]);
      await problem(response);
      for (const [method, { security }] of Object.entries(item)) {
        if (security.length === 0) continue;
        const refused = await ask(filled(path), { method: method.toUpperCase(), token: "" });
        expect([method, path, refused.status]).toEqual([method, path, 401]);
        await refused.body?.cancel();
      }
    }
  });

  test("answers are as it describes them, and HEAD tells the same without them", async () => {
    let compared = 0;
    for (const [path, item] of Object.entries(document.paths)) {
      const content = item["get"]?.responses["200"]?.content?.["application/json"];
      // Those that name something else, as an event's number, are held to it where that thing is made.
      if (content === undefined || /\{(?!upstream|target|listener)/.test(path)) continue;
      const response = await ask(filled(path));
      expect([path, response.status]).toEqual([path, 200]);
      expect([path, mismatch(document, content.schema, await response.json())]).toEqual([path, undefined]);
      const head = await ask(filled(path), { method: "HEAD" });
      expect([path, head.status, head.headers.get("content-type"), await head.text()]).toEqual([path, 200, response.headers.get("content-type"), ""]);
      compared++;
    }
    expect(compared).toBeGreaterThanOrEqual(11);
  });

  test("a HEAD of the stream holds none open", async () => {
    for (let i = 0; i < 40; i++) expect((await ask("/v1/stream", { method: "HEAD" })).status).toBe(200);
  });
});

describe("who may", () => {
  test("a token does what it is for, and no more", async () => {
    const put = (token: string): Promise<Response> => ask(filled("/v1/upstreams/{upstream}/targets/{target}/state"), { method: "PUT", token, body: '{"state":"drain"}' });
    expect(await problem(await put(TOKENS.eyes))).toMatchObject({ status: 403, needs: "steer", detail: 'token "eyes" has access = "read"; this needs "steer"' });
    expect(await problem(await put("no token of anybody"))).toMatchObject({ status: 401 });
    expect(await state()).toBe("up");
    expect((await put(TOKENS.ops)).status).toBe(200);
    expect(await state()).toBe("draining");
    await ask(filled("/v1/upstreams/{upstream}/targets/{target}/state"), { method: "PUT", body: '{"state":"ready"}' });
    expect(await state()).toBe("up");
    expect((await ask("/v1/overview", { token: TOKENS.eyes })).status).toBe(200);
  });

  test("pages of others and rebound names are refused, whatever token they have", async () => {
    for (const headers of [{ Origin: "http://evil.example" }, { "Sec-Fetch-Site": "cross-site" }, { Origin: "null" }]) expect(await problem(await ask("/v1/overview", { headers }))).toMatchObject({ status: 403 });
  });

  test("no token is told, by anything", async () => {
    const told = [...front.fairlead.lines];
    for (const [path, item] of Object.entries(document.paths)) {
      if (item["get"] === undefined || path === "/v1/stream") continue;
      told.push(await (await ask(filled(path))).text());
    }
    const file = readFileSync(join(front.fairlead.directory, "fairlead.toml"), "utf8");
    expect(file).toContain(TOKENS.eyes);
    for (const candidate of [file.replace(TOKENS.eyes, "another for eyes"), file.replace(`"${TOKENS.eyes}"`, `"the toke`), file.replace('access = "read"', 'access = "raed"')]) {
      for (const [method, path] of [["POST", "/v1/config/diff"], ["PUT", "/v1/config?dry_run=true"]] as const) told.push(await (await ask(path, { method, body: candidate })).text());
    }
    expect(told.filter((text) => text.includes("admin")).length).toBeGreaterThanOrEqual(4);
    for (const token of [...Object.values(TOKENS), "another for eyes", "the toke\n"]) expect(told.filter((text) => text.includes(token))).toEqual([]);
  });
});

async function state(): Promise<string> {
  return ((await (await ask(filled("/v1/upstreams/{upstream}/targets/{target}"))).json()) as { readonly state: string }).state;
}

test("what is not understood gets a problem document, and changes nothing", async () => {
  const before = await state();
  const steered = filled("/v1/upstreams/{upstream}/targets/{target}/state");
  const put = (body: string | Uint8Array<ArrayBuffer>): RequestInit => ({ method: "PUT", body });
  const cases: readonly (readonly [string, RequestInit, number, string])[] = [
    [steered, put("{"), 400, "the body is not JSON"],
    [steered, put("[1]"), 400, "the body is not a JSON object"],
    [steered, put("null"), 400, "the body is not a JSON object"],
    [steered, put('{"state":"gone"}'), 400, 'the body is {"state": "ready"}, "drain" or "maint"'],
    [steered, put('{"state":"drain","now":true}'), 400, "now"],
    [steered, put(new Uint8Array([0xff, 0xfe])), 400, "the body is not JSON"],
    [steered, put(JSON.stringify({ state: "drain", more: "x".repeat(70_000) })), 413, "a body has at most 65536 bytes here"],
    [steered, { method: "POST", body: '{"state":"drain"}' }, 405, "POST is not among"],
    ["/v1/upstreams/man/targets/127.0.0.1:1/state", put('{"state":"drain"}'), 404, 'there is no upstream "man" (did you mean "main"?)'],
    ["/v1/upstreams/main/targets/127.0.0.1:2/state", put('{"state":"drain"}'), 404, '127.0.0.1:2 is no target of upstream "main" (did you mean "127.0.0.1:1"?)'],
    ["/v1/upstreams/%zz", {}, 400, '"%zz" is not percent-encoded text'],
    ["/v1/upstreams/nothing-like-it", {}, 404, 'there is no upstream "nothing-like-it"; there are "main", "other"'],
    ["/v1/listeners/fornt", {}, 404, 'there is no listener "fornt" (did you mean "front"?)'],
    ["/v1/nothing", {}, 404, "nothing is at /v1/nothing; GET /v1/openapi.json says what there is"],
    ["/v1/history?since=1", {}, 400, "since"],
  ];
  for (const [path, init, status, detail] of cases) {
    const told = await problem(await ask(path, init));
    expect([path, told.status, told.detail]).toEqual([path, status, expect.stringContaining(detail)]);
  }
  expect(await state()).toBe(before);
});

test("a body that is larger than any is refused before its end, whether its length is told or not", async () => {
  const huge = new Uint8Array(64 * 1024 * 1024);
  const pieces = (): ReadableStream<Uint8Array> => {
    let left = 64;
    return new ReadableStream({ pull: (controller) => (left-- > 0 ? controller.enqueue(huge.subarray(0, 1024 * 1024)) : controller.close()) });
  };
  const before = front.fairlead.memory();
  for (const path of [filled("/v1/upstreams/{upstream}/targets/{target}/state"), "/v1/config"]) {
    for (const body of [huge, pieces()]) {
      // Who is refused while it sends may hear of it by a reset.
      const response = await ask(path, { method: "PUT", body }).catch(() => undefined);
      if (response !== undefined) expect(await problem(response)).toMatchObject({ status: 413, detail: `a body has at most ${path === "/v1/config" ? 8_388_608 : 65_536} bytes here` });
      else expect(body).not.toBe(huge);
    }
  }
  expect(front.fairlead.memory() - before).toBeLessThan(60_000_000);
  expect(await state()).toBe("up");
});

test("each thing tells all that is known of it", async () => {
  const get = async (path: string): Promise<Record<string, unknown>> => (await (await ask(filled(path))).json()) as Record<string, unknown>;
  expect(await get("/v1/instance")).toMatchObject({ generation: 1, state: "ok", config: { rejected: null }, open_clients: expect.any(Number) });
  expect(await get("/v1/listeners/{listener}")).toMatchObject({ name: "front", routes: ["GET api.test/v1"], max_clients_per_ip: null, http2: true, timeouts_ms: { client_header: 10_000, request: 0 } });
  expect(await get("/v1/routes")).toMatchObject({ routes: [{ label: "GET api.test/v1", hosts: ["api.test"], upstream: "other" }] });
  expect(await get("/v1/upstreams")).toMatchObject({ upstreams: [{ name: "main", target_count: 2 }, { name: "other" }] });
  expect((await get("/v1/upstreams"))["upstreams"]).not.toHaveProperty("0.targets");
  const main = await get("/v1/upstreams/{upstream}");
  expect(main).toMatchObject({
    policy: "round-robin",
    queue: { size: 1024, timeout_ms: 15_000, waiting: 0 },
    retry_budget: { retries: 1, allowed: 3, held: 0 },
    hedges: { percentile: 95, min_delay_ms: 2 },
    circuit_breaker: { state: "closed", until: null, failure_rate: 50 },
    sticky_cookie: "fairlead",
    health_check: { type: "tcp", interval_ms: 1_000 },
    slow_start_ms: 30_000,
    timeouts_ms: { connect: 5_000 },
  });
  expect(main["requests_total"] as number).toBeGreaterThanOrEqual(5);
  expect(await get("/v1/upstreams/{upstream}/targets/{target}")).toMatchObject({
    upstream: "main",
    address: backend.address,
    health: { kind: "tcp", up: true },
    weights: { configured: 1, agent_percent: 100, heartbeat: null },
    withdrawn: [],
    cut_at: null,
    max_requests: null,
    supervised: null,
  });
  await ask(filled("/v1/upstreams/{upstream}/targets/{target}/state"), { method: "PUT", body: '{"state":"maint"}' });
  await ask(filled("/v1/upstreams/{upstream}/targets/{target}/heartbeat"), { method: "PUT", body: '{"capacity":3,"draining":true}' });
  expect(await get("/v1/upstreams/{upstream}/targets/{target}")).toMatchObject({
    state: "draining+maintenance",
    share: 3,
    weights: { configured: 1, effective: 3, heartbeat: 3 },
    withdrawn: [
      { reason: "admin", state: "maint", by: "api:token" },
      { reason: "heartbeat", state: "drain", by: "heartbeat" },
    ],
    cut_at: expect.stringMatching(/^\d{4}-/),
  });
  await ask(filled("/v1/upstreams/{upstream}/targets/{target}/heartbeat"), { method: "PUT", body: "{}" });
  await ask(filled("/v1/upstreams/{upstream}/targets/{target}/state"), { method: "PUT", body: '{"state":"ready"}' });
  const back = await get("/v1/upstreams/{upstream}/targets/{target}");
  expect(back).toMatchObject({ state: "up", weights: { slow_start_until: expect.stringMatching(/^\d{4}-/) } });
  expect(back["share"] as number).toBeLessThan(1);
});

test("is ready while workers serve, and not while it drains", async () => {
  expect(await (await ask("/ready", { token: "" })).json()).toEqual({ status: "ok", generation: 1, workers: { serving: 1, wanted: 1 } });
  const client = await stage.connection(front);
  client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
  await until("the request to be open", async () => ((await (await ask("/v1/instance")).json()) as { readonly open_requests: number }).open_requests === 1);
  front.fairlead.signal("SIGTERM");
  const response = await front.fairlead.line("draining", ({ msg }) => msg === "Draining").then(() => ask("/ready", { token: "" }));
  expect([response.status, await response.json()]).toEqual([503, { status: "draining", generation: 1, workers: { serving: 0, wanted: 1 }, reason: expect.stringContaining("stops") }]);
});
