/** What HTTP/2 connections are after something went wrong on them: nothing is held that nobody uses, nothing ends that did no wrong. */
import { expect, test } from "bun:test";
import { data, headers, PREFACE, priority, rstStream, Setting, settings, windowUpdate } from "../../support/h2-frames.ts";
import type { Field } from "../../support/h2-hpack.ts";
import { type H2Script, type H2Target, sayWhich } from "../../support/h2-target.ts";
import { anyError, H2Client, head, reply, shutdown } from "../../support/h2.ts";
import { inProcess, type InProcess } from "../../support/in-process.ts";
import { connected } from "../../support/raw-connection.ts";
import { openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

function asks(method: string, path: string, fields: readonly Field[] = []): Field[] {
  return [[":method", method], [":scheme", "http"], [":authority", "h.test"], [":path", path], ...fields];
}

interface Arranged {
  readonly target: H2Target;
  readonly client: H2Client;
  readonly fairlead: InProcess;
}

/** A target with this script, Fairlead, and a client. */
async function arrange(script: H2Script, upstream: TomlTable = {}, listener: TomlTable = {}): Promise<Arranged> {
  const target = await stage.h2Target(script);
  const fairlead = await inProcess(stage, { main: { targets: [target], upstream: { protocol: "h2c", outlier_detection: false, ...upstream }, listener } });
  const client = await H2Client.connect(fairlead.port("main"));
  stage.atEnd(() => client.destroy());
  return { target, client, fairlead };
}

test("a client's connection whose last stream came to an end by an error of the stream is idle, and ends when that lasts", async () => {
  const wrongs: readonly (readonly [string, Buffer])[] = [
    ["a window opened by nothing", windowUpdate(1, 0)],
    ["a stream that depends on itself", priority(1, { on: 1 })],
    ["more than the window lets", Buffer.concat(Array.from({ length: 5 }, () => data(1, Buffer.alloc(16_000), { endStream: false })))],
    ["trailers that end nothing", headers(1, [["x-a", "b"]], { endStream: false })],
  ];
  for (const [name, wrong] of wrongs) {
    const { client } = await arrange(() => {}, {}, { timeouts: { client_idle: "100ms" } });
    client.send(headers(1, asks("POST", "/"), { endStream: false }), wrong);
    await client.expect(anyError(1));
    expect([name, await client.expect(shutdown())]).toEqual([name, true]);
  }
});

test("a stream on which the target did wrong gives its place back, and the connection goes on", async () => {
  const { client, target } = await arrange(({ path, id, connection }) => void (path === "/wrong" ? connection.send(windowUpdate(id, 0)) : connection.send(headers(id, [[":status", "204"]]))), {
    max_concurrent_streams: 1,
    retries: 0,
    timeouts: { idle: "100ms" },
  });
  for (const id of [1, 3, 5]) {
    client.send(headers(id, asks("GET", "/wrong")));
    await client.expect(reply(id, 502));
  }
  client.send(headers(7, asks("GET", "/well")));
  await client.expect(reply(7, 204));
  expect(target.connections.length).toBe(1);
  await until("it to be closed when it is idle", () => target.open === 0);
});

test("a request that comes behind the last GOAWAY is passed over with all its frames, and what was begun goes on", async () => {
  const { client, target, fairlead } = await arrange((request) => (request.path === "/late" ? sayWhich(request) : undefined));
  client.send(headers(1, asks("GET", "/begun")));
  const request = await target.request(1);
  const stopped = fairlead.balancer.stop(10_000);
  await client.expect(shutdown(2));
  client.send(headers(3, asks("POST", "/late"), { endStream: false }), data(3, "hello", { endStream: false }), windowUpdate(3, 1_000), data(3, "world"), rstStream(3));
  await client.roundTrip();
  request.answer("done");
  expect((await client.expect(reply(1))).text).toBe("done");
  await stopped;
  expect(target.requests.length).toBe(1);
});

test("a client that asks on and on and reads nothing is sent away before its replies fill the memory", async () => {
  const long = "v".repeat(8_000);
  const target = await stage.h2Target(({ id, connection }) => void connection.send(headers(id, [[":status", "304"], ["x-long", `${id}${long}`]])));
  const fairlead = await inProcess(stage, { main: { targets: [target], upstream: { protocol: "h2c", max_concurrent_streams: 1_000 }, listener: { http2: { max_concurrent_streams: 1_000 } } } });
  const socket = await connected(fairlead.port("main"));
  stage.atEnd(() => socket.destroy());
  socket.on("error", () => {}).pause();
  socket.write(Buffer.concat([PREFACE, settings()]));
  const isOver = (): boolean => fairlead.log.some(({ detail }) => detail === "asks and does not read the answers");
  // The system's buffers take some 4,000 of them.
  for (let asked = 0; asked < 20_000 && !isOver(); asked += 50) {
    socket.write(Buffer.concat(Array.from({ length: 50 }, (_, i) => headers(2 * (asked + i) + 1, asks("GET", "/")))));
    await until("the target to be asked", () => isOver() || target.requests.length >= asked + 50);
  }
  expect(isOver()).toBe(true);
});

test("uploads that are answered early may all be under way still, however many streams are allowed", async () => {
  const { client } = await arrange((request) => request.answer("no", 413), { max_concurrent_streams: 1_000 }, { http2: { max_concurrent_streams: 1_000 } });
  const ids = Array.from({ length: 600 }, (_, i) => 2 * i + 1);
  client.send(...ids.map((id) => headers(id, asks("POST", "/"), { endStream: false })));
  for (const id of ids) await client.expect(reply(id, 413));
  // As if they had crossed.
  client.send(...ids.map((id) => data(id, "more")));
  await client.roundTrip();
  expect(client.conversation.goaways).toEqual([]);
});

test("a tunnel whose last bytes wait for the target's window ends when they have gone, whichever side ended first", async () => {
  const target = await stage.h2Target(({ id, path, connection }) => void connection.send(path === "/ws" ? headers(id, [[":status", "200"]], { endStream: false }) : headers(id, [[":status", "204"]])), {
    settings: [[Setting.ENABLE_CONNECT_PROTOCOL, 1], [Setting.INITIAL_WINDOW_SIZE, 100]],
    stingy: true,
  });
  const fairlead = await inProcess(stage, { main: { targets: [target], upstream: { protocol: "h2c", max_concurrent_streams: 1 } } });
  const client = await H2Client.connect(fairlead.port("main"));
  stage.atEnd(() => client.destroy());
  const last = Buffer.alloc(5_000, "last");
  for (const [at, first] of (["target", "client"] as const).entries()) {
    const id = 4 * at + 1;
    client.send(headers(id, [[":method", "CONNECT"], [":protocol", "websocket"], [":scheme", "http"], [":authority", "h.test"], [":path", "/ws"]], { endStream: false }));
    await client.expect(head(id, 200));
    const request = await until("the request", () => target.requests[2 * at]);
    const targetEnds = async (): Promise<void> => {
      request.connection.send(data(request.id, "bye"));
      await until("the target's end", () => client.stream(id).ended);
    };
    if (first === "target") await targetEnds();
    client.send(data(id, last));
    await until("its window to be used up", () => request.bytes === 100);
    if (first === "client") await targetEnds();
    request.receiveWindow += 10_000;
    request.connection.send(windowUpdate(request.id, 10_000));
    await until("the client's end", () => request.whole);
    expect([first, request.body.equals(last), request.reset]).toEqual([first, true, undefined]);
    // Its place is free.
    client.send(headers(id + 2, asks("GET", "/")));
    await client.expect(reply(id + 2, 204));
  }
  expect([target.connections.length, target.problems]).toEqual([1, []]);
});
