/** Pages in the operator's browser, and names that lead here: what they can send, byte by byte, and that none of it does anything. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { Api } from "../../src/admin/api.ts";
import { dashboardEndpoints } from "../../src/admin/dashboard.ts";
import { endpoint } from "../../src/admin/endpoint.ts";
import { AdminServer } from "../../src/admin/server.ts";
import type { AdminConfig } from "../../src/config/snapshot.ts";
import { silentLog } from "../../src/observability/log.ts";
import { freePort } from "../support/ports.ts";
import { RawClient } from "../support/raw-client.ts";

let steered = 0;
let config: AdminConfig | undefined;
const api = new Api(
  [
    ...dashboardEndpoints(),
    endpoint({ method: "GET", path: "/v1/status", summary: "", access: "read", answers: {}, handle: () => ({ secret: "of the instance" }) }),
    endpoint({ method: "POST", path: "/v1/steer", summary: "", access: "steer", body: z.looseObject({}), answers: {}, handle: () => ({ steered: ++steered }) }),
  ],
  () => config,
  silentLog(),
);
const server = new AdminServer(silentLog(), api, () => {});
const directory = mkdtempSync(join(tmpdir(), "fairlead-admin-"));
let port = 0;

beforeAll(async () => {
  port = await freePort();
  config = { address: { kind: "tcp", host: "127.0.0.1", port }, tokens: [] };
  await server.open(config.address);
});
afterAll(() => {
  server.stop();
  rmSync(directory, { recursive: true });
});

/** Was it done, or told? */
async function works(head: string, body = "{}"): Promise<boolean> {
  const client = await RawClient.connect(port);
  const before = steered;
  client.request(`${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  const { text } = await client.reply().catch(() => ({ text: client.receivedText }));
  client.destroy();
  return steered > before || text.includes("of the instance");
}

const steer = (host: string, ...lines: readonly string[]): string => ["POST /v1/steer HTTP/1.1", `Host: ${host}`, ...lines].join("\r\n");
const read = (host: string, ...lines: readonly string[]): string => ["GET /v1/status HTTP/1.1", `Host: ${host}`, ...lines].join("\r\n");

describe("without a token", () => {
  test("whoever is on this machine is let in by the address's own names", async () => {
    for (const host of ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.255.0.1"]) {
      for (const each of [host, `${host}:${port}`]) expect([each, await works(steer(each)), await works(read(each))]).toEqual([each, true, true]);
    }
  });

  test("names of others that lead here are not, however they are written", async () => {
    for (const host of ["evil.example", "localhost.", "localhost.evil.example", "localhost.localdomain", "127.0.0.1.evil.example", "127.0.0.1.", "2130706433", "0x7f000001", "127.1", "0177.0.0.1", "0.0.0.0", "[::]", "[::ffff:10.0.0.1]", "127.0.0.1@evil.example", "evil.example@127.0.0.1", "127.0.0.1,evil.example", "127.0.0.1 evil.example", "ip6-localhost", "::1", "[::1", "[127.0.0.1]", "1.0.0.127.in-addr.arpa"]) {
      expect([host, await works(steer(host)), await works(read(host)), await works(steer(`${host}:${port}`))]).toEqual([host, false, false, false]);
    }
  });

  test("what else may name a host counts for nothing, and two are none", async () => {
    for (const name of ["X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-Host", "X-Forwarded-For", "X-Real-IP"]) expect([name, await works(steer("evil.example", `${name}: 127.0.0.1`))]).toEqual([name, false]);
    expect(await works(steer("evil.example", "Host: 127.0.0.1"))).toBe(false);
    expect(await works(steer("127.0.0.1", "Host: evil.example"))).toBe(false);
    expect(await works(`POST http://evil.example/v1/steer HTTP/1.1\r\nHost: evil.example`)).toBe(false);
    expect(await works(`POST http://127.0.0.1:${port}/v1/steer HTTP/1.1\r\nHost: evil.example`)).toBe(false);
    expect(await works("POST /v1/steer HTTP/1.0")).toBe(false);
  });

  test("what a browser sends for a page of another site does nothing, whatever it calls its body", async () => {
    const here = `127.0.0.1:${port}`;
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"]) {
      for (const origin of ["http://evil.example", "null", "", "file://", "http://127.0.0.1", `http://127.0.0.1:${port + 1}`, `http://localhost:${port}`, `http://127.0.0.1:${port}.evil.example`, `http://${here}@evil.example`, "chrome-extension://abc"]) {
        expect([type, origin, await works(steer(here, `Origin: ${origin}`, `Content-Type: ${type}`))]).toEqual([type, origin, false]);
      }
      for (const site of ["cross-site", "same-site", "SAME-ORIGIN", ""]) expect([type, site, await works(steer(here, `Sec-Fetch-Site: ${site}`, `Content-Type: ${type}`))]).toEqual([type, site, false]);
    }
    for (const how of ["Sec-Fetch-Mode: no-cors", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Mode: websocket"]) expect([how, await works(read(here, "Sec-Fetch-Site: cross-site", how))]).toEqual([how, false]);
    // Our own page's.
    expect(await works(steer(here, `Origin: http://${here}`, "Sec-Fetch-Site: same-origin"))).toBe(true);
  });

  test("there is no other way in: no WebSocket, no preflight, no method that stands for another", async () => {
    const here = `127.0.0.1:${port}`;
    expect(await works(`GET /v1/steer HTTP/1.1\r\nHost: ${here}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==`)).toBe(false);
    expect(await works(`GET /v1/steer HTTP/1.1\r\nHost: ${here}\r\nX-HTTP-Method-Override: POST`)).toBe(false);
    const preflight = await fetch(`http://${here}/v1/steer`, { method: "OPTIONS", headers: { Origin: "http://evil.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Private-Network": "true" } });
    expect([preflight.status, [...preflight.headers.keys()].filter((name) => name.startsWith("access-control"))]).toEqual([405, []]);
  });
});

test("answers are read by no other site, sniffed by nobody, and shown in no frame", async () => {
  const answers = await Promise.all(["/", "/v1/status", "/v1/<script>alert(1)</script>", "/v1/steer"].map((path) => fetch(`http://127.0.0.1:${port}${path}`, { headers: { Origin: `http://127.0.0.1:${port}` } })));
  for (const { headers, url } of answers) {
    expect([url, headers.get("x-content-type-options"), headers.get("access-control-allow-origin")]).toEqual([url, "nosniff", null]);
    if (headers.get("content-type")?.includes("html") === true) expect([headers.get("x-frame-options"), headers.get("content-security-policy")]).toEqual(["DENY", expect.stringContaining("frame-ancestors 'none'")]);
    else expect(headers.get("content-type")).toMatch(/^application\/(problem\+)?json/);
  }
});

test("a unix socket is its user's, and a page reaches none", async () => {
  const path = join(directory, "admin.sock");
  const own = new AdminServer(silentLog(), api, () => {});
  config = { address: { kind: "unix", path }, tokens: [] };
  const before = process.umask(0);
  try {
    await own.open(config.address);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect((await fetch("http://anything/v1/status", { unix: path })).status).toBe(200);
    // Should a proxy of somebody's pass on what a browser sends.
    expect((await fetch("http://anything/v1/steer", { unix: path, method: "POST", body: "{}", headers: { Origin: "http://evil.example" } })).status).toBe(403);
  } finally {
    process.umask(before);
    own.stop();
    config = { address: { kind: "tcp", host: "127.0.0.1", port }, tokens: [] };
  }
});
