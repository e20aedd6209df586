/** Connections on both sides: pipelining, reuse, the race with a back end that closes, and what is never sent twice. */
import { beforeAll, describe, expect, test } from "bun:test";
import { type BackendConnection, type RawBackend, reply, sayWhich } from "../../support/raw-backend.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
let backend: RawBackend;
let front: Balanced;

beforeAll(async () => {
  backend = await stage.backend();
  front = await stage.fairlead({ targets: [backend] });
}, 30_000);

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`;

describe("a client", () => {
  test("that pipelines gets its answers in order, however long each takes", async () => {
    backend.clear(async (request, connection) => {
      await sleep(request.target === "/0" ? 100 : 0);
      connection.write(reply(200, request.target));
    });
    const client = await stage.client(front);
    const paths = Array.from({ length: 20 }, (_, i) => `/${i}`);
    client.write(paths.map(get).join(""));
    const texts: string[] = [];
    for (const _ of paths) texts.push((await client.reply()).text);
    expect(texts).toEqual(paths);
  });

  test("that pipelines 200 requests byte by byte over borders gets 200 answers", async () => {
    backend.clear(sayWhich);
    const client = await stage.client(front);
    const bytes = Buffer.from(Array.from({ length: 200 }, (_, i) => get(`/${i}`)).join(""));
    const parts: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += 37) parts.push(bytes.subarray(at, at + 37));
    await client.segments(parts);
    for (let i = 0; i < 200; i++) expect((await client.reply()).text).toBe(`GET /${i}`);
  });

  test("that pipelines POSTs with bodies gets each body to the back end once", async () => {
    backend.clear(sayWhich);
    const client = await stage.client(front);
    client.write(Array.from({ length: 30 }, (_, i) => `POST /${i} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\n${String(i).padStart(3, "0")}`).join(""));
    for (let i = 0; i < 30; i++) expect((await client.reply()).text).toBe(`POST /${i}`);
    expect(backend.requests.map(({ text }) => Number(text))).toEqual(Array.from({ length: 30 }, (_, i) => i));
  });

  test("that pipelines 300 KB behind a POST for which a connection must be made first loses nothing", async () => {
    const client = await stage.client(await stage.fairlead({ targets: [await stage.backend()] }));
    const padded = (i: number) => `GET /${i} HTTP/1.1\r\nHost: a.test\r\nX-Pad: ${"p".repeat(1_000)}\r\n\r\n`;
    client.write(`POST /first HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi${Array.from({ length: 300 }, (_, i) => padded(i)).join("")}`);
    expect((await client.reply()).text).toBe("POST /first");
    for (let i = 0; i < 300; i++) expect((await client.reply()).text).toBe(`GET /${i}`);
  });

  test("that says Connection: close is told so and closed", async () => {
    backend.clear(sayWhich);
    const client = await stage.client(front);
    const answer = await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    expect(answer.header("connection")?.toLowerCase()).toBe("close");
    expect(await client.untilPeerEnds()).toBe("ended");
  });

  test("keeps its connection when the back end closes its own", async () => {
    backend.clear((request, connection) => connection.end(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n${request.target}`));
    const client = await stage.client(front);
    expect((await client.ask(get("/1"))).header("connection")).not.toBe("close");
    expect((await client.ask(get("/2"))).text).toBe("/2");
  });
});

describe("connections to a back end", () => {
  test("are reused by one client", async () => {
    backend.clear(sayWhich);
    const client = await stage.client(front);
    for (let i = 0; i < 10; i++) await client.ask(get(`/${i}`));
    expect(new Set(backend.seen.map(({ connection }) => connection)).size).toBe(1);
  });

  test("are reused by one client after another", async () => {
    backend.clear(sayWhich);
    for (let i = 0; i < 10; i++) {
      const client = await stage.client(front);
      await client.ask(get(`/${i}`));
      client.destroy();
    }
    expect(new Set(backend.seen.map(({ connection }) => connection)).size).toBe(1);
  });

  test("are never shared by two requests at a time", async () => {
    let open = 0;
    const busy = new Set<BackendConnection>();
    let shared = false;
    backend.clear(async (request, connection) => {
      shared ||= busy.has(connection);
      busy.add(connection);
      open = Math.max(open, busy.size);
      await sleep(50);
      busy.delete(connection);
      connection.write(reply(200, request.target));
    });
    const clients = await Promise.all(Array.from({ length: 20 }, () => stage.client(front)));
    const answers = await Promise.all(clients.map((client, i) => client.ask(get(`/${i}`))));
    expect(answers.map(({ text }) => text)).toEqual(clients.map((_, i) => `/${i}`));
    expect({ shared, open }).toEqual({ shared: false, open: 20 });
  });

  test("are not reused after a reply with Connection: close", async () => {
    backend.clear((request, connection) => connection.write(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${request.target.length}\r\n\r\n${request.target}`));
    const client = await stage.client(front);
    await client.ask(get("/1"));
    await client.ask(get("/2"));
    expect(new Set(backend.seen.map(({ connection }) => connection)).size).toBe(2);
  });

  test("are not reused after bytes beyond a reply, which nobody sees", async () => {
    backend.clear((request, connection) => connection.write(`${reply(200, request.target)}${reply(200, "evil")}`));
    const client = await stage.client(front);
    for (let i = 0; i < 5; i++) expect((await client.ask(get(`/${i}`))).text).toBe(`/${i}`);
    expect(new Set(backend.seen.map(({ connection }) => connection)).size).toBe(5);
  });

  test("are closed when an unasked reply comes while they are idle", async () => {
    backend.clear(sayWhich);
    const client = await stage.client(front);
    await client.ask(get("/1"));
    const { connection } = await backend.request();
    connection.write(reply(200, "evil"));
    await connection.untilPeerEnds();
    expect((await client.ask(get("/2"))).text).toBe("GET /2");
  });
});

describe("a pooled connection that the back end closes just now", () => {
  test("fails none of 20 GETs when it closes while idle", async () => {
    backend.clear(sayWhich);
    const client = await stage.client(front);
    for (let i = 0; i < 20; i++) {
      expect((await client.ask(get(`/${i}`))).status).toBe(200);
      backend.seen.at(-1)?.connection.destroy();
    }
  });

  test("fails none of 20 GETs when it closes at the moment the request arrives", async () => {
    const used = new Set<BackendConnection>();
    backend.clear((request, connection) => {
      // The second request on a connection meets a close, as at the end of a keep-alive time.
      if (used.has(connection)) return connection.destroy();
      used.add(connection);
      return connection.write(reply(200, request.target));
    });
    const client = await stage.client(front);
    for (let i = 0; i < 20; i++) expect((await client.ask(get(`/${i}`))).text).toBe(`/${i}`);
  });

  test("fails none of 20 GETs when it is reset at the moment the request arrives", async () => {
    const used = new Set<BackendConnection>();
    backend.clear((request, connection) => {
      if (used.has(connection)) return connection.reset();
      used.add(connection);
      return connection.write(reply(200, request.target));
    });
    const client = await stage.client(front);
    for (let i = 0; i < 20; i++) expect((await client.ask(get(`/${i}`))).text).toBe(`/${i}`);
  });

  test("is left by a POST to a fresh connection when the close came before it", async () => {
    backend.clear(sayWhich);
    const client = await stage.client(front);
    for (let i = 0; i < 20; i++) {
      const { connection } = backend.seen.at(-1) ?? { connection: undefined };
      connection?.end();
      if (connection !== undefined) await connection.untilPeerEnds();
      const answer = await client.ask(`POST /${i} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi`);
      expect(answer.text).toBe(`POST /${i}`);
    }
    expect(backend.complete.length).toBe(20);
  });
});

describe("a POST", () => {
  for (const [how, hurt] of [
    ["closes", (connection: BackendConnection) => connection.destroy()],
    ["resets", (connection: BackendConnection) => connection.reset()],
  ] as const) {
    test(`reaches a target once when the target ${how} without a reply; the client gets 502`, async () => {
      backend.clear(async (request, connection) => {
        await request.ended;
        hurt(connection);
      });
      const client = await stage.client(front);
      const answer = await client.ask("POST /once HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi");
      expect(answer.status).toBe(502);
      await sleep(100);
      expect(backend.requests.length).toBe(1);
    });
  }

  test("with an idempotency of its own (PUT) goes to another connection once at most", async () => {
    backend.clear(async (request, connection) => {
      await request.ended;
      connection.destroy();
    });
    const client = await stage.client(front);
    expect((await client.ask("PUT /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi")).status).toBe(502);
    expect(backend.requests.length).toBeLessThanOrEqual(2);
  });
});

describe("a GET", () => {
  test("goes to another target, once, when the first closes before a byte of reply", async () => {
    const [bad, good] = await stage.backends(2);
    const two = await stage.fairlead({ targets: [bad as RawBackend, good as RawBackend] });
    (bad as RawBackend).script = (_, connection) => connection.destroy();
    const client = await stage.client(two);
    for (let i = 0; i < 10; i++) expect((await client.ask(get(`/${i}`))).text).toBe(`GET /${i}`);
    expect((good as RawBackend).requests.length).toBe(10);
  });

  test("is 502 when every target closes before a byte of reply", async () => {
    const both = await stage.backends(2, (_, connection) => connection.destroy());
    const two = await stage.fairlead({ targets: both });
    const client = await stage.client(two);
    expect((await client.ask(get("/"))).status).toBe(502);
    await until("each to be tried at most once", () => both.reduce((sum, { requests }) => sum + requests.length, 0) <= 2);
  });
});
