/** Targets that refuse, hang up or are not there. */
import { describe, expect, test } from "bun:test";
import { freePort } from "../../support/ports.ts";
import { openStage } from "../../support/stage.ts";

const stage = openStage();
const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

describe("a target that refuses the connection", () => {
  test("is passed over for the next one, also by a POST, for nothing of it was sent", async () => {
    const good = await stage.backend();
    const front = await stage.fairlead({ targets: [`127.0.0.1:${await freePort()}`, good] });
    const client = await stage.client(front);
    for (let i = 0; i < 10; i++) {
      expect((await client.ask(GET)).status).toBe(200);
      expect((await client.ask("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi")).status).toBe(200);
    }
    expect(good.complete.length).toBe(20);
  });

  test("as the only one gives 502 or 503, at once and with a body", async () => {
    const front = await stage.fairlead({ targets: [`127.0.0.1:${await freePort()}`] });
    const client = await stage.client(front);
    const answer = await client.ask(GET);
    expect([502, 503]).toContain(answer.status);
    expect(answer.bodyLength).toBeGreaterThan(0);
    expect((await client.ask(GET)).status).toBe(answer.status);
  });

  test("is used again when it listens again", async () => {
    const backend = await stage.backend();
    const front = await stage.fairlead({ targets: [backend] });
    const client = await stage.client(front);
    expect((await client.ask(GET)).status).toBe(200);
    await backend.stop();
    expect((await client.ask(GET)).status).toBeGreaterThanOrEqual(502);
    await backend.listen();
    expect((await client.ask(GET)).status).toBe(200);
  });
});

describe("no usable target", () => {
  const dead = { type: "tcp", interval: "100ms", timeout: "100ms", fall: 1, rise: 1 };

  test("gives 503 with the body Service Unavailable, and the connection goes on", async () => {
    const front = await stage.fairlead({ targets: [`127.0.0.1:${await freePort()}`], upstream: { health_check: dead } });
    await front.fairlead.line("no healthy target", (line) => JSON.stringify(line).includes("0/1"));
    const client = await stage.client(front);
    const answer = await client.ask(GET);
    expect([answer.status, answer.text.trim()]).toEqual([503, "Service Unavailable"]);
    expect((await client.ask(GET)).status).toBe(503);
  });

  test("answers a POST with 503 without waiting for its body", async () => {
    const front = await stage.fairlead({ targets: [`127.0.0.1:${await freePort()}`], upstream: { health_check: dead } });
    await front.fairlead.line("no healthy target", (line) => JSON.stringify(line).includes("0/1"));
    const client = await stage.client(front);
    expect((await client.ask("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nhi")).status).toBe(503);
  });
});

describe("the health path of a listener", () => {
  test("answers 200 without a back end", async () => {
    const front = await stage.fairlead({ targets: [`127.0.0.1:${await freePort()}`], listener: { health_path: "/health" } });
    const client = await stage.client(front);
    expect((await client.ask("GET /health HTTP/1.1\r\nHost: a.test\r\n\r\n")).status).toBe(200);
  });
});
