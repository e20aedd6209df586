/** Hedging: an idempotent request that takes longer than usual is sent to a second target too, and the first good answer is the answer. */
import { describe, expect, test } from "bun:test";
import { type BackendConnection, type RawBackend, reply, sayWhich } from "../../support/raw-backend.ts";
import type { RawClient } from "../../support/raw-client.ts";
import { openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { type Arranged, clientsOnBoth, counters, get, rearranging } from "../../support/traffic.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
const arrange = rearranging(stage);

/** A request that a target keeps until the test answers it. */
interface Kept {
  readonly backend: RawBackend;
  readonly connection: BackendConnection;
}

/** Targets that answer at once, but keep what is asked under /slow. One worker, for each learns for itself what is usual. */
async function slowable(hedge: TomlTable = {}, upstream: TomlTable = {}, count = 2) {
  const kept: Kept[] = [];
  const backends = await stage.backends(count);
  for (const backend of backends) {
    backend.script = async (request, connection) => {
      if (request.target !== "/slow") await sayWhich(request, connection);
      else if (await request.ended) kept.push({ backend, connection });
    };
  }
  const front = await arrange({
    targets: backends.map(({ address }) => ({ address })),
    top: { workers: 1 },
    upstream: { outlier_detection: false, ...upstream, hedge: { min_delay: "20ms", ...hedge } },
  });
  return { front, kept, backends, client: await stage.client(front) };
}

/** So many quick requests that it is known how long they take. */
async function practise(client: RawClient, count = 60): Promise<void> {
  for (let i = 0; i < count; i++) expect((await client.ask(get(`/${i}`))).status).toBe(200);
}

async function both(kept: readonly Kept[]): Promise<readonly [Kept, Kept]> {
  await until("the request at two targets", () => kept.length === 2);
  expect(kept[0]!.backend).not.toBe(kept[1]!.backend);
  return [kept[0]!, kept[1]!];
}

interface Hedges {
  readonly sent: number;
  readonly won: number;
}

/** Since `before`: on a busy machine a quick request may have taken long enough for one. */
async function hedges(front: Arranged, before: Hedges = { sent: 0, won: 0 }): Promise<Hedges> {
  const { sent, won } = (await counters(front)).hedges;
  return { sent: sent - before.sent, won: won - before.won };
}

/** Long enough for a hedge that would be sent. */
const A_WHILE = 150;

describe("a request that takes longer than usual", () => {
  test("is sent to a second target; its answer is the answer, and the first one's connection is closed", async () => {
    const { front, kept, client } = await slowable();
    await practise(client);
    const before = await hedges(front);
    client.request(get("/slow"));
    const [first, second] = await both(kept);
    second.connection.write(reply(200, "second"));
    expect((await client.finalReply()).text).toBe("second");
    await first.connection.untilPeerEnds();
    expect(second.connection.peer).toBe("open");
    expect(await hedges(front, before)).toEqual({ sent: 1, won: 1 });
    // What the slow one says now is for nobody.
    first.connection.write(reply(200, "too late"));
    expect((await client.ask(get("/next"))).text).toBe("GET /next");
  });

  test("is answered by the first target if that is quicker after all, and the second one's connection is closed", async () => {
    const { front, kept, client } = await slowable();
    await practise(client);
    const before = await hedges(front);
    client.request(get("/slow"));
    const [first, second] = await both(kept);
    first.connection.write(reply(200, "first"));
    expect((await client.finalReply()).text).toBe("first");
    await second.connection.untilPeerEnds();
    expect(first.connection.peer).toBe("open");
    expect(await hedges(front, before)).toEqual({ sent: 1, won: 0 });
    expect((await client.ask(get("/next"))).text).toBe("GET /next");
  });

  test("is sent to no more than two", async () => {
    const { kept, client } = await slowable({}, { retries: 5 }, 4);
    await practise(client);
    client.request(get("/slow"));
    await both(kept);
    await sleep(A_WHILE);
    expect(kept.length).toBe(2);
    kept[1]!.connection.write(reply(200, "second"));
    expect((await client.finalReply()).text).toBe("second");
  });

  test("goes with all of its body", async () => {
    const { kept, client } = await slowable();
    await practise(client);
    const body = "0123456789".repeat(2_000);
    client.request(`PUT /slow HTTP/1.1\r\nHost: h.test\r\nContent-Length: ${body.length}\r\n\r\n`);
    await client.segments([body.slice(0, 7_000), body.slice(7_000, 14_000), body.slice(14_000)]);
    const [, second] = await both(kept);
    for (const { backend } of kept) expect([backend.requests.at(-1)!.text === body, backend.malformed]).toEqual([true, []]);
    second.connection.write(reply(200, "second"));
    expect((await client.finalReply()).text).toBe("second");
  });

  for (const method of ["HEAD", "OPTIONS", "DELETE"]) {
    test(`is hedged with ${method}`, async () => {
      const { kept, client } = await slowable();
      await practise(client);
      client.request(`${method} /slow HTTP/1.1\r\nHost: h.test\r\n\r\n`);
      const [, second] = await both(kept);
      second.connection.write(reply(204).replace("Content-Length: 0\r\n", ""));
      expect((await client.finalReply()).status).toBe(204);
    });
  }

  for (const method of ["POST", "PATCH"]) {
    test(`is not hedged with ${method}`, async () => {
      const { front, kept, client } = await slowable();
      await practise(client);
      const before = await hedges(front);
      client.request(`${method} /slow HTTP/1.1\r\nHost: h.test\r\nContent-Length: 4\r\n\r\ndata`);
      await until("the request", () => kept.length === 1);
      await sleep(A_WHILE);
      expect(kept.length).toBe(1);
      kept[0]!.connection.write(reply(200, "first"));
      expect((await client.finalReply()).text).toBe("first");
      expect(await hedges(front, before)).toEqual({ sent: 0, won: 0 });
    });
  }

  test("is not hedged while it still comes in", async () => {
    const { kept, client } = await slowable();
    await practise(client);
    client.request("PUT /slow HTTP/1.1\r\nHost: h.test\r\nContent-Length: 4\r\n\r\nda");
    await sleep(A_WHILE);
    client.write("ta");
    await until("the request", () => kept.length === 1);
    kept[0]!.connection.write(reply(200, "first"));
    expect((await client.finalReply()).text).toBe("first");
  });

  test("is not hedged when its reply has begun", async () => {
    const { kept, client } = await slowable();
    await practise(client);
    client.request(get("/slow"));
    await until("the request", () => kept.length === 1);
    kept[0]!.connection.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun");
    await client.nextHead();
    await sleep(A_WHILE);
    expect(kept.length).toBe(1);
    kept[0]!.connection.write(".end");
    await client.untilText("begun.end");
  });

  test("is not hedged with one target", async () => {
    const { kept, client } = await slowable({}, {}, 1);
    await practise(client);
    client.request(get("/slow"));
    await until("the request", () => kept.length === 1);
    await sleep(A_WHILE);
    expect(kept.length).toBe(1);
    kept[0]!.connection.write(reply(200, "only"));
    expect((await client.finalReply()).text).toBe("only");
  });

  test("waits at least min_delay", async () => {
    const { kept, client } = await slowable({ min_delay: "300ms" });
    await practise(client);
    const began = performance.now();
    client.request(get("/slow"));
    const [, second] = await both(kept);
    expect(performance.now() - began).toBeGreaterThan(290);
    second.connection.write(reply(200, "second"));
    await client.finalReply();
  });
});

describe("not enough is known", () => {
  test("before so many requests that there is something usual", async () => {
    const { kept, client } = await slowable();
    await practise(client, 20);
    client.request(get("/slow"));
    await until("the request", () => kept.length === 1);
    await sleep(A_WHILE);
    expect(kept.length).toBe(1);
    kept[0]!.connection.write(reply(200, "first"));
    expect((await client.finalReply()).text).toBe("first");
  });
});

describe("while both are asked", () => {
  async function hedged(upstream: TomlTable = {}) {
    const all = await slowable({}, upstream);
    await practise(all.client);
    all.client.request(get("/slow"));
    const [first, second] = await both(all.kept);
    return { ...all, first, second };
  }

  for (const [failing, answering] of [["first", "second"], ["second", "first"]] as const) {
    /** The one fails, and a moment later the other answers. */
    async function expectAnswerOfTheOther(fail: (connection: BackendConnection) => void, upstream: TomlTable): Promise<void> {
      const { client, ...asked } = await hedged(upstream);
      fail(asked[failing].connection);
      await sleep(30);
      asked[answering].connection.write(reply(200, answering));
      expect((await client.finalReply()).text).toBe(answering);
    }

    test(`an error of the ${failing} is no answer: the ${answering} one's is`, () => expectAnswerOfTheOther((connection) => connection.write(reply(500, "no")), {}));
    test(`a reset of the ${failing} leaves the ${answering}`, () => expectAnswerOfTheOther((connection) => connection.reset(), { retries: 0 }));
  }

  test("errors of both are passed on", async () => {
    const { client, first, second } = await hedged();
    first.connection.write(reply(500, "no"));
    await sleep(30);
    second.connection.write(reply(502, "neither"));
    const answer = await client.finalReply();
    expect([answer.status, answer.text]).toEqual([502, "neither"]);
  });

  test("resets of both are 502, when a new connection in place of the pooled one is reset as well", async () => {
    const { kept, client } = await hedged({ retries: 0 });
    await until("an answer", () => {
      for (const { connection } of kept.splice(0)) connection.reset();
      return client.reader.messages.length === 61;
    });
    client.skip();
    expect(client.reader.messages.at(-1)!.status).toBe(502);
  });

  test("a client that leaves takes both with it", async () => {
    const { front, client, first, second } = await hedged();
    client.destroy();
    await first.connection.untilPeerEnds();
    await second.connection.untilPeerEnds();
    await until("nothing to be open", async () => {
      const { open } = await counters(front);
      return open.requests === 0 && open.retries === 0;
    });
  });

  test("a reply in parts comes whole from the one that began first", async () => {
    const { client, first, second } = await hedged();
    second.connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nall \r\n");
    await client.nextHead();
    await first.connection.untilPeerEnds();
    second.connection.write("2\r\nof\r\n3\r\n it\r\n0\r\n\r\n");
    await client.untilText(" it\r\n0\r\n\r\n");
    expect((await client.ask(get("/next"))).text).toBe("GET /next");
  });
});

describe("the retry budget", () => {
  test("of nothing lets no hedge be sent", async () => {
    const { front, kept, client } = await slowable({}, { retry_budget: "off", retry_budget_min: 0 });
    await practise(client);
    const before = await hedges(front);
    client.request(get("/slow"));
    await until("the request", () => kept.length === 1);
    await sleep(A_WHILE);
    expect(kept.length).toBe(1);
    kept[0]!.connection.write(reply(200, "first"));
    expect((await client.finalReply()).text).toBe("first");
    expect(await hedges(front, before)).toEqual({ sent: 0, won: 0 });
  });

  test("of one lets one be sent at a time, and takes it back", async () => {
    const { front, kept, client } = await slowable({}, { retry_budget: "off", retry_budget_min: 1 });
    await practise(client);
    const other = await stage.client(front);
    for (let round = 0; round < 3; round++) {
      client.request(get("/slow"));
      other.request(get("/slow"));
      await until("two requests and one hedge", () => kept.length === 3);
      await sleep(A_WHILE / 3);
      expect(kept.length).toBe(3);
      for (const { connection } of kept.splice(0)) connection.write(reply(200, "ok"));
      expect([(await client.finalReply()).status, (await other.finalReply()).status]).toEqual([200, 200]);
    }
  });
});

describe("under traffic over 2 workers", () => {
  test("each client gets the answers to its own requests, and nothing is left open", async () => {
    const backends = await stage.backends(3);
    let count = 0;
    for (const backend of backends) {
      backend.script = async (request, connection) => {
        // Every ninth takes its time.
        if (count++ % 9 === 0) await sleep(30);
        await sayWhich(request, connection);
      };
    }
    const front = await arrange({
      targets: backends.map(({ address }) => ({ address })),
      upstream: { hedge: { percentile: 70, min_delay: "3ms" }, retry_budget: "100%", outlier_detection: false },
    });
    const clients = await clientsOnBoth(stage, front, 4);
    await Promise.all(clients.map(async (client, at) => {
      for (let i = 0; i < 60; i++) {
        const path = `/${at}/${i}`;
        const answer = await client.ask(get(path));
        expect([answer.status, answer.text]).toEqual([200, `GET ${path}`]);
      }
    }));
    for (const { malformed } of backends) expect(malformed).toEqual([]);
    await until("nothing to be open", async () => {
      const { open } = await counters(front);
      return open.requests === 0 && open.retries === 0;
    });
    const { sent, won } = await hedges(front);
    expect(sent).toBeGreaterThan(10);
    expect(won).toBeGreaterThan(0);
    expect(won).toBeLessThanOrEqual(sent);
  });
});
