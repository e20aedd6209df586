/** What breaks on either side, and what the other side sees of it. */
import { beforeAll, describe, expect, test } from "bun:test";
import { type BackendConnection, type RawBackend, reply, sayWhich } from "../../support/raw-backend.ts";
import type { RawClient } from "../../support/raw-client.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
let backend: RawBackend;
let front: Balanced;

beforeAll(async () => {
  backend = await stage.backend();
  front = await stage.fairlead({ targets: [backend] });
}, 30_000);

const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

async function expectHealthy(): Promise<void> {
  backend.clear(sayWhich);
  const client = await stage.client(front);
  expect((await client.ask("GET /after HTTP/1.1\r\nHost: a.test\r\n\r\n")).text).toBe("GET /after");
  client.destroy();
}

describe("a reply that breaks off", () => {
  const MB = Buffer.alloc(1_000_000, 120);
  const breaks: readonly (readonly [string, (connection: BackendConnection) => void])[] = [
    ["inside a length, by FIN", (connection) => connection.end(Buffer.concat([Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n"), MB]))],
    ["inside a chunk, by FIN", (connection) => connection.end(Buffer.concat([Buffer.from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1e8480\r\n"), MB]))],
    ["between two chunks, by FIN", (connection) => connection.end(Buffer.concat([Buffer.from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n"), MB, Buffer.from("\r\n")]))],
  ];
  for (const [how, cut] of breaks) {
    test(`${how}: the client gets what came, and no clean end`, async () => {
      backend.clear((_, connection) => cut(connection));
      const client = await stage.client(front);
      const message = await client.request(GET).nextHead();
      expect(await message.ended).toBe(false);
      expect(message.status).toBe(200);
      expect(message.bodyLength).toBe(MB.length);
      await expectHealthy();
    });
  }

  test("without a length, by RST: the client sees an error, not an end", async () => {
    backend.clear(async (_, connection) => {
      await connection.segments(["HTTP/1.1 200 OK\r\n\r\nsome"]);
      await sleep(50);
      connection.reset();
    });
    const client = await stage.client(front);
    const message = await client.request(GET).nextHead();
    expect(await message.ended).toBe(false);
  });

  test("is not noticed by another request at the same time", async () => {
    let broken: BackendConnection | undefined;
    backend.clear(async (request, connection) => {
      if (request.target === "/broken") {
        broken = connection;
        return connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
      }
      await until("the other one to be cut", () => broken?.closed);
      return connection.write(reply(200, "whole"));
    });
    const [one, other] = [await stage.client(front), await stage.client(front)];
    const cut = one.request("GET /broken HTTP/1.1\r\nHost: a.test\r\n\r\n");
    const whole = other.ask(GET);
    await cut.untilText("half");
    broken?.reset();
    expect((await whole).text).toBe("whole");
    await cut.untilPeerEnds();
  });
});

describe("a back end that answers nonsense", () => {
  for (const [what, bytes] of [
    ["garbage", "\x00\x01\x02 what is this\r\n\r\n"],
    ["a head of 200 KB", `HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(200_000)}\r\nContent-Length: 2\r\n\r\nok`],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"],
    ["a NUL in a field", "HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 2\r\n\r\nok"],
  ] as const) {
    test(`(${what}) gives 502 with a short body, and its connection is closed`, async () => {
      backend.clear((_, connection) => connection.write(bytes));
      const client = await stage.client(front);
      const answer = await client.ask(GET);
      expect(answer.status).toBe(502);
      expect(answer.bodyLength).toBeGreaterThan(0);
      expect(answer.bodyLength).toBeLessThan(1_000);
      await (await backend.request()).connection.untilPeerEnds();
      await expectHealthy();
    });
  }

  test("says in the log which target, which phase, which cause", async () => {
    const from = front.fairlead.log.length;
    backend.clear((_, connection) => connection.write("nonsense\r\n\r\n"));
    await (await stage.client(front)).ask(GET);
    const line = await front.fairlead.line("the failed exchange", (one) => JSON.stringify(one).includes(backend.address) && JSON.stringify(one).includes("bad-reply"), from);
    expect(line.level).toBe("warn");
  });
});

describe("an early reply", () => {
  async function upload(client: RawClient, target: string, total: number): Promise<void> {
    client.request(`POST ${target} HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${total}\r\n\r\n`);
    await client.pour(total, Buffer.alloc(65_536, 1));
  }

  test("413 to an upload of 3 MB reaches the client when the back end stops reading and closes", async () => {
    backend.clear(async (_, connection) => {
      connection.write("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig");
      await sleep(20);
      connection.end();
    });
    for (let i = 0; i < 10; i++) {
      const client = await stage.client(front);
      const sending = upload(client, "/upload", 3_000_000);
      const answer = await client.finalReply();
      expect([answer.status, answer.text]).toEqual([413, "big"]);
      client.destroy();
      await sending;
    }
    await expectHealthy();
  });

  test("413 reaches the client also when the back end resets right after it", async () => {
    backend.clear(async (_, connection) => {
      await connection.segments(["HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig"]);
      await sleep(20);
      connection.reset();
    });
    const client = await stage.client(front);
    const sending = upload(client, "/upload", 3_000_000);
    expect((await client.finalReply()).status).toBe(413);
    client.destroy();
    await sending;
  });

  test("while the back end goes on reading: the request after it is clean", async () => {
    backend.clear(async (request, connection) => {
      connection.write(reply(200, request.target));
      await request.ended;
    });
    const client = await stage.client(front);
    const sending = upload(client, "/first", 1_000_000);
    expect((await client.finalReply()).text).toBe("/first");
    await sending;
    const again = await stage.client(front);
    expect((await again.ask("GET /second HTTP/1.1\r\nHost: a.test\r\n\r\n")).text).toBe("/second");
  });
});

describe("a client that vanishes", () => {
  for (const [how, vanish] of [
    ["FIN", (client: RawClient) => client.destroy()],
    ["RST", (client: RawClient) => client.reset()],
  ] as const) {
    test(`in the middle of its body (${how}): the back end sees an abort, never a complete request`, async () => {
      backend.clear(sayWhich);
      const client = await stage.client(front);
      client.request("POST /gone HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\nhalf");
      const { message, connection } = await backend.request();
      await connection.untilText("half");
      vanish(client);
      expect(await message.ended).toBe(false);
      await expectHealthy();
    });

    test(`between two chunks of its body (${how}): the same`, async () => {
      backend.clear(sayWhich);
      const client = await stage.client(front);
      client.request("POST /gone HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
      const { message, connection } = await backend.request();
      await connection.untilText("half");
      vanish(client);
      expect(await message.ended).toBe(false);
    });

    test(`while it waits for the reply (${how}): the back end's connection is closed`, async () => {
      backend.clear(() => {});
      const client = await stage.client(front);
      client.request(GET);
      const { connection } = await backend.request();
      vanish(client);
      await connection.untilPeerEnds();
    });

    test(`in the middle of the reply (${how}): the back end's connection is closed`, async () => {
      backend.clear((_, connection) => {
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        return connection.pour(100_000_000, Buffer.alloc(65_536));
      });
      const client = await stage.client(front);
      client.request(GET);
      await client.untilText("\r\n\r\n");
      vanish(client);
      await (await backend.request()).connection.untilPeerEnds();
      await expectHealthy();
    });
  }
});
