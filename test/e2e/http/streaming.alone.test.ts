/** Bodies of 300 MB both ways, fast and slow: nothing changed, and memory stays flat because a slow reader stops the other side. */
import { beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { NodeBackend } from "../../support/node-backend.ts";
import type { RawBackend } from "../../support/raw-backend.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import { untilStill } from "../../support/until.ts";
import { memoryGrowth } from "../../support/worker-load.ts";

const stage = openStage();
const MB = 1024 * 1024;
const TOTAL = 300 * MB;
/** The most that memory may grow by while somebody does not read (rule 9 of what breaks). */
const STALLED = 32 * MB;
/** The most that it may grow by at full speed: what was read and is not collected yet comes on top. Far below the body's size. */
const FLOWING = 96 * MB;
/** What the kernels' socket buffers on the way may hold, and Fairlead's own. */
const ON_THE_WAY = 48 * MB;

const block = Buffer.alloc(65_536);
for (let i = 0; i < block.length; i++) block[i] = i % 251;

function digestOf(total: number): string {
  const hash = createHash("sha256");
  for (let sent = 0; sent < total; sent += block.length) hash.update(sent + block.length > total ? block.subarray(0, total - sent) : block);
  return hash.digest("hex");
}

let node: NodeBackend;
let raw: RawBackend;
let toNode: Balanced;
let toRaw: Balanced;

beforeAll(async () => {
  [node, raw] = [await stage.node(), await stage.backend()];
  [toNode, toRaw] = [await stage.fairlead({ targets: [node] }), await stage.fairlead({ targets: [raw] })];
  // What a worker needs once (buffers, compiled code) is no growth.
  for (let i = 0; i < 2; i++) {
    const client = await stage.client(toNode);
    client.request(`POST /hash HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${20 * MB}\r\n\r\n`);
    await client.pour(20 * MB, block);
    await client.finalReply(20_000);
    await client.ask(`GET /bytes/${20 * MB} HTTP/1.1\r\nHost: a.test\r\n\r\n`, 20_000);
    client.destroy();
  }
}, 60_000);

describe("300 MB", () => {
  test("up with Content-Length arrive as they were sent, in flat memory", async () => {
    const client = await stage.client(toNode);
    const growth = await memoryGrowth(() => toNode.fairlead.memory(), async () => {
      client.request(`POST /hash HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${TOTAL}\r\n\r\n`);
      await client.pour(TOTAL, block);
      expect(JSON.parse((await client.finalReply(30_000)).text)).toMatchObject({ bytes: TOTAL, sha256: digestOf(TOTAL) });
    });
    expect(growth).toBeLessThan(FLOWING);
  }, 60_000);

  test("up in chunks arrive as they were sent, in flat memory", async () => {
    const client = await stage.client(toNode);
    const growth = await memoryGrowth(() => toNode.fairlead.memory(), async () => {
      client.request("POST /hash HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
      const chunk = Buffer.concat([Buffer.from(`${block.length.toString(16)}\r\n`), block, Buffer.from("\r\n")]);
      await client.pour(chunk.length * (TOTAL / block.length), chunk);
      client.write("0\r\n\r\n");
      expect(JSON.parse((await client.finalReply(30_000)).text)).toMatchObject({ bytes: TOTAL, sha256: digestOf(TOTAL) });
    });
    expect(growth).toBeLessThan(FLOWING);
  }, 60_000);

  for (const kind of ["bytes", "chunked"]) {
    test(`down (${kind}) arrive whole, in flat memory`, async () => {
      const client = await stage.client(toNode);
      const growth = await memoryGrowth(() => toNode.fairlead.memory(), async () => {
        const answer = await client.ask(`GET /${kind}/${TOTAL} HTTP/1.1\r\nHost: a.test\r\n\r\n`, 30_000);
        expect(answer.bodyLength).toBe(TOTAL);
      });
      expect(growth).toBeLessThan(FLOWING);
      client.destroy();
    }, 60_000);
  }
});

describe("backpressure", () => {
  test("a back end that does not read stops the client, in flat memory, and all arrives when it reads again", async () => {
    raw.clear(async (request, connection) => {
      connection.pause();
      await request.ended;
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    const client = await stage.client(toRaw);
    let sent = 0;
    const growth = await memoryGrowth(() => toRaw.fairlead.memory(), async () => {
      client.request(`POST /slow HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${TOTAL}\r\n\r\n`);
      void client.pour(TOTAL, block, (bytes) => (sent = bytes));
      await untilStill("the client to be stopped", () => sent);
      expect(sent).toBeLessThan(ON_THE_WAY);
    });
    expect(growth).toBeLessThan(STALLED);
    raw.connections.at(-1)?.resume();
    expect((await client.finalReply(30_000)).text).toBe("ok");
    expect(raw.requests[0]?.bodyLength).toBe(TOTAL);
    raw.clear();
  }, 60_000);

  test("a client that does not read stops the back end, in flat memory, and all arrives when it reads again", async () => {
    let sent = 0;
    raw.clear(async (_, connection) => {
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`);
      await connection.pour(TOTAL, block, (bytes) => (sent = bytes));
    });
    const client = await stage.client(toRaw);
    const growth = await memoryGrowth(() => toRaw.fairlead.memory(), async () => {
      client.request("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
      client.pause();
      await untilStill("the back end to be stopped", () => sent);
      expect(sent).toBeLessThan(ON_THE_WAY);
    });
    expect(growth).toBeLessThan(STALLED);
    client.resume();
    expect((await client.finalReply(30_000)).bodyLength).toBe(TOTAL);
    client.destroy();
  }, 60_000);

  test("20 clients that never read their 300 MB leave memory flat and a bystander served", async () => {
    raw.clear(async (request, connection) => {
      if (request.target === "/small") return connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`);
      return connection.pour(TOTAL, block);
    });
    const growth = await memoryGrowth(() => toRaw.fairlead.memory(), async () => {
      const clients = await Promise.all(Array.from({ length: 20 }, () => stage.client(toRaw)));
      for (const client of clients) {
        client.pause();
        client.request("GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n");
      }
      await raw.request(19);
      const bystander = await stage.client(toRaw);
      for (let i = 0; i < 50; i++) expect((await bystander.ask("GET /small HTTP/1.1\r\nHost: a.test\r\n\r\n")).text).toBe("ok");
      for (const client of clients) client.destroy();
    });
    expect(growth).toBeLessThan(2 * STALLED);
  }, 60_000);

  test("a client that pipelines 100,000 requests and reads no reply is stopped, in flat memory", async () => {
    raw.clear(async (request, connection) => {
      await request.ended;
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${"x".repeat(1_000)}`);
    });
    const client = await stage.client(toRaw);
    const request = "GET /flood HTTP/1.1\r\nHost: a.test\r\n\r\n";
    const count = 100_000;
    const growth = await memoryGrowth(() => toRaw.fairlead.memory(), async () => {
      client.pause();
      const pouring = client.pour(count * request.length, Buffer.from(request.repeat(1_000)));
      await untilStill("the requests to be stopped", () => raw.seen.length);
      expect(raw.seen.length).toBeLessThan(count);
      client.destroy();
      await pouring;
    });
    expect(growth).toBeLessThan(STALLED);
    raw.clear();
  }, 60_000);

  test("a second upload on a connection is held back like the first", async () => {
    raw.clear(async (request, connection) => {
      if (request.method === "POST") connection.pause();
      else connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      await request.ended;
    });
    const client = await stage.client(toRaw);
    let sent = 0;
    const growth = await memoryGrowth(() => toRaw.fairlead.memory(), async () => {
      client.write(`GET / HTTP/1.1\r\nHost: a.test\r\n\r\nPOST /slow HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${TOTAL}\r\n\r\n`);
      const pouring = client.pour(TOTAL, block, (bytes) => (sent = bytes));
      await untilStill("the client to be stopped", () => sent);
      expect(sent).toBeLessThan(ON_THE_WAY);
      client.destroy();
      await pouring;
    });
    expect(growth).toBeLessThan(STALLED);
    raw.clear();
  }, 60_000);
});
