/** Bodies between HTTP/1 and HTTP/2, in all four ways that are new: whole, with trailers, and in bounded memory when somebody reads slowly. */
import { beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { Fairlead } from "../../support/fairlead.ts";
import { data, headers, Setting, windowUpdate } from "../../support/h2-frames.ts";
import type { H2Target } from "../../support/h2-target.ts";
import { H2Client } from "../../support/h2.ts";
import type { NodeBackend } from "../../support/node-backend.ts";
import { NodeH2, nodeH2Client } from "../../support/node-h2.ts";
import { freePort } from "../../support/ports.ts";
import { nodeClient } from "../../support/real-clients.ts";
import { openStage } from "../../support/stage.ts";
import { toToml } from "../../support/toml.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
const MIB = 1024 * 1024;
const TOTAL = 12 * MIB;
/** The most that memory may grow by while somebody does not read. */
const STALLED = 32 * MIB;

let one: NodeBackend;
let two: NodeH2;
let mean: H2Target;
let fairlead: Fairlead;
/** Listeners before targets of HTTP/1 and HTTP/2, and before one that never reads. */
let toOne: number;
let toTwo: number;
let toMean: number;

beforeAll(async () => {
  [one, two, mean] = await Promise.all([stage.node(), NodeH2.start(), stage.h2Target(() => {}, { stingy: true, settings: [[Setting.INITIAL_WINDOW_SIZE, 1_000_000]] })]);
  stage.atEnd(() => two.kill());
  mean.keepBodies = false;
  [toOne, toTwo, toMean] = [await freePort(), await freePort(), await freePort()] as [number, number, number];
  const front = (name: string, port: number): object => ({ name, address: `127.0.0.1:${port}`, upstream: name });
  fairlead = await Fairlead.start(
    toToml({
      workers: 1,
      listeners: [front("one", toOne), front("two", toTwo), front("mean", toMean)] as never,
      upstreams: [
        { name: "one", targets: [{ address: one.address }] },
        { name: "two", protocol: "h2c", targets: [{ address: two.address }] },
        { name: "mean", protocol: "h2c", targets: [{ address: mean.address }] },
      ] as never,
    }),
  );
  stage.atEnd(() => fairlead.kill());
}, 30_000);

function digestOf(total: number): string {
  const block = Buffer.from(Array.from({ length: 65_536 }, (_, i) => i % 251));
  const hash = createHash("sha256");
  for (let sent = 0; sent < total; sent += block.length) hash.update(block.subarray(0, Math.min(block.length, total - sent)));
  return hash.digest("hex");
}

describe("a body of 12 MiB and its trailers", () => {
  for (const [name, port] of [
    ["HTTP/2 to HTTP/2", () => toTwo],
    ["HTTP/2 to HTTP/1", () => toOne],
  ] as const) {
    test(`go from ${name} and back, both ways at once`, async () => {
      const { status, bytes, sha256, sent, trailers } = await nodeH2Client(port(), "echo", "/echo", TOTAL);
      expect([status, bytes, sha256, sent]).toEqual([200, TOTAL, digestOf(TOTAL), digestOf(TOTAL)]);
      expect(trailers).toMatchObject({ "x-sum": "42" });
    }, 30_000);
  }

  test("go from HTTP/1 to HTTP/2, with a length and in chunks", async () => {
    const [post, stream] = await Promise.all([nodeClient("undici-post", `http://127.0.0.1:${toTwo}/hash`, TOTAL), nodeClient("undici-stream", `http://127.0.0.1:${toTwo}/hash`, TOTAL)]);
    for (const { status, bytes, sha256, sent } of [post, stream]) expect([status, bytes, sha256]).toEqual([200, TOTAL, sent!]);
    expect(await nodeClient("node-trailers", `http://127.0.0.1:${toTwo}/hash`)).toMatchObject({ status: 200, body: expect.stringContaining('"x-checksum":"abc"') });
  }, 30_000);

  test("come from HTTP/2 to HTTP/1, with a length and without", async () => {
    for (const path of [`/bytes/${TOTAL}`, `/stream/${TOTAL}`]) expect(await nodeClient("undici-get", `http://127.0.0.1:${toTwo}${path}`)).toMatchObject({ status: 200, bytes: TOTAL, sha256: digestOf(TOTAL) });
  }, 30_000);

  test("arrive whole at who reads slowly, on either side", async () => {
    const slow = 4 * MIB;
    const [down, up, fromOne] = await Promise.all([nodeH2Client(toTwo, "get", `/bytes/${TOTAL / 2}`, slow), nodeClient("undici-stream", `http://127.0.0.1:${toTwo}/slow/${slow}`, TOTAL / 2), nodeH2Client(toOne, "get", `/chunked/${TOTAL / 2}`, slow)]);
    expect([down.bytes, down.sha256]).toEqual([TOTAL / 2, digestOf(TOTAL / 2)]);
    expect([up.bytes, up.sha256]).toEqual([TOTAL / 2, up.sent!]);
    expect([fromOne.bytes, fromOne.sha256]).toEqual([TOTAL / 2, digestOf(TOTAL / 2)]);
  }, 30_000);
});

describe("memory stays bounded when nobody reads:", () => {
  async function growthWhile(act: () => Promise<unknown>): Promise<number> {
    const before = fairlead.memory();
    await act();
    let most = 0;
    for (let i = 0; i < 20; i++) {
      await sleep(50);
      most = Math.max(most, fairlead.memory());
    }
    return most - before;
  }

  test("60 clients of HTTP/1 that do not read what a target of HTTP/2 sends", async () => {
    const growth = await growthWhile(async () => {
      for (let i = 0; i < 60; i++) {
        const client = await stage.client(toTwo);
        client.request(`GET /bytes/${100 * MIB} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
        await client.nextHead();
        client.pause();
        stage.atEnd(() => client.destroy());
      }
    });
    expect(growth).toBeLessThan(60 * 512 * 1024 + STALLED);
  }, 30_000);

  test("60 streams of a client whose windows stay shut", async () => {
    const client = await H2Client.connect(toTwo);
    client.conversation.keepBodies = false;
    const growth = await growthWhile(async () => {
      client.send(windowUpdate(0, 100_000_000));
      for (let id = 1; id < 120; id += 2) client.send(headers(id, [[":method", "GET"], [":scheme", "http"], [":authority", "a.test"], [":path", `/stream/${100 * MIB}`]]));
      await until("each to be full", () => [...client.conversation.streams.values()].every(({ bytes }) => bytes === 65_535));
    });
    // Each may hold what the target's window lets it send ahead.
    expect(growth).toBeLessThan(60 * 256 * 1024 + STALLED);
    client.destroy();
    await until("the streams to be reset", () => two.events.filter(({ event, path }) => event === "closed" && path === `/stream/${100 * MIB}`).length === 60, 10_000);
  }, 30_000);

  test("uploads to a target whose windows stay shut: their clients are stopped", async () => {
    const block = Buffer.alloc(65_536);
    const sent = Array.from({ length: 20 }, () => 0);
    const client = await H2Client.connect(toMean);
    const growth = await growthWhile(async () => {
      for (const i of sent.keys()) {
        const each = await stage.client(toMean);
        each.request(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${100 * MIB}\r\n\r\n`);
        void each.pour(100 * MIB, block, (bytes) => (sent[i] = bytes));
        stage.atEnd(() => each.destroy());
      }
      client.send(headers(1, [[":method", "POST"], [":scheme", "http"], [":authority", "a.test"], [":path", "/"]], { endStream: false }));
      await until("the last one", () => mean.requests.length === 21);
      for (let room = client.stream(1).sendWindow; room > 0; room = client.stream(1).sendWindow) {
        client.send(data(1, Buffer.alloc(Math.min(room, 16_384)), { endStream: false }));
        await sleep(2);
      }
    });
    // The connection's window is shut after its first 65,535 bytes: nobody got further than the buffers on the way.
    expect(mean.connections.reduce((sum, { requests }) => sum + [...requests.values()].reduce((all, { bytes }) => all + bytes, 0), 0)).toBe(65_535 * mean.connections.length);
    expect(growth).toBeLessThan(20 * 1024 * 1024 + STALLED);
    for (const bytes of sent) expect(bytes).toBeLessThan(30 * MIB);
    client.destroy();
  }, 30_000);
});
