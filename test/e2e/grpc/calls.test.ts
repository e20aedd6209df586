/** gRPC calls of every kind through Fairlead, with the client and the server that people have. */
import { beforeAll, describe, expect, test } from "bun:test";
import { GrpcClient, GrpcServer, Status } from "../../support/grpc.ts";
import { type InProcess, inProcess } from "../../support/in-process.ts";
import { openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const MIB = 1024 * 1024;

let client: GrpcClient;
let server: GrpcServer;
let fairlead: InProcess;
let port: number;

beforeAll(async () => {
  [client, server] = await Promise.all([GrpcClient.start(), GrpcServer.start()]);
  stage.atEnd(() => client.kill());
  stage.atEnd(() => server.signal("SIGKILL"));
  const upstream = { protocol: "h2c" };
  fairlead = await inProcess(stage, {
    main: { targets: [server], upstream },
    patient: { targets: [server], upstream: { ...upstream, timeouts: { body: "200ms", response: "5s" } }, listener: { timeouts: { client_body: "200ms" } } },
    brief: { targets: [server], upstream, listener: { timeouts: { tunnel_idle: "300ms" } } },
  });
  port = fairlead.port("main");
}, 30_000);

const LAST = { "x-trailer": "last words", "x-trailer-bin": Buffer.from([0, 255, 1, 10]).toString("base64") };

describe("a unary call", () => {
  test("brings its reply, initial metadata, trailers and status", async () => {
    const outcome = await client.unary({ port, text: "Guten Tag" });
    expect(outcome).toMatchObject({ code: Status.OK, text: "Guten Tag", trailers: LAST, initial: { "x-server": "echo", "x-initial-bin": Buffer.from([0, 128, 255]).toString("base64") } });
  });

  test("carries metadata to the server, text and bytes, several of a name", async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString("base64");
    const { code, initial } = await client.unary({ port, metadata: { "x-one": "1", "x-many": ["a", "b"], "x-token-bin": bytes, authorization: "Bearer x" } });
    expect(code).toBe(Status.OK);
    const got = JSON.parse(initial["x-got"]!) as Record<string, string>;
    expect(got).toMatchObject({ "x-one": "1", "x-token-bin": bytes, authorization: "Bearer x" });
    expect(got["x-many"]!.replace("|", ", ")).toBe("a, b");
    expect(got["x-forwarded-for"]).toBe("127.0.0.1");
  });

  test("brings a failure's status, details and trailers", async () => {
    const details = Buffer.from([8, 5, 18, 4, 0, 200, 10, 13]).toString("base64");
    const outcome = await client.unary({ port, metadata: { "x-fail": 5 } });
    expect(outcome).toMatchObject({ code: 5, details: "no: echo, 100 % ü", trailers: { ...LAST, "grpc-status-details-bin": details } });
  });

  test("may have messages of many MiB both ways, and none of them", async () => {
    const [big, empty] = await Promise.all([client.unary({ port, size: 4 * MIB }), client.unary({ port, size: 0 })]);
    expect([big.code, big.bytes, big.sha256]).toEqual([Status.OK, 4 * MIB, big.sent!]);
    expect([empty.code, empty.bytes]).toEqual([Status.OK, 0]);
    const down = await client.unary({ port, metadata: { "x-size": 16 * MIB } });
    expect([down.code, down.bytes]).toEqual([Status.OK, 16 * MIB]);
  });

  test("may be compressed", async () => {
    expect(await client.unary({ port, channel: "gzip", options: { "grpc.default_compression_algorithm": 2 }, text: "squeeze ".repeat(400) })).toMatchObject({ code: Status.OK, text: "squeeze ".repeat(400) });
  });

  test("of a method that the server does not know is its UNIMPLEMENTED", async () => {
    expect(await client.unary({ port, path: "/test.Echo/Nothing" })).toMatchObject({ code: Status.UNIMPLEMENTED, details: expect.stringContaining("Nothing") });
  });
});

describe("a stream", () => {
  test("of the client arrives whole and in order", async () => {
    const outcome = await client.upload({ port, count: 500, size: 20_000 });
    expect(outcome.code).toBe(Status.OK);
    expect(JSON.parse(outcome.text)).toEqual({ messages: 500, bytes: 10_000_000, sha256: outcome.sent });
    expect(outcome.trailers).toEqual(LAST);
  });

  test("of the server arrives whole and in order, also when the client rests in the middle of it", async () => {
    const metadata = { "x-count": 400, "x-size": 20_000 };
    const [steady, resting] = await Promise.all([client.download({ port, metadata }), client.download({ port, metadata, pause: 300 })]);
    for (const { code, messages, bytes, trailers } of [steady, resting]) expect([code, messages, bytes, trailers]).toEqual([Status.OK, 400, 8_000_000, LAST]);
    expect(resting.sha256).toBe(steady.sha256);
  });

  test("of the server that fails half-way brings what came and why it ended", async () => {
    expect(await client.download({ port, metadata: { "x-count": 7, "x-fail": 10 } })).toMatchObject({ code: 10, messages: 7, details: "no: echo, 100 % ü" });
  });

  test("both ways is a conversation: each message is answered before the next is sent", async () => {
    const chat = await client.chat({ port });
    for (let i = 1; i <= 200; i++) expect(await chat.tell(`m${i}`, i)).toEqual({ messages: i, last: `echo:m${i}`, bytes: expect.any(Number) });
    expect(await chat.end()).toMatchObject({ code: Status.OK, messages: 200, trailers: LAST });
  });

  test("both ways may be silent for longer than bodies may stall: it ends when somebody ends it", async () => {
    const chat = await client.chat({ port: fairlead.port("patient") });
    expect(await chat.tell("before", 1)).toMatchObject({ last: "echo:before" });
    await Bun.sleep(700);
    expect(await chat.tell("after", 2)).toMatchObject({ last: "echo:after" });
    expect(await chat.end()).toMatchObject({ code: Status.OK, messages: 2 });
  });

  test("of the server may be silent for as long", async () => {
    const outcome = await client.download({ port: fairlead.port("patient"), metadata: { "x-count": 3, "x-delay": 500 } });
    expect(outcome).toMatchObject({ code: Status.OK, messages: 3 });
  });

  test("that is silent for longer than tunnel_idle ends, and not as if it were whole", async () => {
    const line = fairlead.log.length;
    const before = server.count("cancelled");
    const chat = await client.chat({ port: fairlead.port("brief") });
    expect(await chat.tell("before", 1)).toMatchObject({ last: "echo:before" });
    expect([Status.INTERNAL, Status.UNAVAILABLE]).toContain((await chat.over()).code as 13);
    await until("the server to hear of it", () => server.count("cancelled") === before + 1);
    expect(fairlead.log.slice(line).filter(({ level }) => level === "error")).toEqual([]);
  });
});

describe("calls that end early:", () => {
  test("the server hears of a call that its client cancels", async () => {
    const before = server.count("cancelled");
    const chat = await client.chat({ port });
    await chat.tell("x", 1);
    expect((await chat.cancel()).code).toBe(Status.CANCELLED);
    await until("the server to hear of it", () => server.count("cancelled") === before + 1);
    const cut = await client.download({ port, metadata: { "x-count": 100_000, "x-size": 10_000 }, cancelAfter: 3 });
    expect(cut.code).toBe(Status.CANCELLED);
    await until("the server to hear of it", () => server.count("cancelled") === before + 2);
    // The connection to the server is still good.
    expect((await client.unary({ port })).code).toBe(Status.OK);
  });

  test("the deadline travels to the server, and ends the call in time", async () => {
    const from = server.events.length;
    const late = await client.unary({ port, deadline: 400, metadata: { "x-delay": 3_000 } });
    expect(late.code).toBe(Status.DEADLINE_EXCEEDED);
    expect(late.milliseconds).toBeLessThan(1_500);
    const { deadline } = server.events.slice(from).find(({ event }) => event === "call")!;
    expect(deadline).toBeGreaterThan(50);
    expect(deadline).toBeLessThanOrEqual(400);
    await until("the server to hear that nobody waits", () => server.events.slice(from).some(({ event }) => event === "cancelled"));
  });
});
