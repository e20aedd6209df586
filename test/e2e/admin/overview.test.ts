/** GET /v1/overview, /v1/history and /v1/stream of a running instance. */
import { expect, test } from "bun:test";
import { history, type Overview, overview } from "../../../src/admin/overview.ts";
import { freePort } from "../../support/ports.ts";
import { reply } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";
import { until, within } from "../../support/until.ts";

const stage = openStage();

test("tells the whole instance, once, each second, and over time", async () => {
  const good = await stage.backend();
  const bad = await stage.backend((_request, connection) => connection.write(reply(503, "no")));
  const admin = await freePort();
  const base = `http://127.0.0.1:${admin}`;
  const { url, port } = await stage.fairlead({
    targets: [good, bad],
    top: { admin: { address: `127.0.0.1:${admin}` }, routes: [{ hosts: ["api.test"], path_prefix: "/v1", upstream: "other" }] },
    upstream: { outlier_detection: { consecutive_gateway: 3 }, circuit_breaker: { min_requests: 1000 }, retries: 0 },
    upstreams: { other: [good] },
  });
  const now = async (): Promise<Overview> => overview.parse(await (await fetch(`${base}/v1/overview`)).json());
  const before = await now();
  expect(before.instance).toMatchObject({ generation: 1, state: "ok", config: { applied: { generation: 1 }, rejected: null }, panicking: [] });
  expect(before.totals).toMatchObject({ rate: 0, p50_ms: null, open_requests: 0 });
  expect(before.listeners).toMatchObject([{ name: "front", address: `127.0.0.1:${port}`, protocol: "http", tls: false, upstream: "main", certificates: [] }]);
  expect(before.routes).toMatchObject([{ hosts: ["api.test"], path_prefix: "/v1", upstream: "other" }]);
  expect(before.upstreams.map(({ name, policy, breaker, target_count, healthy_count }) => [name, policy, breaker, target_count, healthy_count])).toEqual([
    ["main", "round-robin", "closed", 2, 2],
    ["other", "round-robin", null, 1, 1],
  ]);
  for (let i = 0; i < 10; i++) await fetch(url);
  await fetch(`${url}/v1/x`, { headers: { Host: "api.test" } });
  const after = await until("the ejection and the rates", async () => {
    const found = await now();
    return found.upstreams[0]!.targets[1]!.ejected !== null && found.totals.rate > 0 ? found : undefined;
  });
  expect(after.totals.rate_by_class["5xx"]).toBeGreaterThan(0);
  expect(after.totals.p50_ms).toBeGreaterThan(0);
  expect(after.totals.bytes_out_rate).toBeGreaterThan(0);
  expect(after.listeners[0]!.rate).toBe(after.totals.rate);
  expect(after.routes[0]!.rate).toBeGreaterThan(0);
  expect(after.upstreams[1]!.rate).toBe(after.routes[0]!.rate);
  const [main] = after.upstreams;
  expect(main).toMatchObject({ healthy_count: 1 });
  expect(main!.targets).toMatchObject([{ address: good.address, state: "up", weight: 1, share: 1 }, { address: bad.address, state: "ejected", ejected: { detector: "consecutive-gateway", times: 1 } }]);
  expect(Date.parse(main!.targets[1]!.since)).toBeGreaterThan(Date.parse(before.upstreams[0]!.targets[1]!.since));
  expect(after.instance.workers).toHaveLength(1);

  const going = new AbortController();
  const stream = await fetch(`${base}/v1/stream`, { signal: going.signal });
  expect(stream.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  let text = "";
  const reader = stream.body!.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader();
  while (text.split("event: overview\n").length < 4) text += (await within("the stream", reader.read())).value ?? "";
  const told = [...text.matchAll(/^event: overview\ndata: (.*)\n\n/gm)].map(([, data]) => overview.parse(JSON.parse(data!)));
  expect(told.length).toBeGreaterThanOrEqual(2);
  going.abort();

  for (const query of ["", "?upstream=main", `?upstream=main&target=${good.address}`]) {
    const { interval_ms, points } = await until(`points of "${query}"`, async () => {
      const answer = history.parse(await (await fetch(`${base}/v1/history${query}`)).json());
      return answer.points.some(({ rate }) => rate > 0) ? answer : undefined;
    }, 10_000);
    expect(interval_ms).toBe(5_000);
    expect(points.every(({ open }) => open === 0)).toBe(true);
  }
  for (const [query, status, detail] of [
    ["?upstream=mian", 404, 'there is no upstream "mian" (did you mean "main"?)'],
    ["?target=x", 400, "a target is one of an upstream: name that too"],
    ["?upstream=main&target=127.0.0.1:1", 404, "127.0.0.1:1 is no target of upstream"],
    ["?upsteam=main", 400, 'Unrecognized key: "upsteam"'],
  ] as const) {
    const response = await fetch(`${base}/v1/history${query}`);
    expect([query, response.status, response.headers.get("content-type")]).toEqual([query, status, "application/problem+json"]);
    expect(((await response.json()) as { readonly detail: string }).detail).toContain(detail);
  }
});
