/** How long a client will wait, when it says so (X-Request-Timeout, grpc-timeout): 504 then, wherever the request is; it can only shorten. */
import { describe, expect, test } from "bun:test";
import { type RawBackend, reply, sayWhich, type Script } from "../../support/raw-backend.ts";
import type { RawClient } from "../../support/raw-client.ts";
import { openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { counters, get, Holding, queued, rearranging } from "../../support/traffic.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
const arrange = rearranging(stage);
const silent: Script = () => {};

async function facing(script: Script, upstream: TomlTable = {}, listener: TomlTable = {}, count = 1) {
  const backends = await stage.backends(count, script);
  const front = await arrange({ targets: backends.map(({ address }) => ({ address })), upstream: { outlier_detection: false, ...upstream }, listener, top: { workers: 1 } });
  return { front, backends, backend: backends[0]!, client: await stage.client(front) };
}

/** 504 after about so many ms: the timer's tick is 20 ms, and the machine may be busy. */
async function expectTooLate(client: RawClient, request: string, milliseconds: number): Promise<void> {
  const began = performance.now();
  expect((await client.ask(request)).status).toBe(504);
  const took = performance.now() - began;
  expect(took).toBeGreaterThan(milliseconds * 0.9 - 5);
  expect(took).toBeLessThan(milliseconds + 1_000);
}

function slow(milliseconds: number): Script {
  return async (request, connection) => {
    await sleep(milliseconds);
    await sayWhich(request, connection);
  };
}

describe("a request that says how long it may take", () => {
  const WAYS = [
    ["X-Request-Timeout: 200ms", 200],
    ["X-Request-Timeout: 0.2", 200],
    ["X-Request-Timeout: 0.2s", 200],
    ["X-Request-Timeout: 200 ms", 200],
    ["x-request-timeout: 1", 1_000],
    ["X-Request-Timeout: 0.005m", 300],
    ["grpc-timeout: 200m", 200],
    ["grpc-timeout: 200000u", 200],
    ["grpc-timeout: 99999999n", 100],
    ["Grpc-Timeout: 1S", 1_000],
  ] as const;

  test("in any of the ways to say it is answered 504 then, and its target's connection is closed", async () => {
    const { front, backend } = await facing(silent);
    await Promise.all(WAYS.map(async ([line, milliseconds]) => expectTooLate(await stage.client(front), get("/", line), milliseconds)));
    expect(backend.requests.length).toBe(WAYS.length);
    for (const connection of backend.connections) await connection.untilPeerEnds();
  });

  test("in two ways takes the shorter one", async () => {
    const { client } = await facing(silent);
    await expectTooLate(client, get("/", "X-Request-Timeout: 200ms", "grpc-timeout: 20S"), 200);
    const { client: other } = await facing(silent);
    await expectTooLate(other, get("/", "X-Request-Timeout: 20", "grpc-timeout: 200m"), 200);
  });

  test("has its answer when that is in time", async () => {
    const { client } = await facing(slow(50));
    expect((await client.ask(get("/in-time", "X-Request-Timeout: 3s"))).text).toBe("GET /in-time");
    expect((await client.ask(get("/in-time", "grpc-timeout: 3S"))).text).toBe("GET /in-time");
  });

  test("tells its target so", async () => {
    const { backend, client } = await facing(sayWhich);
    await client.ask(get("/", "X-Request-Timeout: 3s", "grpc-timeout: 3S"));
    expect([backend.requests[0]!.header("x-request-timeout"), backend.requests[0]!.header("grpc-timeout")]).toEqual(["3s", "3S"]);
  });

  test("says it for itself: the next one on its connection has all the time", async () => {
    const { backend, client } = await facing(sayWhich);
    expect((await client.ask(get("/", "X-Request-Timeout: 150ms"))).status).toBe(200);
    backend.script = slow(400);
    expect((await client.ask(get("/patient"))).text).toBe("GET /patient");
  });

  test("leaves its connection in order when it is over", async () => {
    const { backend, client } = await facing(silent);
    await expectTooLate(client, get("/", "X-Request-Timeout: 100ms"), 100);
    backend.script = sayWhich;
    expect((await client.ask(get("/next"))).text).toBe("GET /next");
  });

  test("says it for POST as well", async () => {
    const { backend, client } = await facing(silent, {}, {}, 2);
    await expectTooLate(client, "POST / HTTP/1.1\r\nHost: h.test\r\nX-Request-Timeout: 150ms\r\nContent-Length: 4\r\n\r\ndata", 150);
    expect(backend.requests.length).toBeLessThanOrEqual(1);
  });

  test("in words that mean nothing has all the time", async () => {
    const { front } = await facing(slow(120));
    const lines = ["X-Request-Timeout: soon", "X-Request-Timeout: -1", "X-Request-Timeout: 1h", "X-Request-Timeout: 0x1", "X-Request-Timeout:", "X-Request-Timeout: 1e-3", "grpc-timeout: 1", "grpc-timeout: 1s", "grpc-timeout: 000000001m", "grpc-timeout: m", "grpc-timeout: 0.1S", "X-Request-Timeout: 999999999m"];
    const statuses = await Promise.all(lines.map(async (line) => (await (await stage.client(front)).ask(get("/", line))).status));
    expect(statuses).toEqual(lines.map(() => 200));
  });
});

describe("where the listener has a limit", () => {
  const limited = { timeouts: { request: "300ms" } };

  test("a client cannot lengthen it", async () => {
    const { front } = await facing(silent, {}, limited);
    await Promise.all(["X-Request-Timeout: 20s", "grpc-timeout: 20S", "X-Request-Timeout: 0.4"].map(async (line) => expectTooLate(await stage.client(front), get("/", line), 300)));
  });

  test("a client can shorten it", async () => {
    const { front } = await facing(silent, {}, { timeouts: { request: "20s" } });
    await Promise.all(["X-Request-Timeout: 100ms", "grpc-timeout: 100m"].map(async (line) => expectTooLate(await stage.client(front), get("/", line), 100)));
  });

  test("a client cannot lengthen timeouts.response either", async () => {
    const { client } = await facing(silent, { retries: 0, timeouts: { response: "200ms" } });
    await expectTooLate(client, get("/", "X-Request-Timeout: 20s"), 200);
  });
});

describe("wherever the request is", () => {
  const hurried = get("/", "X-Request-Timeout: 200ms");

  test("in the queue: it leaves, and its target never hears of it", async () => {
    const holding = new Holding("done");
    const { front, backend, client } = await facing(holding.script, { max_requests: 1 });
    client.request(get("/first"));
    await until("the first", () => holding.held.length === 1);
    await expectTooLate(await stage.client(front), hurried, 200);
    await queued(front, 0);
    holding.release();
    expect((await client.finalReply()).text).toBe("done");
    expect(backend.requests.map(({ target }) => target)).toEqual(["/first"]);
  });

  test("at a target whose connect gets no answer", async () => {
    const front = await arrange({ targets: [{ address: await stage.fullQueue() }], upstream: { timeouts: { connect: "10s" } } });
    await expectTooLate(await stage.client(front), hurried, 200);
  });

  test("between attempts: no further one is made", async () => {
    const { backends, client } = await facing((_, connection) => connection.reset(), { retries: 10, retry_backoff: "10s", retry_backoff_max: "10s" }, {}, 2);
    await expectTooLate(client, get("/", "X-Request-Timeout: 60ms"), 60);
    const before = backends.reduce((sum, { requests }) => sum + requests.length, 0);
    // The pause is drawn anew each time: it may be a short one.
    expect(before).toBeLessThanOrEqual(3);
    await sleep(200);
    expect(backends.reduce((sum, { requests }) => sum + requests.length, 0)).toBe(before);
  });

  test("over several attempts together", async () => {
    const { backends, client } = await facing(silent, { retries: 10, retry_backoff: "off", timeouts: { attempt: "80ms" } }, {}, 3);
    await expectTooLate(client, hurried, 200);
    expect(backends.reduce((sum, { requests }) => sum + requests.length, 0)).toBeLessThanOrEqual(3);
  });

  test("while its body still comes: 504, and the connection ends", async () => {
    const { backend, client } = await facing(sayWhich);
    await expectTooLate(client, "POST / HTTP/1.1\r\nHost: h.test\r\nX-Request-Timeout: 200ms\r\nContent-Length: 100\r\n\r\nhalf", 200);
    await client.untilPeerEnds();
    await (await backend.connection()).untilPeerEnds();
    expect(backend.complete.length).toBe(0);
  });

  test("in the middle of its reply: the client sees that it is cut off", async () => {
    const { backend, client } = await facing((_, connection) => connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"));
    client.request(hurried);
    const head = await client.nextHead();
    expect(head.status).toBe(200);
    expect(await head.ended).toBe(false);
    await (await backend.connection()).untilPeerEnds();
  });

  test("with a hedge out: both targets are let go", async () => {
    const { front, backends, client } = await facing(sayWhich, { hedge: { min_delay: "20ms" } }, {}, 2);
    for (let i = 0; i < 60; i++) await client.ask(get(`/${i}`));
    for (const backend of backends) backend.clear(silent);
    await expectTooLate(client, hurried, 200);
    const asked = backends.map(({ requests }) => requests.length);
    expect(asked).toEqual([1, 1]);
    for (const backend of backends as RawBackend[]) await backend.seen[0]!.connection.untilPeerEnds();
    expect((await counters(front)).open).toEqual({ requests: 0, retries: 0, queued: 0 });
  });

  test("but not once it is a tunnel", async () => {
    const { client } = await facing((_, connection) => {
      connection.holdOpen = true;
      connection.reader.becomeTunnel();
      connection.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: frob\r\n\r\n");
      connection.socket.on("data", (chunk: Buffer) => connection.write(chunk));
    });
    client.request("GET / HTTP/1.1\r\nHost: h.test\r\nConnection: Upgrade\r\nUpgrade: frob\r\nX-Request-Timeout: 100ms\r\n\r\n");
    expect((await client.reply()).status).toBe(101);
    await sleep(300);
    client.write("still here");
    await until("the echo", () => client.reader.tunnel.toString() === "still here");
  });
});

describe("many requests with deadlines", () => {
  test("leave nothing open", async () => {
    let count = 0;
    const { front } = await facing(async (request, connection) => {
      if (count++ % 3 === 0) return;
      await sleep(count % 40);
      if (await request.ended) connection.write(reply(200, request.target));
    }, { max_requests: 4 });
    const clients = await Promise.all(Array.from({ length: 10 }, () => stage.client(front)));
    const statuses = await Promise.all(clients.map(async (client, at) => {
      const own = [];
      for (let i = 0; i < 10; i++) {
        const answer = await client.ask(get(`/${at}/${i}`, "X-Request-Timeout: 60ms"));
        if (answer.status === 200) expect(answer.text).toBe(`/${at}/${i}`);
        own.push(answer.status);
      }
      return own;
    }));
    expect([...new Set(statuses.flat())].toSorted()).toEqual([200, 504]);
    expect((await counters(front)).open).toEqual({ requests: 0, retries: 0, queued: 0 });
  });
});
