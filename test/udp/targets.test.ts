/** A udp listener whose targets refuse, go silent, are taken out, or leave the configuration. */
import { describe, expect, test } from "bun:test";
import { type Log, silentLog } from "../../src/observability/log.ts";
import { BREAKER_SINCE, BREAKER_STATE, Flag, TOTAL_FAILURES, TOTAL_RETRIES } from "../../src/scoreboard/scoreboard.ts";
import { BreakerState } from "../../src/upstream/circuit-breaker.ts";
import { LatencyClock } from "../../src/upstream/latency.ts";
import { freePort } from "../support/ports.ts";
import { UdpClient } from "../support/udp.ts";
import { sleep, until } from "../support/until.ts";
import { atEnd, client, clients, config, plane, server, servers } from "./support.ts";

const OUTLIERS = "[upstreams.outlier_detection]\nconsecutive_local = 2";
const FIRST = 'policy = "first"';

async function nobody(): Promise<{ readonly address: string }> {
  return { address: `127.0.0.1:${await freePort()}` };
}

describe("a target that refuses (ICMP)", () => {
  test("loses nothing: its client's first datagram is sent to another one at once", async () => {
    const dead = await nobody();
    const [alive] = await servers("alive");
    const front = await plane([dead, alive!], "", FIRST);
    for (const each of await clients(front, 3)) for (const text of ["1", "2"]) expect((await each.ask(text)).text).toBe(`alive ${text}`);
    expect([front.count(dead, TOTAL_FAILURES), front.count(dead, TOTAL_RETRIES), front.openRequests(dead), front.openConnections(dead), front.openRequests(alive!)]).toEqual([3, 3, 0, 0, 3]);
    expect(alive!.texts).toEqual(["1", "2", "1", "2", "1", "2"]);
  });

  test("is left by the next datagram when nothing may be sent twice", async () => {
    const [dead, [alive]] = [await nobody(), await servers("alive")];
    const front = await plane([dead, alive!], "", `${FIRST}\nretries = 0`);
    const each = await client(front);
    each.send("lost");
    await until("the refusal", () => front.count(dead, TOTAL_FAILURES) === 1);
    expect((await each.ask("next")).text).toBe("alive next");
    expect(alive!.texts).toEqual(["next"]);
    // One that has found its way does not try the dead one again.
    await each.ask("more");
    expect(front.count(dead, TOTAL_FAILURES)).toBe(1);
  });

  test("counts towards ejection", async () => {
    const dead = await nobody();
    const front = await plane([dead, ...(await servers("alive"))], "", `${FIRST}\n${OUTLIERS}`);
    for (const each of await clients(front, 4)) await each.ask("x");
    expect(front.reports).toEqual([
      { upstream: "main", target: dead.address, detector: "consecutive-local" },
      { upstream: "main", target: dead.address, detector: "consecutive-local" },
    ]);
  });

  test("as the only one ends the client; the next datagram tries again", async () => {
    const dead = await nobody();
    const front = await plane([dead]);
    const each = await client(front);
    for (let times = 1; times <= 3; times++) {
      each.send("x");
      await until("the refusal", () => front.count(dead, TOTAL_FAILURES) === times && front.clients === 0);
    }
    const back = await server(undefined, "127.0.0.1", Number(dead.address.split(":")[1]));
    expect((await each.ask("back")).text).toBe("back");
    expect(back.texts).toEqual(["back"]);
    expect(front.openRequests(dead)).toBe(1);
  });

  test("in the middle of a conversation is replaced; what was on its way may be lost, and no more", async () => {
    const [a, b] = await servers("a", "b");
    const front = await plane([a!, b!], "", FIRST);
    const each = await client(front);
    expect((await each.ask("1")).text).toBe("a 1");
    a!.stop();
    each.send("2");
    await until("the refusal", () => front.count(a!, TOTAL_FAILURES) === 1);
    expect((await each.ask("3")).text).toBe("b 3");
    expect([front.openRequests(a!), front.openRequests(b!), front.clients]).toEqual([0, 1, 1]);
  });

  test("and all others too: each is tried once, and the client told nothing", async () => {
    const dead = await Promise.all(Array.from({ length: 12 }, nobody));
    const front = await plane(dead, "", "retries = 10");
    (await client(front)).send("x");
    await until("its end", () => front.clients === 0 && dead.reduce((sum, target) => sum + front.count(target, TOTAL_FAILURES), 0) > 0);
    // Eight at most.
    expect(dead.map((target) => front.count(target, TOTAL_FAILURES)).toSorted()).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  });
});

describe("a target that is silent", () => {
  test("has failed when udp_responses says that it should have answered within udp_idle", async () => {
    const silent = await server(() => undefined);
    const front = await plane([silent], 'udp_responses = 1\ntimeouts = { udp_idle = "60ms" }', OUTLIERS);
    for (const each of await clients(front, 2)) each.send("x");
    await until("the report", () => front.reports.length === 1);
    expect([front.count(silent, TOTAL_FAILURES), front.clients, front.openRequests(silent)]).toEqual([2, 0, 0]);
  });

  test("is as it should be without udp_responses", async () => {
    const silent = await server(() => undefined);
    const front = await plane([silent], 'timeouts = { udp_idle = "60ms" }', OUTLIERS);
    for (const each of await clients(front, 4)) each.send("x");
    await until("clients", () => silent.received.length === 4);
    await until("their end", () => front.clients === 0);
    expect([front.count(silent, TOTAL_FAILURES), front.reports.length, front.openRequests(silent)]).toEqual([0, 0, 0]);
  });
});

describe("a target that", () => {
  for (const [what, flag] of [
    ["fails its health check", Flag.DOWN],
    ["is ejected", Flag.EJECTED],
    ["stops beating", Flag.SILENT],
  ] as const) {
    test(`${what} is left by the next datagram of each of its clients, who stay where they went`, async () => {
      const [a, b] = await servers("a", "b");
      const front = await plane([a!, b!], "", FIRST);
      const each = await client(front);
      await each.ask("1");
      front.flag(a!, flag);
      expect((await each.ask("2")).text).toBe("b 2");
      front.flag(a!, 0);
      expect((await each.ask("3")).text).toBe("b 3");
      expect([front.openRequests(a!), front.openConnections(a!), front.openRequests(b!), front.clients]).toEqual([0, 0, 1, 1]);
    });
  }

  test("drains keeps its clients until it is cut", async () => {
    const [a, b] = await servers("a", "b");
    const front = await plane([a!, b!], "", FIRST);
    const [old, fresh] = [await client(front), await client(front)];
    await old.ask("1");
    front.flag(a!, Flag.DRAINING);
    expect((await old.ask("2")).text).toBe("a 2");
    expect((await fresh.ask("1")).text).toBe("b 1");
    front.flag(a!, Flag.DRAINING | Flag.CUT);
    await until("the cut", () => front.openRequests(a!) === 0);
    expect((await old.ask("3")).text).toBe("b 3");
    expect([front.openConnections(a!), front.openRequests(b!), front.clients]).toEqual([0, 2, 2]);
  });

  test("is cut while its name is still being resolved is left by the next datagram", async () => {
    const [a, b] = await servers("a", "b");
    const front = await plane([a!, b!], "", FIRST);
    const { datagrams } = front.network;
    const connect = datagrams.connect.bind(datagrams);
    datagrams.connect = (address, owner) => void setTimeout(() => connect(address, owner), 80);
    const each = await client(front);
    each.send("1");
    await until("the client", () => front.openConnections(a!) === 1);
    front.flag(a!, Flag.DRAINING | Flag.CUT);
    await sleep(40);
    each.send("2");
    await until("replies", () => each.replies.length === 2);
    expect((await each.ask("3")).text).toBe("b 3");
    expect([each.texts, front.openRequests(a!), front.openConnections(a!), front.openRequests(b!), front.network.datagrams.openSockets]).toEqual([["a 1", "a 2", "b 3"], 0, 0, 1, 1]);
  });

  test("is down, and no other is there: datagrams are dropped until it is back", async () => {
    const [a] = await servers("a");
    const front = await plane([a!]);
    const each = await client(front);
    await each.ask("1");
    front.flag(a!, Flag.DOWN);
    each.send("2");
    await until("its end", () => front.clients === 0);
    front.flag(a!, 0);
    expect((await each.ask("3")).text).toBe("a 3");
    expect(a!.texts).toEqual(["1", "3"]);
  });
});

describe("a probe of the circuit breaker", () => {
  test("whose target is taken out before it answered goes on as one elsewhere", async () => {
    const silent = await server(() => undefined);
    const [b] = await servers("b");
    const front = await plane([silent, b!], "", `${FIRST}\n[upstreams.circuit_breaker]\nopen_for = "60s"\nprobes = 1`);
    const { board, network } = front;
    const set = (word: number, value: number): void => void (board.words[board.upstreamWordAt(0, word)] = value);
    set(BREAKER_SINCE, new LatencyClock(network.clock).stamp - 61_000);
    set(BREAKER_STATE, BreakerState.OPEN);
    const each = await client(front);
    each.send("1");
    await until("the probe", () => silent.texts.length === 1);
    front.flag(silent, Flag.DOWN);
    expect((await each.ask("2")).text).toBe("b 2");
    // It was the only one, and went well.
    expect(board.words[board.upstreamWordAt(0, BREAKER_STATE)]).toBe(BreakerState.CLOSED);
  });
});

describe("limits", () => {
  test("max_requests: who finds all targets full is dropped, and let in when there is room", async () => {
    const targets = await servers("a", "b");
    const front = await plane(targets, 'timeouts = { udp_idle = "200ms" }', "max_requests = 1");
    const [one, two, three] = await clients(front, 3);
    await one!.ask("x");
    await two!.ask("x");
    three!.send("x");
    await sleep(50);
    expect([three!.replies.length, front.clients]).toEqual([0, 2]);
    await three!.insist("y");
    expect(targets.reduce((sum, target) => sum + target.received.length, 0)).toBe(3);
  });

  for (const [key, from] of [
    ["max_clients = 2", ["127.0.0.1", "127.0.0.2", "127.0.0.3"]],
    ["max_clients_per_ip = 2", ["127.0.0.1", "127.0.0.1", "127.0.0.1"]],
  ] as const) {
    test(`${key}: the third is dropped until one of the two, who are really there, is forgotten`, async () => {
      const targets = await servers("a");
      const front = await plane(targets, `${key}\ntimeouts = { udp_idle = "300ms" }`);
      const [one, two, three] = [await client(front, "127.0.0.1", from[0]), await client(front, "127.0.0.1", from[1]), await client(front, "127.0.0.1", from[2])];
      for (const each of [one, two, one, two]) await each.ask("x");
      three.send("x");
      await sleep(50);
      expect([three.replies.length, front.clients, targets[0]!.received.length]).toEqual([0, 2, 4]);
      await three.insist("y");
      expect(front.clients).toBeLessThanOrEqual(2);
    });
  }

  test("max_clients: a source that may be forged makes room for the next; who has spoken after a reply stays with its target", async () => {
    const [back] = await servers("a");
    const front = await plane([back!], "max_clients = 3");
    const real = await client(front);
    for (const text of ["1", "2"]) await real.ask(text);
    const all = await clients(front, 8);
    for (const each of all) expect((await each.ask("x")).text).toBe("a x");
    expect([front.clients, front.network.datagrams.openSockets, front.openRequests(back!)]).toEqual([3, 3, 3]);
    expect((await real.ask("3")).text).toBe("a 3");
    const own = new Set(back!.received.filter(({ text }) => /\d/.test(text)).map(({ from }) => from.port));
    expect([own.size, back!.sources.size, front.failures("too-many-connections")]).toEqual([1, 9, 6]);
    // One that went is a new client, nothing more.
    expect((await all[0]!.ask("back")).text).toBe("a back");
  });

  test("open files: flows have a quarter of them, and the listener with most of the unproven ones makes room", async () => {
    const [back] = await servers("a");
    const warnings: { readonly flows?: number; readonly says: string }[] = [];
    const log = { ...silentLog(), warn: (fields: object, says: string) => void warnings.push({ ...fields, says }) } as Log;
    // 128 are kept for other things.
    const second = 'address = "127.0.0.1:0"\n[[listeners]]\nname = "second"\naddress = "127.0.0.1:0"\nprotocol = "udp"\nupstream = "main"';
    const front = await plane([back!], second, "", { openFiles: 128 + 16, log });
    const [one, two] = await clients(front, 2);
    for (const each of [one!, two!, one!, two!]) await each.ask("x");
    const forged = await clients(front, 12);
    for (const each of forged) await each.ask("x");
    expect([front.clients, front.network.datagrams.openSockets, front.failures("overloaded")]).toEqual([4, 4, 10]);
    const other = await UdpClient.open(front.port("second"));
    atEnd(() => other.close());
    for (const text of ["1", "2"]) expect((await other.ask(text)).text).toBe(`a ${text}`);
    expect([front.clients, front.network.datagrams.openSockets, front.openRequests(back!)]).toEqual([4, 4, 4]);
    // All that are left but one have shown themselves; when that one has too, nobody is let in.
    const last = forged.at(-1)!;
    expect((await last.ask("y")).text).toBe("a y");
    forged[0]!.send("too late");
    await until("its end", () => front.failures("overloaded") === 12);
    for (const each of [one!, two!, other, last]) await each.ask("z");
    expect(back!.texts).not.toContain("too late");
    expect(warnings.filter(({ says }) => says.startsWith("Flows of udp have taken their part")).map(({ flows }) => flows)).toEqual([4]);
  });

  test("a circuit breaker that is open drops datagrams", async () => {
    const dead = await nobody();
    const front = await plane([dead], "", "[upstreams.outlier_detection]\nconsecutive_local = 0\n[upstreams.circuit_breaker]\nmin_requests = 2\nopen_for = \"10s\"");
    for (let times = 1; times <= 2; times++) {
      (await client(front)).send("x");
      await until("the refusal", () => front.count(dead, TOTAL_FAILURES) === times);
    }
    const back = await server(undefined, "127.0.0.1", Number(dead.address.split(":")[1]));
    (await client(front)).send("x");
    await sleep(50);
    expect(back.received.length).toBe(0);
  });
});

describe("a reload", () => {
  test("changes nothing for who is there, and lets go of targets that are gone", async () => {
    const [a, b, c] = await servers("a", "b", "c");
    const front = await plane([a!, b!]);
    const [one, two] = await clients(front, 2);
    await one!.ask("1");
    await two!.ask("1");
    await front.apply(config([b!, { address: a!.address, more: "weight = 5" }, c!], 'timeouts = { udp_idle = "20s" }'));
    expect([(await one!.ask("2")).text, (await two!.ask("2")).text]).toEqual(["a 2", "b 2"]);
    expect([a!.sources.size, b!.sources.size, front.openRequests(a!), front.openRequests(b!)]).toEqual([1, 1, 1, 1]);
    await front.apply(config([c!, b!]));
    expect([(await one!.ask("3")).text, (await two!.ask("3")).text]).toEqual(["c 3", "b 3"]);
    expect([front.openRequests(b!), front.openRequests(c!), front.clients]).toEqual([1, 1, 2]);
    // What was taken over can still be cut.
    front.flag(b!, Flag.DRAINING | Flag.CUT);
    expect((await two!.ask("4")).text).toBe("c 4");
  });

  test("that sends the listener to another upstream takes its clients along", async () => {
    const [a, b] = await servers("a", "b");
    const front = await plane([a!]);
    const each = await client(front);
    await each.ask("1");
    await front.apply(`${config([b!]).replaceAll('"main"', '"other"')}`);
    expect((await each.ask("2")).text).toBe("b 2");
    expect([front.openRequests(b!), front.network.datagrams.openSockets]).toEqual([1, 1]);
  });
});

describe("forgetting", () => {
  test("happens after udp_idle without a datagram either way, and not before", async () => {
    const back = await server();
    const front = await plane([back], 'timeouts = { udp_idle = "700ms" }');
    const each = await client(front);
    await each.ask("x");
    // Longer in all, with room for a machine that does much else.
    for (let i = 0; i < 4; i++) {
      await sleep(200);
      if (i % 2 === 0) back.send("from the target", back.received[0]!.from);
      else each.send("from the client");
    }
    expect([back.sources.size, front.clients]).toEqual([1, 1]);
    const began = performance.now();
    await until("its end", () => front.clients === 0);
    expect(performance.now() - began).toBeGreaterThan(400);
    await each.ask("y");
    expect(back.sources.size).toBe(2);
  });

  test("happens when each datagram has its udp_responses", async () => {
    const back = await server(({ text }) => (text === "late" ? undefined : [text, text]));
    const front = await plane([back], "udp_responses = 2");
    const each = await client(front);
    each.send("late");
    each.send("x");
    await until("replies", () => each.replies.length === 2);
    await sleep(20);
    expect([front.clients, front.openRequests(back)]).toEqual([1, 1]);
    for (const text of ["1", "2"]) back.send(text, back.received[0]!.from);
    await until("its end", () => front.clients === 0 && each.replies.length === 4);
    expect([each.texts, front.openRequests(back), front.network.datagrams.openSockets]).toEqual([["x", "x", "1", "2"], 0, 0]);
    each.send("y");
    await until("more", () => back.sources.size === 2);
  });

  test("happens with the datagram itself when udp_responses is 0: each is balanced by itself", async () => {
    const targets = await servers("a", "b");
    const front = await plane(targets, "udp_responses = 0");
    const each = await client(front);
    for (let i = 0; i < 10; i++) each.send(`${i}`);
    await until("all", () => targets.reduce((sum, { received }) => sum + received.length, 0) === 10);
    expect([targets.map(({ received }) => received.length), front.clients, front.network.datagrams.openSockets]).toEqual([[5, 5], 0, 0]);
  });
});

describe("the end", () => {
  test("comes at once when nobody is there", async () => {
    const front = await plane(await servers("a"));
    const began = performance.now();
    await front.drain(10_000);
    expect(performance.now() - began).toBeLessThan(500);
  });

  test("waits two seconds for replies, which still go out, and takes no datagrams", async () => {
    const back = await server(() => undefined);
    const front = await plane([back]);
    const [each, late] = await clients(front, 2);
    each!.send("x");
    await until("the datagram", () => back.received.length === 1);
    let ended = false;
    const draining = front.drain(10_000).then(() => (ended = true));
    late!.send("too late");
    back.send("reply", back.received[0]!.from);
    await until("the reply", () => each!.texts[0] === "reply");
    expect([each!.replies[0]!.from.port, ended, back.received.length]).toEqual([front.port(), false, 1]);
    await draining;
    expect([front.clients, front.network.datagrams.openSockets, front.openRequests(back)]).toEqual([0, 0, 0]);
    // The port is free again.
    const next = await server(undefined, "127.0.0.1", front.port());
    atEnd(() => next.stop());
  });
});
