/** Limits with a name in the configuration: what is beyond gets its status and a closed connection. */
import { beforeAll, describe, expect, test } from "bun:test";
import { type RawBackend, sayWhich } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";

const stage = openStage();
let backend: RawBackend;

beforeAll(async () => {
  backend = await stage.backend();
});

function limited(limits: Readonly<Record<string, string | number>>, listener = {}) {
  backend.clear(sayWhich);
  return stage.fairlead({ targets: [backend], listener: { limits, ...listener } });
}

describe("body_bytes", () => {
  test("lets a body of exactly that size pass and refuses one byte more with 413 before any of it is sent on", async () => {
    const front = await limited({ body_bytes: "1KiB" });
    const client = await stage.client(front);
    expect((await client.ask(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1024\r\n\r\n${"x".repeat(1024)}`)).status).toBe(200);
    expect((await client.ask(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1025\r\n\r\n${"x".repeat(1025)}`)).status).toBe(413);
    await client.untilPeerEnds();
    expect(backend.requests.length).toBe(1);
  });

  test("ends a chunked body that grows beyond it with 413; it never completes at the back end", async () => {
    const front = await limited({ body_bytes: "1KiB" });
    const client = await stage.client(front);
    client.request(`POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n`);
    await client.segments(Array.from({ length: 5 }, () => `12c\r\n${"x".repeat(300)}\r\n`));
    expect((await client.finalReply()).status).toBe(413);
    await client.untilPeerEnds();
    expect(backend.complete.length).toBe(0);
  });

  test("reaches a client that goes on sending 3 MB", async () => {
    const front = await limited({ body_bytes: "1KiB" });
    for (let i = 0; i < 10; i++) {
      const client = await stage.client(front);
      client.request("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3000000\r\n\r\n");
      const sending = client.pour(3_000_000, Buffer.alloc(65_536, 1));
      expect((await client.finalReply()).status).toBe(413);
      client.destroy();
      await sending;
    }
  });
});

describe("the head's limits", () => {
  test("header_bytes: 431", async () => {
    const front = await limited({ header_bytes: "1KiB" });
    const client = await stage.client(front);
    expect((await client.ask(`GET / HTTP/1.1\r\nHost: a.test\r\nX-A: ${"a".repeat(500)}\r\n\r\n`)).status).toBe(200);
    expect((await client.ask(`GET / HTTP/1.1\r\nHost: a.test\r\nX-A: ${"a".repeat(1_500)}\r\n\r\n`)).status).toBe(431);
    await client.untilPeerEnds();
  });

  test("header_count: 431", async () => {
    const front = await limited({ header_count: 5 });
    const client = await stage.client(front);
    expect((await client.ask(`GET / HTTP/1.1\r\nHost: a.test\r\nA: 1\r\nB: 1\r\n\r\n`)).status).toBe(200);
    expect((await client.ask(`GET / HTTP/1.1\r\nHost: a.test\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n\r\n`)).status).toBe(431);
  });

  test("request_line_bytes: 414", async () => {
    const front = await limited({ request_line_bytes: "100B" });
    const client = await stage.client(front);
    expect((await client.ask(`GET /${"a".repeat(50)} HTTP/1.1\r\nHost: a.test\r\n\r\n`)).status).toBe(200);
    expect((await client.ask(`GET /${"a".repeat(150)} HTTP/1.1\r\nHost: a.test\r\n\r\n`)).status).toBe(414);
  });

  test("an endless request line without a line end is 414 before it ends", async () => {
    const front = await limited({});
    const client = await stage.client(front);
    await client.segments([`GET /${"a".repeat(20_000)}`]);
    expect((await client.finalReply()).status).toBe(414);
  });

  test("an endless field without a line end is 431 before it ends", async () => {
    const front = await limited({});
    const client = await stage.client(front);
    await client.segments(["GET / HTTP/1.1\r\nHost: a.test\r\nX-A: ", "a".repeat(50_000)]);
    expect((await client.finalReply()).status).toBe(431);
  });
});

describe("underscore_names", () => {
  test("drop: leaves such a field out", async () => {
    const front = await limited({}, { underscore_names: "drop" });
    const client = await stage.client(front);
    expect((await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\nX_A: 1\r\nX-B: 2\r\n\r\n")).status).toBe(200);
    expect([backend.requests[0]?.header("x_a"), backend.requests[0]?.header("x-b")]).toEqual([undefined, "2"]);
  });

  test("allow: passes it on", async () => {
    const front = await limited({}, { underscore_names: "allow" });
    const client = await stage.client(front);
    await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\nX_A: 1\r\n\r\n");
    expect(backend.requests[0]?.header("x_a")).toBe("1");
  });
});

describe("max_clients of a listener", () => {
  test("tells one client too many 503 or closes it, and serves the next when one has gone", async () => {
    const front = await limited({}, { max_clients: 3 });
    const clients = await Promise.all(Array.from({ length: 3 }, () => stage.client(front)));
    for (const client of clients) expect((await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")).status).toBe(200);
    const extra = await stage.client(front);
    extra.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await extra.untilPeerEnds();
    expect(extra.receivedText === "" || extra.receivedText.startsWith("HTTP/1.1 503")).toBe(true);
    expect(backend.requests.length).toBe(3);
    extra.destroy();
    clients[0]?.destroy();
    for (let tries = 0; tries < 100; tries++) {
      const next = await stage.client(front);
      const status = await next.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").then(
        (answer) => answer.status,
        () => 0,
      );
      next.destroy();
      if (status === 200) return;
    }
    throw new Error("a place that became free was never given away");
  });
});
