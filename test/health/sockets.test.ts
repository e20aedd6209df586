/** The checks over real sockets: each reason that a person may read. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kindOf } from "../../src/health/kinds.ts";
import { silentLog } from "../../src/observability/log.ts";
import { Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import { check, network, servers } from "./real.ts";
import { CHECK, PASSING, snapshotOf, target, upstream, watching } from "./support.ts";

const { serve, cleanups, cleanUp } = servers();
afterEach(cleanUp);

/** A server that gives this reply to a complete head; `requests` collects what it was asked. */
function serveReply(reply: string | string[], { close = true, requests = [] as string[] } = {}): Promise<number> {
  return serve((socket) => {
    let head = "";
    socket.on("data", (chunk) => {
      head += chunk.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      requests.push(head);
      for (const part of Array.isArray(reply) ? reply : [reply]) socket.write(part);
      if (close) socket.end();
    });
  });
}

/** A port where nobody listens. */
const freePort = async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
};
const status = (code: number, body = "") => `HTTP/1.1 ${code} Whatever\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const ok = (reason: string) => ({ ok: true, reason, conclusive: true });
const not = (reason: string) => ({ ok: false, reason, conclusive: true });

describe("an http check", () => {
  test("passes on 2xx and 3xx", async () => {
    for (const code of [200, 204, 301, 399]) expect(await check(await serveReply(status(code)))).toEqual(ok(`status ${code}`));
  });

  test("fails on any other status", async () => {
    for (const code of [400, 404, 500, 503]) expect(await check(await serveReply(status(code)))).toEqual(not(`status ${code}`));
  });

  test("passes on the listed statuses only, if there is a list", async () => {
    const statuses = [200, 418];
    expect(await check(await serveReply(status(418)), { statuses })).toEqual(ok("status 418"));
    expect(await check(await serveReply(status(204)), { statuses })).toEqual(not("status 204"));
  });

  test("asks for the path with Host, own headers and Connection: close", async () => {
    const requests: string[] = [];
    const port = await serveReply(status(200), { requests });
    await check(port, { path: "/ready?deep=1", method: "HEAD", headers: [{ name: "Authorization", value: "Bearer x" }] });
    await check(port, { host: "api.example.com", headers: [{ name: "user-agent", value: "mine" }] });
    await check(port, {}, { healthPath: "/own" });
    await check(port, { method: "POST" });
    const version = (await Bun.file(join(import.meta.dir, "../../package.json")).json()).version as string;
    expect(requests[0]).toBe(
      `HEAD /ready?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUser-Agent: fairlead-health/${version}\r\nAccept: */*\r\nConnection: close\r\nAuthorization: Bearer x\r\n\r\n`,
    );
    expect(requests[1]).toBe("GET /healthz HTTP/1.1\r\nHost: api.example.com\r\nAccept: */*\r\nConnection: close\r\nuser-agent: mine\r\n\r\n");
    expect(requests[2]).toStartWith("GET /own HTTP/1.1\r\n");
    expect(requests[3]).toContain("\r\nContent-Length: 0\r\n");
  });

  test("never sends a forged line", async () => {
    const port = await serveReply(status(200));
    expect(() => kindOf(target(0, port), CHECK).prepare(target(0, port), { ...CHECK, headers: [{ name: "A", value: "b\r\nC: d" }] })).toThrow("line break");
  });

  test("looks for a text in the body, sized, chunked or to the close", async () => {
    const chunked = ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\nall \r\n", "2\r\nok\r\n0\r\n\r\n"];
    for (const reply of [status(200, "all ok"), chunked, ["HTTP/1.1 200 OK\r\n\r\nall", " ok"]]) {
      const port = await serveReply(reply);
      expect(await check(port, { bodyContains: "l ok" })).toEqual(ok("status 200"));
      expect(await check(port, { bodyContains: "bad" })).toEqual(not('body does not contain "bad"'));
    }
    expect(await check(await serveReply(status(500, "all ok")), { bodyContains: "ok" })).toEqual(not("status 500"));
  });

  test("needs no end of the connection to decide", async () => {
    const port = await serveReply(status(200, "ok"), { close: false });
    expect(await check(port, { bodyContains: "ok" })).toEqual(ok("status 200"));
    expect(await check(port, { bodyContains: "no" })).toEqual(not('body does not contain "no"'));
  });

  test("reads no more than 64 KiB of an endless body", async () => {
    const port = await serve((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      const pour = () => {
        while (socket.writable && socket.write("x".repeat(16_384)));
      };
      socket.on("drain", pour);
      pour();
    });
    expect(await check(port, { bodyContains: "ok" })).toEqual(not('body does not contain "ok"'));
  });

  test("names a refused connect", async () => {
    expect(await check(await freePort())).toEqual(not("connect refused"));
  });

  test("names a timeout of a target that takes the connection and is silent", async () => {
    const port = await serve(() => {});
    const started = performance.now();
    expect(await check(port, { timeout: 200 })).toEqual(not("timeout after 200ms"));
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test("names a timeout of a target that stops in the middle of its reply", async () => {
    expect(await check(await serveReply("HTTP/1.1 200 OK\r\nContent-Le", { close: false }), { timeout: 200 })).toEqual(not("timeout after 200ms"));
    const half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    expect(await check(await serveReply(half, { close: false }), { timeout: 200, bodyContains: "ok" })).toEqual(not("timeout after 200ms"));
  });

  test("names a reset", async () => {
    const port = await serve((socket) => socket.once("data", () => socket.resetAndDestroy()));
    expect(await check(port)).toEqual(not("reset"));
  });

  test("names a close without a reply, and inside one", async () => {
    expect(await check(await serve((socket) => socket.once("data", () => socket.end())))).toEqual(not("closed without a reply"));
    expect(await check(await serveReply("HTTP/1.1 200 OK\r\n"))).toEqual(not("closed inside the reply's head"));
  });

  test("names a reply that is not HTTP", async () => {
    expect(await check(await serve((socket) => socket.write("220 mail.example.com ESMTP\r\n")))).toEqual(not("invalid reply: bad status line"));
  });

  test("may go to another port than the target's", async () => {
    const port = await serveReply(status(200));
    expect(await check(await freePort(), { port })).toEqual(ok("status 200"));
  });

  test("reaches a unix socket, and names one that is not there", async () => {
    const folder = mkdtempSync(join(tmpdir(), "fairlead-health-"));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "s");
    const server = createServer((socket) => socket.once("data", () => socket.end(PASSING)));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    cleanups.push(() => server.close());
    const address = { kind: "unix", path } as const;
    expect(await check(0, {}, { address })).toEqual(ok("status 200"));
    expect(await check(0, {}, { address: { kind: "unix", path: join(folder, "none") } })).toEqual(not("no such socket file"));
  });

  test("names a host that cannot be found", async () => {
    const { ok: passes, reason } = await check(80, {}, { address: { kind: "tcp", host: "no-such-host.invalid", port: 80 } });
    expect(passes).toBe(false);
    expect(reason).toMatch(/^(name not found|name lookup failed|connect timeout after 2s)$/);
  });
});

describe("a tcp check", () => {
  test("passes when the target takes the connection", async () => {
    expect(await check(await serve(() => {}), { type: "tcp" })).toEqual(ok("connected"));
  });

  test("fails when it does not", async () => {
    expect(await check(await freePort(), { type: "tcp" })).toEqual(not("connect refused"));
  });
});

test("1,000 targets are checked over real sockets with few open at a time", async () => {
  let open = 0;
  let most = 0;
  const asked = new Set<string>();
  const port = await serve((socket) => {
    most = Math.max(most, ++open);
    socket.on("close", () => (open -= 1));
    socket.once("data", (chunk) => {
      asked.add(chunk.toString().split(" ")[1]!);
      socket.end(status(asked.size % 10 === 0 ? 503 : 200));
    });
  });
  const scoreboard = Scoreboard.local({ workers: 1, targets: 1000, upstreams: 1 });
  const checker = watching(network, scoreboard, silentLog());
  cleanups.push(() => checker.stop());
  const targets = Array.from({ length: 1000 }, (_, slot) => target(slot, port, { healthPath: `/${slot}` }));
  checker.apply(snapshotOf(upstream("api", targets, { ...CHECK, interval: 60_000 })));
  const deadline = performance.now() + 15_000;
  while (checker.status().some(({ lastResult }) => lastResult === undefined) && performance.now() < deadline) await Bun.sleep(20);
  expect(asked.size).toBe(1000);
  // 256 are in flight at most; this side hears of a close a little later than it happened.
  expect(most).toBeLessThanOrEqual(512);
  expect(checker.status().filter(({ up }) => !up).length).toBe(100);
}, 20_000);
