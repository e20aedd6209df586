/** Waiting for a place while every target is full: first come, first served over all workers; what is too long or too late is told 503. */
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { freePort } from "../../support/ports.ts";
import { type RawBackend, reply } from "../../support/raw-backend.ts";
import type { RawClient } from "../../support/raw-client.ts";
import { openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { answers, arrange, type Arranged, clientsOnBoth, counters, get, Holding, ownersOf, queued, rearrange, rearranging } from "../../support/traffic.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
const again = rearranging(stage);

/** Shorter than the time that a test has, so that it says what it waited for. */
const SOON = 2_500;

/** One target that takes one request at a time, unless `upstream` says otherwise, and holds it. */
async function narrow(upstream: TomlTable = {}, arranged = again) {
  const holding = new Holding("done");
  const backend = await stage.backend(holding.script);
  const arrangement = (keys: TomlTable) => ({ targets: [{ address: backend.address }], upstream: { max_requests: 1, ...keys } });
  const front = await arranged(arrangement(upstream));
  return { holding, backend, front, arrangement };
}

/** Each of these clients asks for /0, /1, … when the one before it has its place in the queue; the first `served` have one at the target. */
async function lineUp(front: Arranged, backend: RawBackend, clients: readonly RawClient[], served = 1): Promise<void> {
  for (const [at, client] of clients.entries()) {
    client.request(get(`/${at}`));
    if (at < served) await until(`/${at} at the target`, () => backend.requests.length > at);
    else await queued(front, at - served + 1);
  }
}

function paths(backend: RawBackend): string[] {
  return backend.requests.map(({ target }) => target);
}

/** This client waits alone now behind /0, and is served when that is. */
async function expectNext({ holding, backend, front }: Awaited<ReturnType<typeof narrow>>, client: RawClient): Promise<void> {
  client.request(get("/next"));
  await queued(front, 1);
  holding.release();
  await until("the next one", () => holding.held.length === 1);
  holding.release();
  expect((await client.finalReply()).status).toBe(200);
  expect(paths(backend)).toEqual(["/0", "/next"]);
}

/** 503 that says when to come again. */
function expectTurnedAway(answer: { readonly status: number; header(name: string): string | undefined }): void {
  expect(answer.status).toBe(503);
  expect(answer.header("retry-after")).toMatch(/^[1-9]\d*$/);
}

describe("while the target is full", () => {
  test("requests wait and are served in the order in which they came, over 2 workers", async () => {
    const { holding, backend, front } = await narrow();
    const clients = await clientsOnBoth(stage, front, 5);
    await lineUp(front, backend, clients);
    expect(paths(backend)).toEqual(["/0"]);
    for (let at = 1; at <= clients.length; at++) {
      holding.release();
      if (at < clients.length) await until("the next", () => backend.requests.length > at);
    }
    expect((await answers(clients)).map(({ text }) => text)).toEqual(clients.map(() => "done"));
    expect(paths(backend)).toEqual(["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9"]);
    expect(holding.most).toBe(1);
    await queued(front, 0);
    expect((await counters(front)).queue).toMatchObject({ waited: 9, full: 0, timeouts: 0 });
  });

  test("who comes later waits behind those who wait, in whichever worker", async () => {
    const { holding, backend, front } = await narrow();
    const clients = await clientsOnBoth(stage, front, 2);
    await lineUp(front, backend, clients.slice(0, 3));
    // Asked for while /1 and /2 wait and a place becomes free.
    holding.release();
    clients[3]!.request(get("/late"));
    for (const path of ["/1", "/2", "/late"]) {
      await until(path, () => paths(backend).includes(path));
      holding.release();
    }
    await answers(clients);
    expect(paths(backend)).toEqual(["/0", "/1", "/2", "/late"]);
  });

  test("bodies wait too, and arrive whole", async () => {
    const { holding, backend, front } = await narrow();
    const [first, second, third] = await clientsOnBoth(stage, front, 2);
    await lineUp(front, backend, [first!]);
    const body = "0123456789".repeat(3_000);
    second!.request(`POST /whole HTTP/1.1\r\nHost: h.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await queued(front, 1);
    third!.request("POST /parts HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    await queued(front, 2);
    await third!.segments(["7\r\n, then \r\n", "4\r\nlast\r\n"]);
    holding.release();
    await until("the second", () => holding.held.length === 1 && paths(backend).includes("/whole"));
    holding.release();
    await until("the third at the target", () => paths(backend).includes("/parts"));
    third!.write("0\r\n\r\n");
    await until("all of the third", () => holding.held.length === 1);
    holding.release();
    await answers([first!, second!, third!]);
    expect(backend.requests.map(({ text }) => text)).toEqual(["", body, "first, then last"]);
    expect(backend.malformed).toEqual([]);
  });

  test("requests behind each other on one connection wait their turn", async () => {
    const { holding, backend, front } = await narrow();
    const [first, second] = await clientsOnBoth(stage, front, 1);
    await lineUp(front, backend, [first!]);
    second!.request(get("/a")).request(get("/b"));
    await queued(front, 1);
    for (const path of ["/0", "/a", "/b"]) {
      await until(path, () => paths(backend).at(-1) === path && holding.held.length === 1);
      holding.release();
    }
    expect([(await second!.finalReply()).status, (await second!.finalReply()).status]).toEqual([200, 200]);
  });
});

describe("a full queue", () => {
  test("turns away with 503 and Retry-After at once, and the connection goes on", async () => {
    const { holding, backend, front } = await narrow({ queue_size: 2 });
    const clients = await clientsOnBoth(stage, front, 2);
    await lineUp(front, backend, clients.slice(0, 3));
    const began = performance.now();
    const last = clients[3]!;
    expectTurnedAway(await last.ask(get("/too-much")));
    expect(performance.now() - began).toBeLessThan(1_000);
    expect((await counters(front)).queue.full).toBe(1);
    holding.release();
    await until("the next", () => backend.requests.length === 2);
    await queued(front, 1);
    last.request(get("/again"));
    await queued(front, 2);
    for (let at = 2; at < 4; at++) {
      holding.release();
      await until("the next", () => backend.requests.length > at);
    }
    holding.release();
    expect((await answers(clients)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect(paths(backend)).toEqual(["/0", "/1", "/2", "/again"]);
  });

  test("of size 0 lets nobody wait", async () => {
    const { holding, backend, front } = await narrow({ queue_size: 0 });
    const [first, second] = await clientsOnBoth(stage, front, 1);
    await lineUp(front, backend, [first!]);
    expectTurnedAway(await second!.ask(get("/second")));
    holding.release();
    expect((await first!.finalReply()).status).toBe(200);
    // The other worker may hear of the reply's end a moment after the client.
    await until("the place to be free", async () => (await counters(front)).open.requests === 0);
    second!.request(get("/third"));
    await until("the third", () => paths(backend).includes("/third"));
    holding.release();
    expect((await second!.finalReply()).status).toBe(200);
  });
});

describe("who waits longer than queue_timeout", () => {
  test("is told 503 with Retry-After, and the target never hears of it", async () => {
    const { holding, backend, front } = await narrow({ queue_timeout: "200ms" });
    const clients = await clientsOnBoth(stage, front, 2);
    await lineUp(front, backend, clients.slice(0, 1));
    const began = performance.now();
    const [first, ...late] = clients;
    for (const client of late) client.request(get("/late"));
    for (const answer of await answers(late)) expectTurnedAway(answer);
    const took = performance.now() - began;
    expect(took).toBeGreaterThan(195);
    expect(took).toBeLessThan(2_000);
    await queued(front, 0);
    holding.release();
    expect((await first!.finalReply()).status).toBe(200);
    // And the connections go on.
    late[0]!.request(get("/again"));
    await until("the request", () => holding.held.length === 1);
    holding.release();
    expect((await late[0]!.finalReply()).status).toBe(200);
    expect(paths(backend)).toEqual(["/0", "/again"]);
    expect((await counters(front)).queue.timeouts).toBe(3);
  });

  test("makes room for others", async () => {
    const here = await narrow({ queue_timeout: "300ms", queue_size: 1 });
    const { backend, front } = here;
    const [first, second, third] = await clientsOnBoth(stage, front, 2);
    await lineUp(front, backend, [first!, second!]);
    expectTurnedAway(await third!.ask(get("/full")));
    expectTurnedAway(await second!.finalReply());
    await expectNext(here, third!);
  });
});

describe("a client that leaves the queue", () => {
  test("is forgotten: the next one goes on, and the target never hears of it", async () => {
    const { holding, backend, front } = await narrow();
    const clients = await clientsOnBoth(stage, front, 2);
    await lineUp(front, backend, clients);
    clients[1]!.destroy();
    clients[2]!.reset();
    await queued(front, 1);
    holding.release();
    await until("the last one", () => backend.requests.length === 2);
    holding.release();
    expect((await clients[3]!.finalReply()).status).toBe(200);
    expect(paths(backend)).toEqual(["/0", "/3"]);
  });

  test("gives its place in the queue to another", async () => {
    const here = await narrow({ queue_size: 1 });
    const { backend, front } = here;
    const [first, second, third] = await clientsOnBoth(stage, front, 2);
    await lineUp(front, backend, [first!, second!]);
    second!.destroy();
    await queued(front, 0);
    await expectNext(here, third!);
  });

  test("leaves nothing behind while it is served either: the place is free at once", async () => {
    const { holding, backend, front } = await narrow();
    const [first, second] = await clientsOnBoth(stage, front, 1);
    await lineUp(front, backend, [first!, second!]);
    first!.destroy();
    await until("the second", () => paths(backend).includes("/1"));
    await until("the first to be gone at the target", () => holding.held.length === 1);
    holding.release();
    expect((await second!.finalReply()).status).toBe(200);
  });
});

describe("a place becomes free", () => {
  test("at a target that refused the first one before: it goes there once more, and those behind it are not held up", async () => {
    const holding = new Holding("done");
    const busy = await stage.backend(holding.script);
    const port = await freePort();
    const arrangement = { targets: [{ address: `127.0.0.1:${port}` }, { address: busy.address }], top: { workers: 1 }, upstream: { policy: "first", max_requests: 1, retries: 1, outlier_detection: false } };
    const front = await again(arrangement);
    const clients = await Promise.all(Array.from({ length: 3 }, () => stage.client(front)));
    // Refused by the first target, held by the second.
    clients[0]!.request(get("/0"));
    await until("it at the second", () => busy.requests.length === 1);
    // Refused by the first, and the second is full: it waits, or is told that nobody is there, but does not stand in the way.
    clients[1]!.request(get("/1"));
    clients[2]!.request(get("/2"));
    const told = await Promise.all([clients[1]!.finalReply(SOON), clients[2]!.finalReply(SOON)]);
    expect(told.map(({ status }) => status)).toEqual([502, 502]);
    holding.release();
    expect((await clients[0]!.finalReply()).status).toBe(200);
    await queued(front, 0);
  });

  test("when the target resets instead of answering", async () => {
    const { holding, backend, front } = await narrow({ retries: 0, outlier_detection: false });
    const clients = await clientsOnBoth(stage, front, 1);
    await lineUp(front, backend, clients);
    holding.held[0]!.reset();
    expect((await clients[0]!.finalReply()).status).toBe(502);
    await until("the second", () => paths(backend).includes("/1") && holding.held.length === 1);
    holding.release();
    expect((await clients[1]!.finalReply()).status).toBe(200);
  });

  test("when its worker is killed, and so is a place in the queue", async () => {
    const { holding, backend, front } = await narrow({}, (arrangement) => arrange(stage, arrangement));
    const clients = await clientsOnBoth(stage, front, 2);
    await lineUp(front, backend, clients);
    // The worker of /0, which is being served, and /2, which waits before /3.
    const [worker, other] = ownersOf(front, clients)!;
    expect(worker).not.toBe(other);
    process.kill(worker!, "SIGKILL");
    await until("the next one", () => paths(backend).includes("/1") && holding.held.length === 1);
    holding.release();
    await until("the one after", () => paths(backend).includes("/3") && holding.held.length === 1);
    holding.release();
    expect((await answers([clients[1]!, clients[3]!])).map(({ status }) => status)).toEqual([200, 200]);
    expect(paths(backend)).toEqual(["/0", "/1", "/3"]);
    await queued(front, 0);
  });

  test("when a reload raises max_requests", async () => {
    const { holding, backend, front, arrangement } = await narrow();
    const clients = await clientsOnBoth(stage, front, 2);
    await lineUp(front, backend, clients);
    await rearrange(front, arrangement({ max_requests: 3 }));
    await until("three at the target", () => holding.held.length === 3, SOON);
    expect(paths(backend).toSorted()).toEqual(["/0", "/1", "/2"]);
    holding.release(1);
    await until("the last one", () => paths(backend).includes("/3"), SOON);
    holding.release();
    expect((await answers(clients)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  });

  test("when a reload takes the limit away", async () => {
    const { holding, backend, front, arrangement } = await narrow();
    const clients = await clientsOnBoth(stage, front, 3);
    await lineUp(front, backend, clients);
    await rearrange(front, arrangement({ max_requests: 0 }));
    await until("all at the target", () => holding.held.length === 6, SOON);
    holding.release();
    expect((await answers(clients)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
  });

  test("when a reload adds a target", async () => {
    const { holding, backend, front, arrangement } = await narrow();
    const clients = await clientsOnBoth(stage, front, 1);
    await lineUp(front, backend, clients);
    const other = await stage.backend();
    await rearrange(front, { ...arrangement({}), targets: [{ address: backend.address }, { address: other.address }] });
    expect((await clients[1]!.finalReply(SOON)).text).toBe("GET /1");
    holding.release();
    expect((await clients[0]!.finalReply()).status).toBe(200);
  });

  test("when a reload puts another target in the place of the full one", async () => {
    const { holding, backend, front, arrangement } = await narrow();
    const clients = await clientsOnBoth(stage, front, 1);
    await lineUp(front, backend, clients);
    const other = await stage.backend();
    await rearrange(front, { ...arrangement({}), targets: [{ address: other.address }] });
    expect((await clients[1]!.finalReply(SOON)).text).toBe("GET /1");
    holding.release();
    expect((await clients[0]!.finalReply()).text).toBe("done");
  });

  test("by a reload, who comes after it is not held up by who came before it", async () => {
    const { holding, backend, front, arrangement } = await narrow();
    const clients = await clientsOnBoth(stage, front, 2);
    await lineUp(front, backend, clients.slice(0, 2));
    const other = await stage.backend();
    await rearrange(front, { ...arrangement({}), targets: [{ address: backend.address }, { address: other.address }] });
    for (const client of clients.slice(2)) client.request(get("/after"));
    for (const client of clients.slice(2)) expect((await client.finalReply(SOON)).text).toBe("GET /after");
    holding.release();
    expect((await clients[0]!.finalReply()).text).toBe("done");
  });
});

describe("over 2 workers the limit is exact", () => {
  /** Counts what it has at a time, and answers after a moment. */
  async function counting() {
    let open = 0;
    const seen = { most: 0, backend: undefined as unknown as RawBackend };
    seen.backend = await stage.backend(async (request, connection) => {
      open++;
      seen.most = Math.max(seen.most, open);
      if (await request.ended) {
        await sleep(2);
        open--;
        connection.write(reply(200, "ok"));
      }
    });
    return seen;
  }

  for (const policy of ["round-robin", "random", "least-connections", "p2c", "hash", "first"]) {
    test(`with ${policy}`, async () => {
      const [narrow, wide] = [await counting(), await counting()];
      const front = await again({
        targets: [{ address: narrow.backend.address, max_requests: 2 }, { address: wide.backend.address, max_requests: 5 }],
        upstream: { policy },
      });
      const clients = await clientsOnBoth(stage, front, 15);
      const statuses = await Promise.all(clients.map(async (client) => {
        const own = [];
        for (let i = 0; i < 12; i++) own.push((await client.ask(get(`/${i}`))).status);
        return own;
      }));
      expect(new Set(statuses.flat())).toEqual(new Set([200]));
      expect([narrow.most, wide.most]).toEqual([2, 5]);
      expect(narrow.backend.requests.length + wide.backend.requests.length).toBe(360);
      expect((await counters(front)).open).toEqual({ requests: 0, retries: 0, queued: 0 });
    });
  }
});

describe("a tcp listener", () => {
  /** A connection that is greeted when it has its place. */
  function caller(front: Arranged) {
    const socket = connect(front.port, "127.0.0.1");
    stage.atEnd(() => socket.destroy());
    const state = { text: "", over: false, end: () => void socket.destroy() };
    socket.on("data", (chunk: Buffer) => (state.text += chunk.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => (state.over = true));
    return state;
  }

  async function exchange(upstream: TomlTable) {
    const server = await stage.server((connection) => {
      connection.write("hello");
      connection.socket.on("end", () => connection.end());
    });
    const arrangement = (keys: TomlTable) => ({ targets: [{ address: server.address }], upstream: keys, listener: { protocol: "tcp" } });
    return { front: await again(arrangement(upstream)), arrangement };
  }

  async function switchboard(upstream: TomlTable): Promise<Arranged> {
    return (await exchange(upstream)).front;
  }

  test("lets those who wait go on when a reload raises max_requests", async () => {
    const { front, arrangement } = await exchange({ max_requests: 1 });
    const callers = [caller(front), caller(front), caller(front)];
    await queued(front, 2);
    await rearrange(front, arrangement({ max_requests: 3 }));
    await until("hello for all", () => callers.every(({ text }) => text === "hello"), SOON);
  });

  test("lets connections wait in the same way", async () => {
    const front = await switchboard({ max_requests: 2 });
    const callers: ReturnType<typeof caller>[] = [];
    for (let i = 0; i < 5; i++) {
      callers.push(caller(front));
      if (i < 2) await until("hello", () => callers[i]!.text === "hello");
      else await queued(front, i - 1);
    }
    for (let i = 0; i < 3; i++) {
      callers[i]!.end();
      await until("the next one", () => callers[i + 2]!.text === "hello");
      expect(callers.filter(({ text }) => text !== "").length).toBe(i + 3);
    }
  });

  test("forgets who hangs up, and closes who waits too long", async () => {
    const front = await switchboard({ max_requests: 1, queue_timeout: "400ms" });
    const first = caller(front);
    await until("hello", () => first.text === "hello");
    const second = caller(front);
    await queued(front, 1);
    second.end();
    await queued(front, 0);
    const third = caller(front);
    await until("the third to be turned away", () => third.over);
    expect(third.text).toBe("");
    expect(first.over).toBe(false);
  });
});
