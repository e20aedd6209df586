/** The access log: one line an exchange, with what an operator needs to find a fault. */
import { beforeAll, describe, expect, test } from "bun:test";
import type { LogLine } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { type RawBackend, reply, sayWhich } from "../../support/raw-backend.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import { sleep } from "../../support/until.ts";

const stage = openStage();
let backend: RawBackend;
let front: Balanced;

beforeAll(async () => {
  backend = await stage.backend();
  front = await stage.fairlead({ targets: [backend], top: { log: { access: true } } });
}, 30_000);

function accessLine(of: Balanced, path: string): Promise<LogLine> {
  return of.fairlead.line(`access to ${path}`, (line) => line["path"] === path);
}

describe("an access line", () => {
  test("says who asked what, where it went and how it ended", async () => {
    backend.clear(sayWhich);
    await (await stage.client(front)).ask("GET /one?x=1 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    const line = await accessLine(front, "/one?x=1");
    expect(line).toMatchObject({ method: "GET", host: "a.test", status: 200, upstream: "main", target: backend.address, attempts: 1, cause: "done" });
    expect(String(line["client"])).toContain("127.0.0.1");
    expect(line["milliseconds"]).toBeGreaterThan(0);
  });

  test("measures the time that the exchange took", async () => {
    backend.clear(async (request, connection) => {
      await sleep(200);
      connection.write(reply(200, request.target));
    });
    await (await stage.client(front)).ask("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    const { milliseconds } = await accessLine(front, "/slow");
    expect(milliseconds).toBeGreaterThan(190);
    expect(milliseconds).toBeLessThan(400);
  });

  test("is written for each of several pipelined requests", async () => {
    backend.clear(sayWhich);
    const client = await stage.client(front);
    client.write([1, 2, 3].map((i) => `GET /pipe${i} HTTP/1.1\r\nHost: a.test\r\n\r\n`).join(""));
    for (const i of [1, 2, 3]) expect((await accessLine(front, `/pipe${i}`))["status"]).toBe(200);
  });

  test("names the cause of a truncated reply", async () => {
    backend.clear((_, connection) => connection.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"));
    const client = await stage.client(front);
    client.request("GET /cut HTTP/1.1\r\nHost: a.test\r\n\r\n");
    expect((await accessLine(front, "/cut"))["cause"]).toBe("reply-truncated");
  });

  test("names a client that went away", async () => {
    backend.clear(() => {});
    const client = await stage.client(front);
    client.request("GET /left HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await backend.request();
    client.destroy();
    expect((await accessLine(front, "/left"))["cause"]).toBe("client-closed");
  });

  test("names a broken reply, with 502", async () => {
    backend.clear((_, connection) => connection.write("nonsense\r\n\r\n"));
    await (await stage.client(front)).ask("GET /bad HTTP/1.1\r\nHost: a.test\r\n\r\n");
    expect(await accessLine(front, "/bad")).toMatchObject({ status: 502, cause: "bad-reply", target: backend.address });
  });

  test("counts the attempts", async () => {
    const good = await stage.backend();
    const two = await stage.fairlead({ targets: [`127.0.0.1:${await freePort()}`, good], top: { log: { access: true } } });
    const client = await stage.client(two);
    for (const path of ["/a", "/b"]) await client.ask(`GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    const lines = [await accessLine(two, "/a"), await accessLine(two, "/b")];
    // Round robin meets the target that refuses with one of the two at least.
    expect(lines.map((line) => line["attempts"])).toContain(2);
    expect(lines.map((line) => line["target"])).toEqual([good.address, good.address]);
  });

  test("is absent when the access log is off", async () => {
    backend.clear(sayWhich);
    const silent = await stage.fairlead({ targets: [backend], top: { log: { access: false } } });
    await (await stage.client(silent)).ask("GET /silent HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await sleep(100);
    expect(silent.fairlead.lines.some((line) => line.includes("/silent"))).toBe(false);
  });
});

describe("the log", () => {
  test("cannot be forged: what a client sends stays within one line", async () => {
    backend.clear(sayWhich);
    await (await stage.client(front)).ask('GET /"x\\n{"forged":true} HTTP/1.1\r\nHost: a.test\r\n\r\n').catch(() => undefined);
    await (await stage.client(front)).ask("GET /quoted\"\\n HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await accessLine(front, '/quoted"\\n');
    expect(front.fairlead.log.some((line) => "forged" in line)).toBe(false);
  });

  test("says why a bad request was refused", async () => {
    const from = front.fairlead.log.length;
    await (await stage.client(front)).ask("GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: x\r\n\r\n");
    await front.fairlead.line("bad-request", (line) => JSON.stringify(line).includes("bad-request") && JSON.stringify(line).includes("Content-Length"), from);
  });
});
