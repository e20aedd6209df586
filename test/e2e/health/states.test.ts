/** What moves targets in and out besides the http check: agents, programs, gRPC, slow start, drains, zones; under real traffic, over two workers. */
import { describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { createServer as createGrpcServer, type ServerHttp2Stream } from "node:http2";
import { createServer } from "node:net";
import { join } from "node:path";
import { reply } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";
import { arrange, flood, named, rearrange, tally, type Arranged, type Tally } from "../../support/traffic.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const CHECK = { interval: "50ms", rise: 1, fall: 1 };

async function crew(count: number) {
  return Promise.all(Array.from({ length: count }, (_, n) => stage.backend(named("abcdef"[n]!))));
}

/** 60 requests, many connections, until they are answered so. */
async function answered(front: Arranged, what: string, isRight: (by: Tally) => boolean): Promise<Tally> {
  return until(what, async () => {
    const by = tally(await flood(stage, front, 6, 10).catch(() => []));
    return isRight(by) ? by : undefined;
  });
}

/** Says this line to everybody who connects. */
async function agent(line: () => string): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end(line());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stage.atEnd(() => server.close());
  return (server.address() as { port: number }).port;
}

describe("checks of other kinds", () => {
  test("an agent drains its target, takes it down, and brings it back", async () => {
    const [a] = await crew(1);
    let line = "up 100%\n";
    const port = await agent(() => line);
    const front = await arrange(stage, { targets: [{ address: a!.address }], upstream: { health_check: { ...CHECK, type: "agent", port } } });
    await answered(front, "a to answer", (by) => by["a"] === 60);
    line = "drain\n";
    await until("503", async () => (await fetch(front.url)).status === 503);
    line = "ready\n";
    await answered(front, "a again", (by) => by["a"] === 60);
    line = "down # broken\n";
    await until("503", async () => (await fetch(front.url)).status === 503);
    await front.fairlead.line("the reason", ({ reason }) => reason === "agent: down (broken)");
    line = "up\n";
    await answered(front, "a again", (by) => by["a"] === 60);
  });

  test("a program's exit code takes its target out and brings it back", async () => {
    const [a, b] = await crew(2);
    const directory = stage.directory();
    const sick = join(directory, "sick");
    const front = await arrange(stage, { targets: [a!, b!].map(({ address }) => ({ address })), upstream: { health_check: { ...CHECK, type: "command", command: ["sh", "-c", `[ "$FAIRLEAD_TARGET" != ${a!.address} ] || [ ! -e ${sick} ] || { echo it is sick; exit 2; }`] } } });
    await answered(front, "both", (by) => by["a"] === 30 && by["b"] === 30);
    writeFileSync(sick, "");
    await answered(front, "b alone", (by) => by["b"] === 60);
    await front.fairlead.line("the reason", ({ reason }) => reason === "exit code 2: it is sick");
    rmSync(sick);
    await answered(front, "both again", (by) => by["a"] === 30 && by["b"] === 30);
  });

  test("gRPC's health service", async () => {
    const [a] = await crew(1);
    let serving = 1;
    const server = createGrpcServer();
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.on("error", () => {});
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, serving]));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    stage.atEnd(() => server.close());
    const { port } = server.address() as { port: number };
    const front = await arrange(stage, { targets: [{ address: a!.address }], upstream: { health_check: { ...CHECK, type: "grpc", service: "shop.Cart", port } } });
    await answered(front, "a", (by) => by["a"] === 60);
    serving = 2;
    await until("503", async () => (await fetch(front.url)).status === 503);
    await front.fairlead.line("the reason", ({ reason }) => reason === "NOT_SERVING");
    serving = 1;
    await answered(front, "a again", (by) => by["a"] === 60);
  });
});

describe("slow_start", () => {
  test("a target that comes back begins with a tenth and reaches its whole weight", async () => {
    const [a, b] = await crew(2);
    const sick = join(stage.directory(), "sick");
    const front = await arrange(stage, { targets: [a!, b!].map(({ address }) => ({ address })), upstream: { slow_start: "3s", health_check: { ...CHECK, type: "command", command: ["sh", "-c", `[ "$FAIRLEAD_TARGET" != ${a!.address} ] || [ ! -e ${sick} ]`] } } });
    await answered(front, "both", (by) => by["a"] === 30 && by["b"] === 30);
    writeFileSync(sick, "");
    await answered(front, "b alone", (by) => by["b"] === 60);
    rmSync(sick);
    await front.fairlead.line("that it starts slowly", ({ msg }) => msg === "Target starts slowly");
    const first = await answered(front, "a few of a", (by) => (by["a"] ?? 0) > 0);
    expect(first["a"]!).toBeLessThan(20);
    await answered(front, "as many of each", (by) => by["a"] === 30 && by["b"] === 30);
  });
});

describe("a drain", () => {
  test("lets what is open end, and cuts it at the deadline", async () => {
    const held: (() => void)[] = [];
    const [a, b] = await crew(2);
    a!.script = async (request, connection) => {
      if (request.target !== "/long") return named("a")(request, connection);
      if (await request.ended) held.push(() => connection.write(reply(200, "done")));
    };
    b!.script = a!.script;
    const targets = (drain: boolean) => ({ targets: [{ address: a!.address, drain }, { address: b!.address, drain }], upstream: { drain_timeout: "600ms" } });
    const front = await arrange(stage, targets(false));
    const quick = fetch(`${front.url}/long`);
    const slow = fetch(`${front.url}/long`);
    await until("both requests", () => held.length === 2);
    await rearrange(front, targets(true));
    await until("no new ones", async () => (await fetch(front.url)).status === 503);
    held[0]!();
    const [first] = await Promise.race([quick.then((response) => [response] as const), slow.then((response) => [response] as const)]);
    expect([first.status, await first.text()]).toEqual([200, "done"]);
    const [one, other] = await Promise.all([quick, slow]);
    expect([one.status, other.status].toSorted()).toEqual([200, 503]);
    await front.fairlead.line("the cut", ({ msg }) => String(msg).startsWith("Drain is over"));
    await rearrange(front, targets(false));
    expect((await fetch(front.url)).status).toBe(200);
  });

  test("cuts what was opened before a reload changed the target's weight, too", async () => {
    const held: unknown[] = [];
    const a = await stage.backend(async (request, connection) => {
      if (await request.ended) held.push(connection);
    });
    const targets = (more: object) => ({ targets: [{ address: a.address, ...more }], upstream: { drain_timeout: "300ms" } });
    const front = await arrange(stage, targets({}));
    const long = fetch(`${front.url}/long`);
    await until("the request", () => held.length === 1);
    await rearrange(front, targets({ weight: 7 }));
    await rearrange(front, targets({ weight: 7, drain: true }));
    expect((await long).status).toBe(503);
  });
});

describe("prefer_zone", () => {
  test("uses the own zone, spills over when too little of it is left, and goes elsewhere without it", async () => {
    const backends = await crew(4);
    const zones = ["fra", "fra", "ber", "ber"];
    const front = await arrange(stage, { targets: backends.map(({ address }, n) => ({ address, zone: zones[n]! })), top: { zone: "fra" }, upstream: { prefer_zone: true, panic_threshold: "off", health_check: { ...CHECK, type: "tcp" } } });
    await answered(front, "fra alone", (by) => by["a"] === 30 && by["b"] === 30);
    await backends[0]!.stop();
    // 1.4 × half of it is healthy: 70 % stay.
    const spilt = await answered(front, "ber too", (by) => by["a"] === undefined && (by["c"] ?? 0) > 0 && (by["d"] ?? 0) > 0);
    expect(spilt["b"]!).toBeWithin(25, 56);
    await backends[1]!.stop();
    await answered(front, "ber alone", (by) => by["c"] === 30 && by["d"] === 30);
  });
});
