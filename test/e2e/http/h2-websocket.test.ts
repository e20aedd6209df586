/** WebSockets where one side or both speak HTTP/2 (RFC 8441): real clients and servers, messages of all sizes, and every way to end. */
import { beforeAll, describe, expect, test } from "bun:test";
import { data, ErrorCode, headers, rstStream, Setting, settings, settingsAck } from "../../support/h2-frames.ts";
import type { H2Request } from "../../support/h2-target.ts";
import { anyError, H2Client, head, reply } from "../../support/h2.ts";
import { inProcess, type InProcess } from "../../support/in-process.ts";
import type { NodeBackend } from "../../support/node-backend.ts";
import { NodeH2, nodeH2Client } from "../../support/node-h2.ts";
import { nodeClient } from "../../support/real-clients.ts";
import { openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
/** RFC 6455 section 1.3. */
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

let one: NodeBackend;
let two: NodeH2;
let without: NodeH2;
let fairlead: InProcess;

beforeAll(async () => {
  [one, two, without] = await Promise.all([stage.node(), NodeH2.start(), NodeH2.start({ enableConnectProtocol: false })]);
  for (const target of [two, without]) stage.atEnd(() => target.kill());
  const upstream = { protocol: "h2c" };
  fairlead = await inProcess(stage, {
    one: { targets: [one] },
    two: { targets: [two], upstream },
    without: { targets: [without], upstream },
    brief: { targets: [two], upstream, listener: { timeouts: { tunnel_idle: "300ms" } } },
  });
}, 30_000);

const SIZES = [0, 1, 125, 126, 65_535, 65_536, 3_000_000];

describe("messages of all sizes come back as they went, and the close code with them:", () => {
  test("from HTTP/1 to HTTP/2", async () => {
    // The first request over a connection is the one that opens it.
    const result = await nodeClient("ws", `ws://127.0.0.1:${fairlead.port("two")}/chat`, ...SIZES);
    expect(result).toEqual({ same: true, messages: SIZES.length, code: 4001 });
    const asked = await two.event("request", ({ path }) => path === "/chat");
    expect(asked).toMatchObject({ method: "CONNECT", protocol: "websocket", version: "13" });
    expect(asked.key).toBeUndefined();
    await two.event("ws-close", ({ code }) => code === 4001);
  });

  test("from HTTP/2 to HTTP/1", async () => {
    expect(await nodeH2Client(fairlead.port("one"), "ws", "/chat", "none", ...SIZES)).toMatchObject({ status: 200, same: true, messages: SIZES.length, code: 4001 });
    await until("the back end to hear of the close", () => one.events.some(({ event, code }) => event === "ws-close" && code === 4001));
  });

  test("from HTTP/2 to HTTP/2, with a subprotocol", async () => {
    expect(await nodeH2Client(fairlead.port("two"), "ws", "/both", "none", ...SIZES)).toMatchObject({ status: 200, same: true, messages: SIZES.length, code: 4001, protocol: "chat" });
    expect(await two.event("request", ({ path }) => path === "/both")).toMatchObject({ subprotocol: "chat, other" });
  });
});

describe("a WebSocket ends", () => {
  test("when the target closes it", async () => {
    expect(await nodeH2Client(fairlead.port("two"), "ws", "/closing", "close", 10)).toMatchObject({ same: true, code: 4002 });
  });

  test("broken when the target breaks it", async () => {
    expect(await nodeH2Client(fairlead.port("two"), "ws", "/dying", "die", 10)).toMatchObject({ code: 1006 });
  });

  test("at the target when the client breaks it", async () => {
    await nodeH2Client(fairlead.port("two"), "ws", "/aborted", "abort", 10);
    await two.event("closed", ({ path }) => path === "/aborted");
    await two.event("ws-close", ({ code }) => code === 1006);
  });

  test("after tunnel_idle without a byte, and with the cause", async () => {
    const began = performance.now();
    expect(await nodeH2Client(fairlead.port("brief"), "ws", "/idle", "wait", 10)).toMatchObject({ code: 1006 });
    expect(performance.now() - began).toBeGreaterThan(300);
    await two.event("closed", ({ path }) => path === "/idle");
  });
});

describe("a WebSocket that does not come about", () => {
  test("is the target's answer when that refuses it", async () => {
    expect(await nodeH2Client(fairlead.port("two"), "ws", "/refuse", "none")).toMatchObject({ status: 403, body: 8 });
    const client = await stage.client(fairlead.port("two"));
    const answer = await client.ask(`GET /refuse HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`);
    expect([answer.status, answer.text, answer.header("x-why")]).toEqual([403, "not here", "no"]);
  });

  test("is 502 before a target that offers no extended CONNECT; the log says what is missing, and the target, whose fault it is not, serves on", async () => {
    const client = await stage.client(fairlead.port("without"));
    const line = fairlead.log.length;
    const ask = `GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`;
    const plain = "GET /bytes/3 HTTP/1.1\r\nHost: a.test\r\n\r\n";
    expect((await client.ask(plain)).bodyLength).toBe(3);
    for (let i = 0; i < 8; i++) expect((await client.ask(ask)).status).toBe(502);
    expect((await fairlead.line("why", ({ cause }) => cause === "upgrade-unsupported", line))["detail"]).toContain("extended CONNECT");
    expect((await client.ask(plain)).bodyLength).toBe(3);
    expect(without.events.filter(({ event }) => event === "request").map(({ path }) => path)).toEqual(["/bytes/3", "/bytes/3"]);
    expect(fairlead.log.slice(line).filter(({ msg, cause }) => cause !== "upgrade-unsupported" || msg !== "Exchange failed")).toEqual([]);
  });

  test("leaves the connection that it would have gone over alone", async () => {
    const target = await stage.h2Target();
    const tunnels = await inProcess(stage, { main: { targets: [target], upstream: { protocol: "h2c" } } });
    const client = await stage.client(tunnels.port("main"));
    const ask = `GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`;
    for (let i = 0; i < 3; i++) {
      expect((await client.ask(ask)).status).toBe(502);
      expect((await client.ask("GET /plain HTTP/1.1\r\nHost: a.test\r\n\r\n")).text).toBe("GET /plain");
    }
    expect([target.connections.length, target.requests.map(({ id }) => id), target.problems]).toEqual([1, [1, 3, 5], []]);
  });
});

describe("frame by frame", () => {
  const CONNECT_SETTINGS = { settings: [[Setting.ENABLE_CONNECT_PROTOCOL, 1]] as const };
  const upgrade = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`;

  /** A tunnel from HTTP/1, and its end at a target of HTTP/2. */
  async function open() {
    const target = await stage.h2Target((request) => request.connection.send(headers(request.id, [[":status", "200"], ["x-more", "1"]], { endStream: false })), CONNECT_SETTINGS);
    const tunnels = await inProcess(stage, { main: { targets: [target], upstream: { protocol: "h2c" } } });
    const client = await stage.client(tunnels.port("main"));
    const answer = await client.ask(upgrade("/t?x=1"));
    return { target, client, answer, tunnels, request: target.requests[0]! };
  }

  test("HTTP/1's upgrade becomes CONNECT with :protocol, and its 200 becomes a 101 with the answer to the client's key", async () => {
    const { answer, request, client } = await open();
    expect(Object.fromEntries(request.fields)).toMatchObject({ ":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":path": "/t?x=1", ":authority": "a.test", "sec-websocket-version": "13" });
    for (const name of ["sec-websocket-key", "connection", "upgrade"]) expect(request.header(name)).toBeUndefined();
    expect([answer.status, answer.header("upgrade"), answer.header("sec-websocket-accept"), answer.header("x-more")]).toEqual([101, "websocket", ACCEPT, "1"]);
    client.write("to the target");
    await until("it", () => request.body.toString() === "to the target");
    request.connection.send(data(request.id, "to the client", { endStream: false }));
    await until("it", () => client.reader.tunnel.toString() === "to the client");
  });

  test("of several protocols the first is asked for: CONNECT has one", async () => {
    const target = await stage.h2Target((request) => request.connection.send(headers(request.id, [[":status", "200"]], { endStream: false })), CONNECT_SETTINGS);
    const tunnels = await inProcess(stage, { main: { targets: [target], upstream: { protocol: "h2c" } } });
    const client = await stage.client(tunnels.port("main"));
    const answer = await client.ask(upgrade("/t").replace("Upgrade: websocket", "Upgrade: WebSocket, other"));
    expect([answer.status, answer.header("upgrade"), target.requests[0]!.header(":protocol")]).toEqual([101, "websocket", "websocket"]);
  });

  test("each side may say its last before the other does", async () => {
    const { request, client } = await open();
    client.end("last");
    await until("END_STREAM", () => request.whole);
    expect(request.body.toString()).toBe("last");
    request.connection.send(data(request.id, "still here"));
    expect(await client.untilPeerEnds()).toBe("ended");
    expect(client.reader.tunnel.toString()).toBe("still here");
    const other = await open();
    other.request.connection.send(data(other.request.id, "bye"));
    expect(await other.client.untilPeerEnds()).toBe("ended");
    other.client.end("me too");
    await until("END_STREAM", () => other.request.whole);
    expect(other.request.body.toString()).toBe("me too");
  });

  for (const [name, breaking] of [
    ["by RST_STREAM", (request: H2Request) => request.refuse(ErrorCode.CANCEL)],
    ["by the end of its connection", (request: H2Request) => request.connection.raw.end()],
  ] as const) {
    test(`a tunnel that the target breaks ${name} does not seem to have ended well`, async () => {
      const { request, client } = await open();
      breaking(request);
      expect(await client.untilPeerEnds()).toBe("reset");
    });
  }

  test("one that the client resets is reset at the target, and the connection goes on", async () => {
    const { request, client, target, tunnels } = await open();
    client.reset();
    expect(await request.untilReset()).toBe(ErrorCode.CANCEL);
    await (await stage.client(tunnels.port("main"))).ask(upgrade("/another"));
    expect(target.connections.length).toBe(1);
  });

  test("a client of HTTP/2 that resets its stream, or is gone, resets the target's", async () => {
    const { target, tunnels } = await open();
    const client = await H2Client.connect(tunnels.port("main"));
    const connect = (id: number, path: string): Buffer => headers(id, [[":method", "CONNECT"], [":protocol", "websocket"], [":scheme", "http"], [":authority", "a.test"], [":path", path]], { endStream: false });
    client.send(connect(1, "/reset"), connect(3, "/gone"));
    for (const id of [1, 3]) await client.expect(head(id, 200));
    const asked = (path: string): H2Request => target.requests.find((request) => request.path === path)!;
    client.send(data(1, "x", { endStream: false }), rstStream(1));
    expect(await asked("/reset").untilReset()).toBe(ErrorCode.CANCEL);
    client.destroy();
    expect(await asked("/gone").untilReset()).toBe(ErrorCode.CANCEL);
    expect(target.connections.length).toBe(1);
  });

  test("what a target says before its SETTINGS have come is waited for: a fresh connection takes upgrades", async () => {
    const target = await stage.h2Target((request) => request.connection.send(headers(request.id, [[":status", "200"]], { endStream: false })), { silent: true });
    const tunnels = await inProcess(stage, { main: { targets: [target], upstream: { protocol: "h2c" } } });
    const client = await stage.client(tunnels.port("main"));
    client.request(upgrade("/"));
    const connection = await target.connection();
    await until("SETTINGS", () => connection.settled);
    connection.send(settings([Setting.ENABLE_CONNECT_PROTOCOL, 1]), settingsAck());
    expect((await client.reply()).status).toBe(101);
  });

  test("a client of HTTP/2 gets no tunnel for another protocol than it asked for (RFC 9110 section 7.8)", async () => {
    const backend = await stage.backend((_, connection) => {
      connection.holdOpen = true;
      connection.reader.becomeTunnel();
      connection.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n");
    });
    const tunnels = await inProcess(stage, { main: { targets: [backend] } });
    const client = await H2Client.connect(tunnels.port("main"));
    stage.atEnd(() => client.destroy());
    client.send(headers(1, [[":method", "CONNECT"], [":protocol", "websocket"], [":scheme", "http"], [":authority", "a.test"], [":path", "/"]], { endStream: false }));
    await client.expect(head(1, 502));
    expect(client.conversation.violation).toBeUndefined();
  });

  test("a client of HTTP/2 resets its stream, or ends it, and the HTTP/1 target hears which", async () => {
    const backend = await stage.backend((_, connection) => {
      connection.holdOpen = true;
      connection.reader.becomeTunnel();
      connection.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: whatever\r\n\r\n");
    });
    const tunnels = await inProcess(stage, { main: { targets: [backend] } });
    const client = await H2Client.connect(tunnels.port("main"));
    stage.atEnd(() => client.destroy());
    const connect = (id: number): Buffer => headers(id, [[":method", "CONNECT"], [":protocol", "websocket"], [":scheme", "http"], [":authority", "a.test"], [":path", "/"]], { endStream: false });
    client.send(connect(1), connect(3), connect(5));
    for (const id of [1, 3, 5]) expect((await client.expect(head(id, 200))).header("sec-websocket-accept")).toBeUndefined();
    const [first, second, third] = backend.connections;
    client.send(data(1, "one"), rstStream(3));
    expect(await first!.untilPeerEnds()).toBe("ended");
    expect(await second!.untilPeerEnds()).toBe("reset");
    first!.end("answer");
    expect((await client.expect(reply(1))).text).toBe("answer");
    third!.reset();
    await client.expect(anyError(5));
    client.send(connect(7));
    await client.expect(head(7, 200));
    client.destroy();
    expect(await backend.connections[3]!.untilPeerEnds()).toBe("reset");
    expect(client.conversation.violation).toBeUndefined();
  });
});
