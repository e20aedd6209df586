/** What an endpoint may rely on when it is called, whatever a client sends. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { z } from "zod";
import { Api } from "../../src/admin/api.ts";
import { endpoint } from "../../src/admin/endpoint.ts";
import { AdminServer } from "../../src/admin/server.ts";
import { silentLog } from "../../src/observability/log.ts";
import { freePort } from "../support/ports.ts";
import { RawClient } from "../support/raw-client.ts";

let cleared = 0;
const silences: number[] = [];

const api = new Api(
  [
    endpoint({ method: "GET", path: "/ready", summary: "", access: "open", answers: {}, handle: () => ({ status: "ok" }) }),
    endpoint({
      method: "PUT",
      path: "/v1/address",
      summary: "",
      access: "open",
      answers: {},
      handle: async () => {
        port = await freePort();
        await server.open({ kind: "tcp", host: "127.0.0.1", port });
        await Bun.sleep(1_500);
        return { moved: true };
      },
    }),
    endpoint({ method: "DELETE", path: "/v1/overrides", summary: "", access: "open", answers: {}, handle: () => ({ cleared: ++cleared }) }),
    endpoint({ method: "PUT", path: "/v1/long", summary: "", access: "open", body: z.strictObject({}), answers: {}, handle: () => ({ allowed: silences.at(-1) }) }),
    endpoint({ method: "PUT", path: "/v1/dry", summary: "", access: "open", query: z.strictObject({ dry_run: z.string() }), answers: {}, handle: ({ query }) => query }),
  ],
  () => undefined,
  silentLog(),
);
const server = new AdminServer(silentLog(), api, () => {});
let port = 0;

beforeAll(async () => {
  port = await freePort();
  await server.open({ kind: "tcp", host: "127.0.0.1", port });
});
afterAll(() => server.stop());

async function call(method: string, path: string, body?: string): Promise<[number, string]> {
  const response = await api.answer(new Request(`http://127.0.0.1${path}`, { method, ...(body === undefined ? {} : { body }) }), (silence) => silences.push(silence));
  return [response.status, await response.text()];
}

describe("a Host field that is no host", () => {
  test.each(["GET /ready HTTP/1.0\r\n\r\n", "GET /ready HTTP/1.1\r\nHost: a b\r\n\r\n", "GET /ready HTTP/1.1\r\nHost: [::\r\n\r\n", "GET /ready HTTP/1.1\r\nHost: \r\n\r\n"])("%j is answered", async (head) => {
    const client = await RawClient.connect(port);
    const reply = await client.request(head).reply();
    expect([reply.status, reply.text]).toEqual([200, '{"status":"ok"}']);
    client.destroy();
  });
});

describe("what is not understood is no reason to do more than was meant", () => {
  test.each([
    ["?upstream=main", undefined],
    ["?dry_run=true", undefined],
    ["", '{"upstream":"main"}'],
    ["", "[[upstreams]]"],
  ])("DELETE /v1/overrides%s with the body %j is refused", async (query, body) => {
    const before = cleared;
    expect((await call("DELETE", `/v1/overrides${query}`, body))[0]).toBe(400);
    expect(cleared).toBe(before);
  });

  test("two answers to one question are none", async () => {
    expect(await call("PUT", "/v1/dry?dry_run=true", "{}")).toEqual([200, '{"dry_run":"true"}']);
    const [status, text] = await call("PUT", "/v1/dry?dry_run=true&dry_run=false", "{}");
    expect([status, text]).toEqual([400, expect.stringContaining('\\"dry_run\\" is twice in the query')]);
  });

  test("nothing, or an empty object, is understood", async () => {
    for (const body of [undefined, "", "{}"]) expect((await call("DELETE", "/v1/overrides", body))[0]).toBe(200);
  });

  test("a query of who only asks is let be: whoever scrapes may add one", async () => {
    expect((await call("GET", "/ready?from=keepalived"))[0]).toBe(200);
  });
});

test("who moves the address is answered where that was asked, though it takes longer than others may stay", async () => {
  const before = port;
  const response = await fetch(`http://127.0.0.1:${before}/v1/address`, { method: "PUT" });
  expect(await response.json()).toEqual({ moved: true });
  expect((await fetch(`http://127.0.0.1:${port}/ready`)).status).toBe(200);
  expect(port).not.toBe(before);
});

test("what is done may take longer than a connection may be idle else", async () => {
  const [, text] = await call("PUT", "/v1/long", "{}");
  expect((JSON.parse(text) as { allowed: number }).allowed).toBeGreaterThan(60);
  expect(silences.at(-1)).toBe(10);
});
