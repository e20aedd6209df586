/** The circuit breaker: asks an upstream that fails no more, tells clients when to come again, and finds out by itself when it is well. */
import { describe, expect, test } from "bun:test";
import type { Message } from "../../support/messages.ts";
import { freePort } from "../../support/ports.ts";
import { type RawBackend, reply, type Script } from "../../support/raw-backend.ts";
import type { RawClient } from "../../support/raw-client.ts";
import { openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { answers, type Arranged, clientsOnBoth, counters, get, Holding, named, rearranging } from "../../support/traffic.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
const arrange = rearranging(stage);

const failing: Script = (_, connection) => connection.write(reply(500, "sorry"));
const well = named("well");

/** Opens when half of ten or more requests fail; so long that a test sees it open, unless it says otherwise. */
function front(backends: readonly { readonly address: string }[], breaker: TomlTable = {}, upstream: TomlTable = {}): Promise<Arranged> {
  return arrange({
    targets: backends.map(({ address }) => ({ address })),
    upstream: { retries: 0, outlier_detection: false, circuit_breaker: { failure_rate: "50%", min_requests: 10, open_for: "30s", ...breaker }, ...upstream },
  });
}

async function statuses(client: RawClient, count: number, request = get()): Promise<number[]> {
  const all = [];
  for (let i = 0; i < count; i++) all.push((await client.ask(request)).status);
  return all;
}

function some(count: number, status: number): number[] {
  return Array.from({ length: count }, () => status);
}

function turned(to: Arranged, state: "open" | "half-open" | "closed", from = 0) {
  return to.fairlead.line(`the breaker is ${state}`, (line) => line.msg === "Circuit breaker" && line["state"] === state, from);
}

function expectTurnedAway(answer: Message): void {
  expect(answer.status).toBe(503);
  expect(answer.header("retry-after")).toMatch(/^[1-9]\d*$/);
}

/** One whose breaker has opened, after exactly ten requests that failed. */
async function opened(backend: RawBackend, breaker: TomlTable = {}) {
  const to = await front([backend], breaker);
  const clients = await clientsOnBoth(stage, to, 2);
  const { script } = backend;
  backend.script = failing;
  expect(await statuses(clients[0]!, 10)).toEqual(some(10, 500));
  await turned(to, "open");
  backend.clear(script);
  return { to, clients };
}

describe("the circuit breaker", () => {
  test("opens at its failure rate; then 503 with Retry-After through either worker, and the target sees nothing", async () => {
    const backend = await stage.backend();
    const { to, clients } = await opened(backend);
    for (const client of clients) for (let i = 0; i < 5; i++) expectTurnedAway(await client.ask(get()));
    expect(backend.requests.length).toBe(0);
    expect((await counters(to)).circuitBreaker.refused).toBe(20);
    expect(to.fairlead.log.filter(({ msg }) => msg === "Circuit breaker").length).toBe(1);
  });

  test("says with Retry-After what is left of open_for, and never more, through either worker", async () => {
    for (const seconds of [20, 9, 5]) {
      const { clients } = await opened(await stage.backend(), { open_for: `${seconds}s` });
      for (const client of clients) {
        const answer = await client.ask(get());
        expectTurnedAway(answer);
        expect(Number(answer.header("retry-after"))).toBeLessThanOrEqual(seconds);
        expect(Number(answer.header("retry-after"))).toBeGreaterThan(seconds - 4);
      }
    }
  });

  test("answers at once while it is open, POST with its body too", async () => {
    const backend = await stage.backend(() => {});
    const { to, clients } = await opened(backend);
    const began = performance.now();
    for (let i = 0; i < 5; i++) {
      expectTurnedAway(await clients[1]!.ask(get()));
      const poster = await stage.client(to);
      expectTurnedAway(await poster.ask("POST / HTTP/1.1\r\nHost: h.test\r\nContent-Length: 4\r\n\r\ndata"));
    }
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(backend.requests.length).toBe(0);
  });

  test("opens when the failures of two workers together are enough", async () => {
    const to = await front([await stage.backend(failing)]);
    const clients = await clientsOnBoth(stage, to, 1);
    for (let i = 0; i < 5; i++) for (const client of clients) expect((await client.ask(get())).status).toBe(500);
    await turned(to, "open");
    for (const client of clients) expectTurnedAway(await client.ask(get()));
  });

  test("stays closed below the rate", async () => {
    let count = 0;
    const backend = await stage.backend((_, connection) => connection.write(reply(count++ % 3 === 0 ? 500 : 200)));
    const to = await front([backend]);
    const seen = await statuses(await stage.client(to), 60);
    expect(seen.filter((status) => status === 500).length).toBe(20);
    expect(seen).not.toContain(503);
    expect(backend.requests.length).toBe(60);
  });

  test("stays closed before min_requests", async () => {
    const backend = await stage.backend(failing);
    const client = await stage.client(await front([backend], { min_requests: 15 }));
    expect(await statuses(client, 15)).toEqual(some(15, 500));
    expect(await statuses(client, 3)).toEqual(some(3, 503));
    expect(backend.requests.length).toBe(15);
  });

  test("forgets what was before its window", async () => {
    const client = await stage.client(await front([await stage.backend(failing)], { window: "300ms", min_requests: 10 }));
    expect(await statuses(client, 9)).toEqual(some(9, 500));
    await sleep(320);
    expect(await statuses(client, 9)).toEqual(some(9, 500));
  });

  test("does not take what the client did wrong for a failure", async () => {
    const client = await stage.client(await front([await stage.backend((_, connection) => connection.write(reply(404)))]));
    expect(await statuses(client, 30)).toEqual(some(30, 404));
  });

  for (const [what, status, arrangement] of [
    ["refused connects", 502, async () => front([{ address: `127.0.0.1:${await freePort()}` }])],
    ["resets", 502, async () => front([await stage.backend((_, connection) => connection.reset())])],
    ["timeouts", 504, async () => front([await stage.backend(() => {})], {}, { timeouts: { response: "20ms" } })],
  ] as const) {
    test(`counts ${what}`, async () => {
      const to = await arrangement();
      const client = await stage.client(to);
      expect(await statuses(client, 10)).toEqual(some(10, status));
      await turned(to, "open");
      expectTurnedAway(await client.ask(get()));
    });
  }

  test("of one upstream leaves others alone", async () => {
    const [bad, good] = [await stage.backend(failing), await stage.backend()];
    const to = await stage.fairlead({
      targets: [bad],
      upstream: { retries: 0, outlier_detection: false, circuit_breaker: { min_requests: 5, open_for: "30s" } },
      upstreams: { other: [good] },
      routes: [{ hosts: ["other.test"], upstream: "other" }],
    });
    const client = await stage.client(to);
    expect(await statuses(client, 6)).toEqual([...some(5, 500), 503]);
    expect(await statuses(client, 3, "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n")).toEqual(some(3, 200));
  });
});

describe("after open_for", () => {
  test("so many as probes go through, the others are turned away; when all are well it closes", async () => {
    const holding = new Holding("well");
    const { to, clients } = await opened(await stage.backend(holding.script), { open_for: "300ms", probes: 2 });
    const waiting: RawClient[] = [];
    await until("two probes", async () => {
      for (const client of clients) {
        if (waiting.length === 2 || waiting.includes(client)) continue;
        client.request(get());
        const held = await until("an answer or a probe", () => (holding.held.length > waiting.length ? "held" : client.reader.messages.at(-1)?.status === 503 && client.reader.methods.length === 0 ? "refused" : undefined));
        if (held === "held") waiting.push(client);
        else await client.finalReply();
      }
      return waiting.length === 2;
    });
    expect(to.fairlead.log.some((line) => line["state"] === "half-open")).toBe(true);
    const others = clients.filter((client) => !waiting.includes(client));
    for (const client of others) expectTurnedAway(await client.ask(get()));
    expect(holding.held.length).toBe(2);
    holding.release();
    expect((await answers(waiting)).map(({ text }) => text)).toEqual(["well", "well"]);
    await turned(to, "closed");
    for (const client of clients) {
      client.request(get());
      await until("the request", () => holding.held.length === 1);
      holding.release();
      expect((await client.finalReply()).status).toBe(200);
    }
  });

  test("a probe that fails opens it again", async () => {
    const backend = await stage.backend(failing);
    const { to, clients } = await opened(backend, { open_for: "300ms", probes: 2 });
    const [client] = clients;
    await until("a probe", async () => (await client!.ask(get())).status === 500);
    await until("the second opening", () => to.fairlead.log.filter((line) => line["state"] === "open").length === 2);
    expect(backend.requests.length).toBe(1);
    expectTurnedAway(await clients[1]!.ask(get()));
    expect(backend.requests.length).toBe(1);
    // And when it is well, it closes after all.
    backend.script = well;
    await until("it to be closed", async () => (await client!.ask(get())).status === 200);
    await until("the log to say so", () => to.fairlead.log.some((line) => line["state"] === "closed") || client!.ask(get()).then(() => false));
  });

  test("traffic finds the way back by itself, and everything is served", async () => {
    const backend = await stage.backend(well);
    const { to, clients } = await opened(backend, { open_for: "200ms", probes: 3 });
    await Promise.all(clients.map((client) => until("200", async () => (await client.ask(get())).status === 200)));
    await until("it to be closed", async () => {
      for (const client of clients) await client.ask(get());
      return to.fairlead.log.some((line) => line["state"] === "closed");
    });
    for (const client of clients) expect(await statuses(client, 10)).toEqual(some(10, 200));
  });

  test("a probe whose client leaves does not keep it from closing for ever", async () => {
    const holding = new Holding("well");
    const backend = await stage.backend(holding.script);
    const { to, clients } = await opened(backend, { open_for: "150ms", probes: 1 });
    await until("a probe", async () => {
      if (holding.held.length > 0) return true;
      const client = await stage.client(to);
      client.request(get());
      await until("an answer or a probe", () => client.reader.messages.length > 0 || holding.held.length > 0);
      if (holding.held.length > 0) client.destroy();
      return holding.held.length > 0;
    });
    await until("the probe's end", () => holding.held.length === 0);
    backend.script = well;
    await until("another probe", async () => (await clients[0]!.ask(get())).status === 200);
    await turned(to, "closed");
  });

  test("what was under way when it opened neither opens nor closes it", async () => {
    const holding = new Holding("late");
    const backend = await stage.backend(holding.script);
    const to = await front([backend], { open_for: "30s", probes: 1 });
    const [late, client] = await clientsOnBoth(stage, to, 1);
    late!.request(get());
    await until("the late one", () => holding.held.length === 1);
    backend.script = failing;
    await statuses(client!, 10);
    await turned(to, "open");
    holding.release();
    expect((await late!.finalReply()).text).toBe("late");
    expectTurnedAway(await late!.ask(get()));
    expectTurnedAway(await client!.ask(get()));
  });
});

describe("a tcp listener", () => {
  test("counts a connection as a success when it stands, not when it ends: one target that refuses opens nothing", async () => {
    const gone = { address: `127.0.0.1:${await freePort()}` };
    const servers = [await stage.server((socket) => socket.write("hello")), await stage.server((socket) => socket.write("hello"))];
    const to = await arrange({ targets: [gone, ...servers].map(({ address }) => ({ address })), listener: { protocol: "tcp" }, upstream: { outlier_detection: false, circuit_breaker: { min_requests: 8, failure_rate: "50%", open_for: "30s" } } });
    // None of them ends.
    for (let i = 0; i < 30; i++) {
      const client = await stage.client(to);
      await until("the greeting", () => client.receivedText === "hello");
    }
    expect(to.fairlead.log.some(({ msg }) => msg === "Circuit breaker")).toBe(false);
  });

  test("closes its clients at once while the breaker is open", async () => {
    const gone = { address: `127.0.0.1:${await freePort()}` };
    const to = await arrange({ targets: [gone], listener: { protocol: "tcp" }, upstream: { outlier_detection: false, circuit_breaker: { min_requests: 5, open_for: "30s" } } });
    for (let i = 0; i < 5; i++) await (await stage.client(to)).untilPeerEnds();
    await turned(to, "open");
    const client = await stage.client(to);
    await client.untilPeerEnds();
    expect(client.receivedLength).toBe(0);
    expect((await counters(to)).circuitBreaker.refused).toBe(1);
  });
});
