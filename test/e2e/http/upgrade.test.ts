/** Upgrade: a tunnel after 101, transparent for any protocol, and nothing before. */
import { beforeAll, describe, expect, test } from "bun:test";
import { type BackendConnection, type RawBackend, reply } from "../../support/raw-backend.ts";
import { nodeClient } from "../../support/real-clients.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
let backend: RawBackend;
let front: Balanced;

beforeAll(async () => {
  backend = await stage.backend();
  front = await stage.fairlead({ targets: [backend] });
}, 30_000);

const ASK = "GET /tunnel HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: frob/2\r\n\r\n";
const ACCEPT = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: frob/2\r\nX-More: 1\r\n\r\n";

/** The back end's end of a tunnel, opened by a client with a made-up token. */
async function openTunnel(after = "") {
  let inner: BackendConnection | undefined;
  backend.clear((_, connection) => {
    connection.holdOpen = true;
    connection.reader.becomeTunnel();
    connection.write(`${ACCEPT}${after}`);
    inner = connection;
  });
  const client = await stage.client(front);
  client.request(ASK);
  const answer = await client.reply();
  expect(answer.status).toBe(101);
  return { client, answer, inner: inner as unknown as BackendConnection };
}

describe("a tunnel", () => {
  test("opens for a made-up token, which is passed on both ways", async () => {
    const { answer } = await openTunnel();
    const [request] = backend.requests;
    expect(request?.header("upgrade")).toBe("frob/2");
    expect(request?.header("connection")?.toLowerCase()).toContain("upgrade");
    expect([answer.header("upgrade"), answer.header("x-more")]).toEqual(["frob/2", "1"]);
    expect(answer.header("connection")?.toLowerCase()).toContain("upgrade");
  });

  test("opens for any of several that were asked for, whatever the case of their letters", async () => {
    for (const chosen of ["FROB/2", "frob/2, Grault"]) {
      backend.clear((_, connection) => {
        connection.holdOpen = true;
        connection.reader.becomeTunnel();
        connection.write(ACCEPT.replace("frob/2", chosen));
      });
      const client = await stage.client(front);
      client.request(ASK.replace("Upgrade: frob/2", "Upgrade: quux, frob/2\r\nUpgrade: grault"));
      expect((await client.reply()).header("upgrade")).toBe(chosen);
      client.destroy();
    }
  });

  test("carries any bytes both ways, also what looks like HTTP", async () => {
    const { client, inner } = await openTunnel();
    const noise = Buffer.from(Array.from({ length: 5_000 }, (_, i) => i & 0xff));
    client.write(Buffer.concat([noise, Buffer.from("GET / HTTP/1.1\r\n\r\n")]));
    await until("the client's bytes", () => inner.reader.tunnel.length === noise.length + 18);
    expect(inner.reader.tunnel.subarray(0, noise.length).equals(noise)).toBe(true);
    inner.write(noise);
    await until("the back end's bytes", () => client.reader.tunnel.length === noise.length);
    expect(client.reader.tunnel.equals(noise)).toBe(true);
  });

  test("delivers bytes that came in one segment with the 101", async () => {
    const { client } = await openTunnel("first words");
    await until("the first words", () => client.reader.tunnel.toString() === "first words");
  });

  test("holds the client's bytes back until the 101", async () => {
    let inner: BackendConnection | undefined;
    backend.clear((_, connection) => {
      connection.holdOpen = true;
      connection.reader.becomeTunnel();
      inner = connection;
    });
    const client = await stage.client(front);
    client.request(`${ASK}early bytes`);
    await backend.request();
    await sleep(100);
    expect(inner?.receivedText).not.toContain("early bytes");
    inner?.write(ACCEPT);
    await until("the early bytes", () => inner?.reader.tunnel.toString() === "early bytes");
  });

  test("respects a half-close by the client", async () => {
    const { client, inner } = await openTunnel();
    client.write("last");
    client.end();
    await until("FIN at the back end", () => inner.peer === "ended");
    expect(inner.reader.tunnel.toString()).toBe("last");
    inner.end("answer after FIN");
    await until("the answer", () => client.reader.tunnel.toString() === "answer after FIN");
    expect(await client.untilPeerEnds()).toBe("ended");
  });

  test("respects a half-close by the back end", async () => {
    const { client, inner } = await openTunnel();
    inner.end("bye");
    await until("FIN at the client", () => client.peer === "ended");
    expect(client.reader.tunnel.toString()).toBe("bye");
    client.end("still here");
    await until("the client's last words", () => inner.reader.tunnel.toString() === "still here");
  });

  test("ends for one side when the other is reset", async () => {
    const { client, inner } = await openTunnel();
    client.reset();
    await inner.untilPeerEnds();
    const second = await openTunnel();
    second.inner.reset();
    await second.client.untilPeerEnds();
  });

  test("carries 20 MB each way at the same time", async () => {
    const { client, inner } = await openTunnel();
    const total = 20_000_000;
    const block = Buffer.alloc(65_536, 7);
    const base = { client: client.receivedLength, inner: inner.receivedLength };
    await Promise.all([client.pour(total, block), inner.pour(total, block)]);
    await until("all bytes at both ends", () => client.receivedLength - base.client === total && inner.receivedLength - base.inner === total, 15_000);
  }, 30_000);

  test("works with the ws library on both sides, for messages of many sizes", async () => {
    const node = await stage.node();
    const websockets = await stage.fairlead({ targets: [node] });
    const result = await nodeClient("ws", `ws://127.0.0.1:${websockets.port}/chat`, 0, 1, 125, 126, 65_535, 65_536, 1_000_000);
    expect(result).toMatchObject({ same: true, messages: 7, code: 4001 });
  }, 30_000);
});

describe("no tunnel", () => {
  test("when the back end declines: its reply is an ordinary one and the connection goes on", async () => {
    backend.clear((request, connection) => connection.write(reply(200, request.target)));
    const client = await stage.client(front);
    expect((await client.ask(ASK)).text).toBe("/tunnel");
    expect((await client.ask("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n")).text).toBe("/next");
  });

  test("for a 101 that nobody asked for: 502, and the back end's connection is closed", async () => {
    backend.clear((_, connection) => connection.write(ACCEPT));
    const client = await stage.client(front);
    expect((await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")).status).toBe(502);
    expect(await (await backend.request()).connection.untilPeerEnds()).toBeTruthy();
  });

  test("for an Upgrade field that Connection does not name", async () => {
    backend.clear((_, connection) => connection.write(ACCEPT));
    const client = await stage.client(front);
    expect((await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: frob/2\r\n\r\n")).status).toBe(502);
    expect(backend.requests[0]?.header("upgrade")).toBeUndefined();
  });

  test("for h2c, which is not passed on", async () => {
    backend.clear((request, connection) => connection.write(reply(200, request.target)));
    const client = await stage.client(front);
    const answer = await client.ask("GET /h2c HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n");
    expect(answer.text).toBe("/h2c");
    expect(backend.requests[0]?.header("upgrade")).toBeUndefined();
    expect(backend.requests[0]?.header("http2-settings")).toBeUndefined();
  });

  test("for an HTTP/1.0 client", async () => {
    backend.clear((request, connection) => connection.write(reply(200, request.target)));
    const client = await stage.client(front);
    expect((await client.ask("GET /old HTTP/1.0\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: frob/2\r\n\r\n")).text).toBe("/old");
    expect(backend.requests[0]?.header("upgrade")).toBeUndefined();
  });
});
