/** gRPC when something is missing or goes away: what clients are told, who counts it, and that nothing is lost which need not be. */
import { beforeAll, describe, expect, test } from "bun:test";
import { GrpcClient, GrpcServer, type ServerOptions, Status } from "../../support/grpc.ts";
import { data, headers } from "../../support/h2-frames.ts";
import { inProcess } from "../../support/in-process.ts";
import { freePort } from "../../support/ports.ts";
import { openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const h2c = { protocol: "h2c" };
let client: GrpcClient;

async function servers(...options: readonly ServerOptions[]): Promise<GrpcServer[]> {
  const all = await Promise.all(options.map((one) => GrpcServer.start(one)));
  for (const server of all) stage.atEnd(() => server.signal("SIGKILL"));
  return all;
}

beforeAll(async () => {
  client = await GrpcClient.start();
  stage.atEnd(() => client.kill());
}, 30_000);

describe("one client connection", () => {
  test("is balanced call by call over all targets, 100 calls at a time", async () => {
    const four = await servers({ name: "a" }, { name: "b" }, { name: "c" }, { name: "d" });
    const fairlead = await inProcess(stage, { main: { targets: four, upstream: { ...h2c, policy: "round-robin" } } });
    const port = fairlead.port("main");
    expect(await client.many({ port, count: 100, metadata: { "x-delay": 100 } })).toEqual({ calls: 100, codes: { OK: 100 }, servers: { a: 25, b: 25, c: 25, d: 25 } });
    // Each target was reached over one connection.
    for (const server of four) expect(new Set(server.events.map(({ peer }) => peer).filter(Boolean)).size).toBe(1);
  });
});

describe("a client is told UNAVAILABLE", () => {
  test("when there is no usable target, and when nobody can be connected to", async () => {
    const fairlead = await inProcess(stage, {
      none: { targets: ["127.0.0.1:1"], upstream: { ...h2c, health_check: { type: "tcp", initial: "down", interval: "60s" } } },
      refused: { targets: [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`], upstream: { ...h2c, outlier_detection: false } },
      slow: { targets: [await stage.fullQueue()], upstream: { ...h2c, timeouts: { connect: "100ms" } } },
    });
    const [none, refused, slow] = await Promise.all(["none", "refused", "slow"].map((name) => client.unary({ port: fairlead.port(name) })));
    expect(none).toMatchObject({ code: Status.UNAVAILABLE, details: "no target" });
    expect(refused).toMatchObject({ code: Status.UNAVAILABLE, details: "connect refused" });
    expect(slow).toMatchObject({ code: Status.UNAVAILABLE, details: "connect timeout" });
  });

  test("of all calls when the target dies in the middle of them: none of them seems whole", async () => {
    const [mortal] = await servers({ name: "mortal" });
    const fairlead = await inProcess(stage, { main: { targets: [mortal!], upstream: { ...h2c, retries: 0 } } });
    const port = fairlead.port("main");
    const chats = await Promise.all(Array.from({ length: 10 }, () => client.chat({ port })));
    await Promise.all(chats.map((chat) => chat.tell("x", 1)));
    const download = client.download({ port, metadata: { "x-count": 1_000_000, "x-size": 100, "x-delay": 1 } });
    const unary = client.unary({ port, metadata: { "x-delay": 5_000 } });
    await until("all of them to be there", () => mortal!.count("call") === 12);
    mortal!.tell("die");
    for (const { code } of await Promise.all([...chats.map((chat) => chat.over()), download, unary])) expect([Status.UNAVAILABLE, Status.INTERNAL] as number[]).toContain(code);
  });
});

test("a target that shuts down in good order fails no unary call under load", async () => {
  const ports = await Promise.all([freePort(), freePort()]);
  const [a] = await servers({ name: "a", port: ports[0] }, { name: "b", port: ports[1] });
  const fairlead = await inProcess(stage, { main: { targets: ports.map((port) => `127.0.0.1:${port}`), upstream: { ...h2c, retry_backoff: "off" } } });
  const load = await client.load({ port: fairlead.port("main"), count: 20, metadata: { "x-delay": 2 } });
  let leaving = a!;
  for (let i = 0; i < 3; i++) {
    const before = await load.calls();
    await until("load", async () => (await load.calls()) > before + 200);
    leaving.tell("shutdown");
    await until("the server to have shut down", () => leaving.count("shut down") === 1);
    leaving.signal("SIGKILL");
    const calls = await load.calls();
    await until("load on the other", async () => (await load.calls()) > calls + 100);
    [leaving] = (await servers({ name: "a", port: ports[0] })) as [GrpcServer];
  }
  const { codes, calls } = await load.stop();
  expect(codes).toEqual({ OK: calls });
}, 60_000);

describe("before a target that knows only frames", () => {
  test("a deadline that nobody else keeps is kept here, and its stream is reset", async () => {
    const target = await stage.h2Target(() => {});
    const fairlead = await inProcess(stage, { main: { targets: [target], upstream: h2c } });
    const outcome = await client.unary({ port: fairlead.port("main"), metadata: { "grpc-timeout": "200m" } });
    expect(outcome).toMatchObject({ code: Status.DEADLINE_EXCEEDED, details: "request timeout" });
    expect(outcome.milliseconds).toBeLessThan(1_500);
    expect(target.requests[0]!.header("grpc-timeout")).toBe("200m");
    expect(await target.requests[0]!.untilReset()).toBe(8);
  });

  test("timeouts.response is DEADLINE_EXCEEDED, a reply that is none UNAVAILABLE", async () => {
    const target = await stage.h2Target((request) => (request.path === "/test.Echo/Bad" ? request.connection.send(data(request.id, "no head")) : undefined));
    const fairlead = await inProcess(stage, { main: { targets: [target], upstream: { ...h2c, timeouts: { response: "200ms" } } } });
    const port = fairlead.port("main");
    expect(await client.unary({ port })).toMatchObject({ code: Status.DEADLINE_EXCEEDED, details: "response timeout" });
    expect(await client.unary({ port, path: "/test.Echo/Bad" })).toMatchObject({ code: Status.UNAVAILABLE, details: "bad reply" });
  });

  test("a call has what gRPC asks for, and its messages are as they came: lengths and compression flags", async () => {
    const target = await stage.h2Target(async (request) => {
      if (await request.ended()) request.connection.send(headers(request.id, [[":status", "200"], ["content-type", "application/grpc"], ["grpc-encoding", "gzip"]], { endStream: false }), data(request.id, request.body, { endStream: false }), headers(request.id, [["grpc-status", "0"]]));
    });
    const fairlead = await inProcess(stage, { main: { targets: [target], upstream: h2c } });
    const outcome = await client.unary({ port: fairlead.port("main"), channel: "gzip", options: { "grpc.default_compression_algorithm": 2 }, text: "squeeze ".repeat(1_000) });
    expect(outcome).toMatchObject({ code: Status.OK, bytes: 8_000 });
    const [request] = target.requests;
    expect(Object.fromEntries(request!.fields)).toMatchObject({ ":method": "POST", "content-type": "application/grpc", te: "trailers", "grpc-encoding": "gzip", "grpc-accept-encoding": expect.stringContaining("gzip") });
    expect([request!.body[0], request!.body.readUInt32BE(1)]).toEqual([1, request!.body.length - 5]);
    expect(request!.body.length).toBeLessThan(500);
  });

  test("metadata names with an underscore pass when underscore_names lets them", async () => {
    const target = await stage.h2Target((request) => request.connection.send(headers(request.id, [[":status", "200"], ["content-type", "application/grpc"], ["grpc-status", "0"]])));
    const fairlead = await inProcess(stage, { main: { targets: [target], upstream: h2c }, open: { targets: [target], upstream: h2c, listener: { underscore_names: "allow" } } });
    const metadata = { user_id: "7" };
    expect(await client.unary({ port: fairlead.port("main"), metadata })).toMatchObject({ code: Status.INTERNAL, details: "header name with underscore" });
    await client.unary({ port: fairlead.port("open"), metadata });
    expect(target.requests.map((request) => request.header("user_id"))).toEqual(["7"]);
  });
});

test("a target's keepalive pings are answered, on a connection that is idle too", async () => {
  const [server] = await servers({ server: { "grpc.keepalive_time_ms": 60, "grpc.keepalive_timeout_ms": 500 } });
  const fairlead = await inProcess(stage, { main: { targets: [server!], upstream: h2c } });
  const port = fairlead.port("main");
  const chat = await client.chat({ port });
  await chat.tell("x", 1);
  await Bun.sleep(1_000);
  expect(await chat.tell("y", 2)).toMatchObject({ messages: 2 });
  await chat.end();
  await Bun.sleep(700);
  await client.unary({ port });
  expect(new Set(server!.events.map(({ peer }) => peer).filter(Boolean)).size).toBe(1);
});

test("without a route a client is told UNIMPLEMENTED; on SIGTERM calls that are open go on to their end, and the client is told to go elsewhere", async () => {
  const [server] = await servers({});
  const { fairlead, port } = await stage.fairlead({ targets: [server!], upstream: h2c, top: { drain_timeout: "20s" }, listener: { upstream: undefined }, routes: [{ path_prefix: "/test.Echo", upstream: "main" }] });
  expect(await client.unary({ port, path: "/test.Other/Unary" })).toMatchObject({ code: Status.UNIMPLEMENTED, details: "no route" });
  const chat = await client.chat({ port });
  await chat.tell("one", 1);
  const slow = client.unary({ port, metadata: { "x-delay": 1_500 } });
  await until("both to be there", () => server!.count("call") === 2);
  fairlead.signal("SIGTERM");
  await Bun.sleep(500);
  expect(await chat.tell("two", 2)).toMatchObject({ messages: 2, last: "echo:two" });
  expect((await slow).code).toBe(Status.OK);
  expect(await chat.tell("three", 3)).toMatchObject({ messages: 3 });
  expect((await chat.end()).code).toBe(Status.OK);
  await until("fairlead to end of itself", () => fairlead.ended !== undefined, 8_000);
  expect(fairlead.ended).toBe(0);
});
