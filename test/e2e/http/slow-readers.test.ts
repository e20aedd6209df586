/** Clients that read slowly get all of their reply, also when it is the last one on its connection; and nobody is read further ahead than has room. */
import { expect, test } from "bun:test";
import { data, goaway, headers, more, Setting, settings, windowUpdate } from "../../support/h2-frames.ts";
import type { H2Request } from "../../support/h2-target.ts";
import { H2Client } from "../../support/h2.ts";
import { BYTES_RECEIVED, BYTES_SENT } from "../../../src/scoreboard/scoreboard.ts";
import { Plane } from "../../support/plane.ts";
import { reply } from "../../support/raw-backend.ts";
import { RawConnection, connected } from "../../support/raw-connection.ts";
import { openStage } from "../../support/stage.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
const BODY = "b".repeat(1_000_000);

/** One listener, "web", before one target. */
async function before(target: string): Promise<Plane> {
  const plane = await Plane.start(`
    [[listeners]]
    name = "web"
    address = "127.0.0.1:0"
    upstream = "app"
    [[upstreams]]
    name = "app"
    targets = [{ address = "${target}" }]
  `);
  stage.atEnd(() => plane.stop());
  return plane;
}

test("a reply that ends with its connection waits in the system for who reads it later than we linger", async () => {
  const backend = await stage.backend((_request, connection) => connection.write(reply(200, BODY)));
  const plane = await before(backend.address);
  const client = new RawConnection(await connected(plane.port()));
  client.socket.pause();
  client.write("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
  await until("the client's connection", () => plane.clients === 1);
  // We have said all, and no longer wait for the client.
  await until("no client", () => plane.clients === 0);
  client.socket.resume();
  await until("the end", () => client.peer !== "open");
  expect(client.peer).toBe("ended");
  expect(client.receivedText.endsWith(`\r\n\r\n${BODY}`)).toBe(true);
});

/** How long who reads nothing is waited for, and how often who reads slowly takes a little, in ms. */
const PATIENCE = 1_000;
const PAUSE = 300;
const ROUNDS = 5;

test("who reads slowly by windows of HTTP/2 gets all of it: a client, one whose connection is slow for all its streams, and a target", async () => {
  const backend = await stage.backend((request, connection) => connection.write(reply(200, "b".repeat(Number(request.target.slice(1))))));
  const uploads: H2Request[] = [];
  const target = await stage.h2Target((request) => void uploads.push(request), { stingy: true, settings: [[Setting.INITIAL_WINDOW_SIZE, 1_000]] });
  const plane = await Plane.start(`
    [[listeners]]
    name = "web"
    address = "127.0.0.1:0"
    upstream = "app"
    timeouts = { client_body = "${PATIENCE}ms" }
    [[listeners]]
    name = "up"
    address = "127.0.0.1:0"
    upstream = "up"
    [[upstreams]]
    name = "app"
    targets = [{ address = "${backend.address}" }]
    [[upstreams]]
    name = "up"
    protocol = "h2c"
    timeouts = { body = "${PATIENCE}ms" }
    targets = [{ address = "${target.address}" }]
  `);
  stage.atEnd(() => plane.stop());
  const get = (id: number, bytes: number): Buffer => headers(id, [[":method", "GET"], [":scheme", "http"], [":authority", "a.test"], [":path", `/${bytes}`]]);
  const slowly = async (take: (round: number) => unknown): Promise<void> => {
    for (let round = 0; round < ROUNDS; round++) {
      await sleep(PAUSE);
      take(round);
    }
  };

  const small = async (): Promise<void> => {
    const client = await H2Client.connect(plane.port("web"), { settings: [[Setting.INITIAL_WINDOW_SIZE, 1_000]] });
    client.send(get(1, 1_000 + ROUNDS * 200));
    await slowly(() => client.send(windowUpdate(1, 200)));
    await until("the whole reply", () => client.stream(1).ended || client.conversation.resets.has(1));
    expect([client.stream(1).bytes, client.stream(1).ended]).toEqual([1_000 + ROUNDS * 200, true]);
    client.destroy();
  };
  const shared = async (): Promise<void> => {
    const client = await H2Client.connect(plane.port("web"), { settings: [[Setting.INITIAL_WINDOW_SIZE, 200_000]] });
    client.send(get(1, 100_000), get(3, 100_000));
    // It is the connection's window that all wait for: some streams get nothing of what little it opens.
    await slowly(() => client.send(windowUpdate(0, 200)));
    client.send(windowUpdate(0, 1_000_000));
    await until("both replies", () => [1, 3].every((id) => client.stream(id).ended || client.conversation.resets.has(id)));
    expect([1, 3].map((id) => [client.stream(id).bytes, client.stream(id).ended])).toEqual([[100_000, true], [100_000, true]]);
    client.destroy();
  };
  const upload = async (): Promise<void> => {
    const client = await H2Client.connect(plane.port("up"));
    client.send(headers(1, [[":method", "POST"], [":scheme", "http"], [":authority", "a.test"], [":path", "/"]], more), data(1, Buffer.alloc(1_000 + ROUNDS * 200), more));
    await until("the request at its target", () => uploads.length === 1);
    const [request] = uploads;
    await slowly(() => {
      request!.receiveWindow += 200;
      request!.connection.send(windowUpdate(request!.id, 200));
    });
    client.send(data(1, ""));
    expect(await request!.ended()).toBe(true);
    expect(request!.bytes).toBe(1_000 + ROUNDS * 200);
    client.destroy();
  };
  await Promise.all([small(), shared(), upload()]);
}, 20_000);

test("a client that sends many requests behind each other is not read on whenever others make room at its target of HTTP/2", async () => {
  let uploaded = 0;
  const target = await stage.server((connection) => {
    connection.write(Buffer.concat([settings([Setting.INITIAL_WINDOW_SIZE, 2 ** 31 - 1]), windowUpdate(0, 2 ** 30)]));
    connection.socket.on("data", (chunk) => (uploaded += chunk.length));
  });
  const plane = await Plane.start(`
    [[listeners]]
    name = "hasty"
    address = "127.0.0.1:0"
    upstream = "app"
    [[listeners]]
    name = "upload"
    address = "127.0.0.1:0"
    upstream = "app"
    [[upstreams]]
    name = "app"
    protocol = "h2c"
    targets = [{ address = "${target.address}" }]
  `);
  stage.atEnd(() => plane.stop());
  const [hasty, upload] = await Promise.all(["hasty", "upload"].map(async (name) => new RawConnection(await connected(plane.port(name)))));
  hasty!.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(600_000));
  const read = (): number => plane.board.listeners.sum(plane.slotOf("hasty"), BYTES_RECEIVED);
  await until("the first request", () => uploaded > 0 && read() > 0);
  const before = read();
  const total = 64 * 1024 * 1024;
  upload!.write(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${total}\r\n\r\n`);
  upload!.write(Buffer.alloc(total));
  await until("the upload", () => uploaded >= total);
  // One read may be on its way when reading stops.
  expect(read() - before).toBeLessThanOrEqual(2 * 512 * 1024);
  hasty!.destroy();
  upload!.destroy();
}, 20_000);

test("a reply over HTTP/2 whose client has said GOAWAY and opens windows while it reads slowly is not reset", async () => {
  const backend = await stage.backend((_request, connection) => connection.write(reply(200, BODY)));
  const plane = await before(backend.address);
  const client = await H2Client.connect(plane.port(), { settings: [[Setting.INITIAL_WINDOW_SIZE, 2 ** 30]] });
  client.connection.socket.pause();
  client.send(windowUpdate(0, 2 ** 29), headers(1, [[":method", "GET"], [":scheme", "http"], [":authority", "a.test"], [":path", "/"]]), goaway(0, 0));
  const sent = (): number => plane.board.listeners.sum(plane.slotOf("web"), BYTES_SENT);
  await until("all to be written", () => sent() > BODY.length);
  for (let round = 0; round < ROUNDS; round++) {
    await sleep(PAUSE);
    client.send(windowUpdate(0, 100));
  }
  client.connection.socket.resume();
  await until("the end", () => client.connection.peer !== "open");
  expect([client.stream(1).bytes, client.stream(1).ended, client.connection.peer]).toEqual([BODY.length, true, "ended"]);
  client.destroy();
  await until("no client", () => plane.clients === 0);
}, 20_000);

test("requests with bodies that are sent behind each other are read no further ahead for each that waits for its connection", async () => {
  const ANSWERED = 200;
  const backend = await stage.backend((_request, connection) => void (backend.seen.length <= ANSWERED && connection.end(reply(200, "x", { Connection: "close" }))));
  const plane = await before(backend.address);
  const client = new RawConnection(await connected(plane.port()));
  const request = `POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\n${"x".repeat(1_000)}`;
  client.write(request.repeat(40_000));
  await until("one that gets no answer", () => backend.seen.length > ANSWERED, 15_000);
  const read = (): number => plane.board.listeners.sum(plane.slotOf("web"), BYTES_RECEIVED);
  // What has gone on, and one read or two that were on their way.
  expect(read()).toBeLessThan(ANSWERED * request.length + 2 * 512 * 1024);
  client.destroy();
}, 20_000);
