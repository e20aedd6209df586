/** The kinds of address: IPv4, IPv6, unix sockets, names; on the side of the clients and on that of the targets. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../support/ports.ts";
import { curl } from "../../support/real-clients.ts";
import { openStage } from "../../support/stage.ts";

const stage = openStage();
const GET = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/** Answers any request with its own bytes. */
async function mirror(where: { readonly path: string } | { readonly port: number; readonly host: string }): Promise<Server> {
  const server = createServer((socket) => {
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (!text.endsWith("\r\n\r\n")) return;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
      text = "";
    });
  });
  await new Promise<void>((resolve) => server.listen(where, resolve));
  stage.atEnd(() => server.close());
  return server;
}

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "fairlead-address-"));
  stage.atEnd(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

describe("a target", () => {
  test("at a unix socket", async () => {
    const path = join(directory(), "back.sock");
    await mirror({ path });
    const front = await stage.fairlead({ targets: [`unix:${path}`] });
    const answer = await (await stage.client(front)).ask(GET);
    expect([answer.status, answer.text.split("\r\n")[0]]).toEqual([200, "GET / HTTP/1.1"]);
  });

  test("at a unix socket that nobody listens on is passed over", async () => {
    const good = await stage.backend();
    const front = await stage.fairlead({ targets: [`unix:${join(directory(), "none.sock")}`, good] });
    const client = await stage.client(front);
    for (let i = 0; i < 4; i++) expect((await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")).status).toBe(200);
  });

  test("at an IPv6 address", async () => {
    const port = await freePort();
    await mirror({ port, host: "::1" });
    const front = await stage.fairlead({ targets: [`[::1]:${port}`] });
    expect((await (await stage.client(front)).ask(GET)).status).toBe(200);
  });

  test("with a name that resolves", async () => {
    const { port } = await stage.backend();
    const front = await stage.fairlead({ targets: [`localhost:${port}`] });
    expect((await (await stage.client(front)).ask(GET)).status).toBe(200);
  });

  test("with a name that does not resolve is passed over", async () => {
    const good = await stage.backend();
    const front = await stage.fairlead({ targets: ["no-such-host.invalid:80", good] });
    const client = await stage.client(front);
    for (let i = 0; i < 4; i++) expect((await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 10_000)).status).toBe(200);
  }, 30_000);
});

describe("a listener", () => {
  test("at an IPv6 address tells the client's address, in Forwarded with brackets and quotes", async () => {
    const port = await freePort();
    const backend = await stage.backend();
    await stage.fairlead({ targets: [backend], listener: { address: `[::1]:${port}`, forwarding: { forwarded: true } } });
    const { code } = await curl("-g", `http://[::1]:${port}/`);
    expect(code).toBe(0);
    expect(backend.requests[0]?.header("x-forwarded-for")).toBe("::1");
    expect(backend.requests[0]?.header("forwarded")).toMatch(/for="\[::1\]"/i);
    expect(backend.requests[0]?.header("x-forwarded-host")).toBe(`[::1]:${port}`);
  });

  test("at a unix socket serves clients there", async () => {
    const path = join(directory(), "front.sock");
    const backend = await stage.backend();
    await stage.fairlead({ targets: [backend], listener: { address: `unix:${path}` } });
    const { code, stdout } = await curl("--unix-socket", path, "http://a.test/over-unix");
    expect([code, stdout]).toEqual([0, "GET /over-unix"]);
  });
});

describe("the short form on the command line", () => {
  test("balances with no file at all, and answers /health itself", async () => {
    const backends = await stage.backends(2);
    const port = await freePort();
    const targets = backends.flatMap(({ address }) => ["--target", address]);
    await stage.process(["--listen", `127.0.0.1:${port}`, ...targets, "--log-format", "json"]);
    const client = await stage.client(port);
    for (let i = 0; i < 4; i++) expect((await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")).status).toBe(200);
    // The health checks of the short form are requests too.
    expect(backends.map(({ requests }) => requests.filter(({ fields }) => fields.some(([name]) => name.toLowerCase() === "x-forwarded-for")).length)).toEqual([2, 2]);
    expect((await client.ask("GET /health HTTP/1.1\r\nHost: a.test\r\n\r\n")).status).toBe(200);
  });
});
