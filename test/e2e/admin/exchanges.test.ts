/** Exchanges that went badly are found with whom they could have gone to, where they went, and what each attempt came to. */
import { beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KeptExchange } from "../../../src/observability/exchange-ring.ts";
import { Fairlead } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { type RawBackend, reply } from "../../support/raw-backend.ts";
import { type Balanced, configText, openStage } from "../../support/stage.ts";
import { untilStill, until } from "../../support/until.ts";

const stage = openStage();
let front: Balanced;
let admin: number;
let well: RawBackend;
let failing: RawBackend;
let silent: RawBackend;
/** Nobody listens there. */
let nobody: string;

function config(exchanges: string): string {
  return configText(front?.port ?? 0, {
    targets: [nobody, well],
    top: { admin: { address: `127.0.0.1:${admin}` } },
    upstream: { retries: 1, retry_budget_min: 100, outlier_detection: false },
    routes: [
      { path_prefix: "/failing", upstream: "failing" },
      { path_prefix: "/hedged", upstream: "hedged" },
    ],
    tail: `
[exchanges]
${exchanges}
[[upstreams]]
name = "failing"
retries = 0
outlier_detection = false
[[upstreams.targets]]
address = "${failing.address}"
[[upstreams]]
name = "hedged"
policy = "first"
outlier_detection = false
[upstreams.hedge]
percentile = 50
min_delay = "20ms"
[[upstreams.targets]]
address = "${silent.address}"
[[upstreams.targets]]
address = "${well.address}"
`,
  });
}

interface Told {
  readonly exchanges: readonly KeptExchange[];
  readonly dropped: number;
}

async function told(query = ""): Promise<Told> {
  const answer = await fetch(`http://127.0.0.1:${admin}/v1/exchanges?${query}`);
  if (answer.status !== 200) throw new Error(await answer.text());
  return (await answer.json()) as Told;
}

async function ask(path: string, id: string): Promise<number> {
  return (await fetch(`${front.url}${path}`, { headers: { "X-Request-ID": id, "Authorization": "Basic c2VjcmV0", "Connection": "close" } })).status;
}

async function recordOf(id: string): Promise<KeptExchange> {
  return until(`the record of ${id}`, async () => (await told(`request_id=${id}`)).exchanges[0]);
}

async function reload(exchanges: string): Promise<void> {
  const from = front.fairlead.log.length;
  writeFileSync(join(front.fairlead.directory, "fairlead.toml"), config(exchanges));
  front.fairlead.signal("SIGHUP");
  await front.fairlead.line("the reload", ({ msg }) => msg === "Reload applied", from);
}

const USUAL = `slow = "250ms"\nsample = 0`;

beforeAll(async () => {
  well = await stage.backend(async (request, connection) => {
    if (!(await request.ended)) return;
    if (request.target === "/slow") setTimeout(() => connection.write(reply(200, "ok")), 300);
    else connection.write(reply(200, "ok"));
  });
  failing = await stage.backend(async (request, connection) => (await request.ended) && connection.write(reply(500, "no")));
  silent = await stage.backend(async (request, connection) => {
    if (!(await request.ended)) return;
    setTimeout(() => connection.write(reply(200, "late")), request.target === "/hedged/slow" ? 150 : 0);
  });
  nobody = `127.0.0.1:${await freePort()}`;
  const port = await freePort();
  admin = await freePort();
  front = { port } as Balanced;
  const fairlead = await Fairlead.start(config(USUAL));
  stage.atEnd(() => fairlead.kill());
  front = { fairlead, port, url: `http://127.0.0.1:${port}` };
});

test("one that was tried again: both attempts, and the candidates", async () => {
  // Round robin: one of two goes to nobody first.
  expect([await ask("/a?token=secret", "again-1"), await ask("/a?token=secret", "again-2")]).toEqual([200, 200]);
  const found = await until("the record", async () => (await told("why=retried")).exchanges[0]);
  expect(found).toMatchObject({ why: ["retried"], protocol: "HTTP/1.1", listener: "front", upstream: "main", target: well.address, method: "GET", path: "/a?…", status: 200, cause: "done", attempts: 2, candidates: [nobody, well.address], candidate_count: 2 });
  expect(["again-1", "again-2"]).toContain(found.request_id);
  expect(found.tries.map(({ target, cause, status, hedge }) => [target, cause, status, hedge])).toEqual([
    [nobody, "connect-refused", 0, false],
    [well.address, "done", 200, false],
  ]);
  expect(found.tries[1]!.at_ms).toBeGreaterThanOrEqual(found.tries[0]!.at_ms);
  expect(JSON.stringify(found)).not.toMatch(/secret|c2VjcmV0/);
  expect(await (await fetch(`http://127.0.0.1:${admin}/v1/exchanges/${found.id}`)).json()).toEqual(found);
});

test("one that failed at its target, and one that nothing could be done about", async () => {
  expect(await ask("/failing", "failed-1")).toBe(500);
  expect(await recordOf("failed-1")).toMatchObject({ why: ["failed"], upstream: "failing", target: failing.address, status: 500, cause: "done", attempts: 1, tries: [{ target: failing.address, status: 500 }] });
  await failing.stop();
  expect(await ask("/failing", "failed-2")).toBe(502);
  const refused = await recordOf("failed-2");
  expect(refused).toMatchObject({ upstream: "failing", status: 502, cause: "connect-refused", candidates: [failing.address] });
  expect(refused.tries.at(-1)).toMatchObject({ target: failing.address, cause: "connect-refused", status: 0 });
  expect((await told(`cause=connect-refused&upstream=failing&target=${failing.address}`)).exchanges).toContainEqual(refused);
});

test("one that took long, and none that did not", async () => {
  while ((await ask("/slow", "slow")) !== 200);
  const slow = await recordOf("slow");
  expect(slow.why).toContain("slow");
  expect(slow.duration_ms).toBeGreaterThanOrEqual(295);
  expect(slow.first_byte_ms).toBeGreaterThanOrEqual(290);
  expect((await told("why=sampled")).exchanges).toEqual([]);
});

test("one that was hedged, though the first answer came from the first target", async () => {
  // Until it is known what is usual.
  for (let i = 0; i < 100; i++) await ask("/hedged", "");
  await ask("/hedged/slow", "hedged");
  const hedged = await recordOf("hedged");
  expect(hedged.why).toContain("retried");
  expect(hedged.tries.map(({ target, hedge }) => [target, hedge])).toEqual([
    [silent.address, false],
    [well.address, true],
  ]);
}, 20_000);

test("a flood of failures is cut down, and counted", async () => {
  const client = async (): Promise<void> => {
    const connection = await stage.client(front);
    for (let i = 0; i < 250; i++) await connection.ask("GET /failing HTTP/1.1\r\nHost: h.test\r\n\r\n");
    connection.destroy();
  };
  const before = await told("cause=connect-refused&upstream=failing&limit=1000");
  const began = performance.now();
  await Promise.all(Array.from({ length: 4 }, client));
  const seconds = Math.ceil((performance.now() - began) / 1000) + 1;
  let after = await told();
  // In the last batch too.
  await untilStill("the dropped", () => (void told().then((now) => (after = now)), after.dropped));
  const kept = (await told("cause=connect-refused&upstream=failing&limit=1000")).exchanges.length - before.exchanges.length;
  expect(kept).toBeGreaterThan(0);
  expect(kept).toBeLessThanOrEqual(50 * seconds);
  expect(after.dropped - before.dropped).toBe(1000 - kept);
  // What was rare is there still.
  await recordOf("failed-1");
}, 30_000);

test("with a sample of 1 all are kept; with the query if so wished; and none with keep = 0", async () => {
  await reload(`sample = 1\nquery = "keep"\nkeep = 2`);
  for (const id of ["s-1", "s-2", "s-3", "s-4"]) while ((await ask("/b?page=2", id)) !== 200);
  const sampled = await recordOf("s-4");
  expect(sampled).toMatchObject({ path: "/b?page=2" });
  expect((await told("limit=1000")).exchanges).toHaveLength(2);
  await reload("keep = 0");
  expect((await told()).exchanges).toEqual([]);
  await ask("/b", "off");
  await reload(USUAL);
  await ask("/failing", "on");
  await recordOf("on");
  expect((await told("request_id=off")).exchanges).toEqual([]);
});

for (const [query, message] of [
  ["cause=tired", 'cause: "tired" is no cause: done, '],
  ["why=because", "why: why is one of failed, retried, slow, sampled"],
  ["limit=0", "limit: limit is a whole number from 1 to 1000"],
] as const) {
  test(`what is wrong with ?${query} is said`, async () => {
    const answer = await fetch(`http://127.0.0.1:${admin}/v1/exchanges?${query}`);
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as { readonly detail: string }).detail).toContain(message);
  });
}

test("an id of which nothing is kept is a problem", async () => {
  const answer = await fetch(`http://127.0.0.1:${admin}/v1/exchanges/x-1`);
  expect([answer.status, answer.headers.get("content-type")]).toEqual([404, "application/problem+json"]);
});
