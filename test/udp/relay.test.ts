/** A udp listener: which datagram goes to which target, and what comes back to whom. */
import { describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import type { RoutingPolicy } from "../../src/policies/policy.ts";
import { sleep, until } from "../support/until.ts";
import { atEnd, client, clients, plane, server, servers } from "./support.ts";

describe("a client", () => {
  test("stays with the target that its first datagram was given, over one socket of its own; clients take turns", async () => {
    const targets = await servers("a", "b");
    const front = await plane(targets);
    const all = await clients(front, 4);
    for (const text of ["one", "two", "three"]) for (const each of all) await each.ask(text);
    const names = ["a", "b", "a", "b"];
    expect(all.map(({ texts }) => texts)).toEqual(names.map((name) => [`${name} one`, `${name} two`, `${name} three`]));
    expect(targets.map(({ received, sources }) => [received.length, sources.size])).toEqual([
      [6, 2],
      [6, 2],
    ]);
    expect([front.clients, ...targets.map((target) => front.openRequests(target)), ...targets.map((target) => front.openConnections(target))]).toEqual([4, 2, 2, 2, 2]);
  });

  test("hears from the address and port that it wrote to", async () => {
    const front = await plane(await servers("a"));
    const { from } = await (await client(front)).ask("x");
    expect([from.address, from.port]).toEqual(["127.0.0.1", front.port()]);
  });

  for (const size of [0, 1, 512, 1472, 9000, 65_507]) {
    test(`gets a datagram of ${size} bytes back as it went`, async () => {
      const front = await plane([await server()]);
      const bytes = Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
      expect((await (await client(front)).ask(bytes)).bytes.equals(bytes)).toBe(true);
    });
  }

  test("gets several replies to one datagram, and replies that nobody asked for", async () => {
    const back = await server(() => ["1", "", "3"]);
    const each = await client(await plane([back]));
    each.send("x");
    await until("three", () => each.replies.length === 3);
    expect(each.texts).toEqual(["1", "", "3"]);
    back.send("later", back.received[0]!.from);
    await until("another", () => each.texts[3] === "later");
  });

  test("hears nothing from anybody but its target, who finds out the port as he may", async () => {
    const back = await server(() => undefined);
    const each = await client(await plane([back]));
    each.send("x");
    await until("the datagram", () => back.received.length === 1);
    const stranger = createSocket("udp4");
    atEnd(() => stranger.close());
    await new Promise<void>((sent) => stranger.send("forged", back.received[0]!.from.port, "127.0.0.1", () => sent()));
    back.send("true", back.received[0]!.from);
    await until("a reply", () => each.replies.length > 0);
    expect(each.texts).toEqual(["true"]);
  });

  test("that has closed its socket before the reply takes nothing from others", async () => {
    const back = await server(() => undefined);
    const front = await plane([back]);
    const [gone, stays] = await clients(front, 2);
    gone!.send("x");
    await until("the one", () => back.received.length === 1);
    stays!.send("y");
    await until("both", () => back.received.length === 2);
    gone!.close();
    for (let i = 0; i < 50; i++) {
      back.send("to nobody", back.received[0]!.from);
      back.send(`${i}`, back.received[1]!.from);
      await until("the reply", () => stays!.replies.length === i + 1);
    }
  });
});

describe("a socket that serves one client after another", () => {
  test("has another port each time, where late replies find nobody", async () => {
    const back = await server();
    const front = await plane([back], "udp_responses = 1");
    const all = await clients(front, 20);
    for (const [i, each] of all.entries()) {
      await each.ask(`${i}`);
      await until("its end", () => front.clients === 0);
      for (const { from } of back.received) back.send(`late for ${i}`, from);
    }
    expect(all.map(({ texts }) => texts)).toEqual(all.map((_, i) => [`${i}`]));
    // Ports are drawn: one may come twice.
    expect(back.sources.size).toBeGreaterThan(15);
  });

  test("tells nobody what was said to somebody else, however many replies there are to one question", async () => {
    const back = await server(({ text }) => [text, text, text]);
    const front = await plane([back], "udp_responses = 1");
    // So many that two sockets would have one port now and then, if the system did not see to it that they have not.
    const all = await clients(front, 64);
    for (let round = 0; round < 80; round++) {
      for (const [i, each] of all.entries()) each.send(`${i} ${round}`);
      await until("answers", () => all.every(({ texts }, i) => texts.includes(`${i} ${round}`)));
    }
    for (const [i, { texts }] of all.entries()) expect(texts.every((text) => text.startsWith(`${i} `))).toBe(true);
  });
});

describe("IPv6", () => {
  test("listens and reaches targets", async () => {
    const front = await plane([await server(undefined, "::1")], 'address = "[::1]:0"');
    const { text, from } = await (await client(front, "::1")).ask("six");
    expect([text, from.address, from.port]).toEqual(["six", "::1", front.port()]);
  });

  test("[::] serves both families, and an IPv4 client is that to limits and policies", async () => {
    const seen: (string | undefined)[] = [];
    const policy: RoutingPolicy = {
      pick: ({ protocol, clientAddress, clientPort, key }, targets) => {
        seen.push(protocol, clientAddress, clientPort > 0 ? "port" : "", key);
        return targets[0];
      },
    };
    const front = await plane(await servers("a"), 'address = "[::]:0"', 'policy = "mine"', { policies: new Map([["mine", () => policy]]) });
    expect((await (await client(front)).ask("4")).text).toBe("a 4");
    expect((await (await client(front, "::1")).ask("6")).text).toBe("a 6");
    expect(seen).toEqual(["udp", "127.0.0.1", "port", "127.0.0.1", "udp", "::1", "port", "::1"]);
  });
});

describe("a target", () => {
  test("may be named: datagrams wait, in their order, until the name is resolved", async () => {
    const back = await server();
    const each = await client(await plane([`localhost:${back.port}`]));
    for (const text of ["1", "2", "3"]) each.send(text);
    await until("all", () => each.replies.length === 3);
    expect(each.texts).toEqual(["1", "2", "3"]);
  });

  test("whose name nobody knows counts as failed, and another one is taken", async () => {
    const [back] = await servers("a");
    const front = await plane(["nowhere.invalid:1", back!], "", "[upstreams.outlier_detection]\nconsecutive_local = 1");
    expect((await (await client(front)).ask("x")).text).toBe("a x");
    expect(front.reports).toMatchObject([{ target: "nowhere.invalid:1", detector: "consecutive-local" }]);
  });
});

describe("policies", () => {
  test("hash: a client's address decides, whatever its port", async () => {
    const targets = await servers("a", "b", "c", "d");
    const front = await plane(targets, "", 'policy = "hash"');
    const seen = new Set<string>();
    for (let host = 1; host <= 12; host++) {
      const names = new Set<string>();
      for (let i = 0; i < 3; i++) names.add((await (await client(front, "127.0.0.1", `127.0.0.${host}`)).ask("x")).text);
      expect(names.size).toBe(1);
      seen.add([...names][0]!);
    }
    expect(seen.size).toBeGreaterThan(1);
  });

  test("least-connections counts clients as open requests", async () => {
    const targets = await servers("a", "b");
    const front = await plane(targets, 'udp_responses = 1\ntimeouts = { udp_idle = "10s" }', 'policy = "least-connections"');
    targets[0]!.answer = () => undefined;
    const waiting = await clients(front, 2);
    for (const each of waiting) each.send("x");
    await until("b's answer", () => waiting.some(({ replies }) => replies.length > 0) && front.clients === 1);
    expect(targets.map((target) => front.openRequests(target))).toEqual([1, 0]);
    const names = new Set<string>();
    for (const each of await clients(front, 6)) names.add((await each.ask("y")).text);
    expect([...names]).toEqual(["b y"]);
  });

  test("weights hold", async () => {
    const [a, b] = await servers("a", "b");
    const front = await plane([{ address: a!.address, more: "weight = 3" }, b!]);
    for (const each of await clients(front, 8)) await each.ask("x");
    expect([a!.received.length, b!.received.length]).toEqual([6, 2]);
  });

  test("of one's own may take its time: what comes meanwhile waits, and no more than 16", async () => {
    const back = await server();
    let decide = (): void => {};
    const policy: RoutingPolicy = { pick: (_request, targets) => new Promise((resolve) => (decide = () => resolve(targets[0]))) };
    const front = await plane([back], "", 'policy = "mine"\npolicy_timeout = "5s"', { policies: new Map([["mine", () => policy]]) });
    const each = await client(front);
    for (let i = 0; i < 20; i++) each.send(`${i}`);
    await until("the client", () => front.clients === 1);
    await sleep(50);
    expect(back.received.length).toBe(0);
    decide();
    await until("replies", () => each.replies.length === 16);
    expect(each.texts).toEqual(Array.from({ length: 16 }, (_, i) => `${i}`));
    expect((await each.ask("more")).text).toBe("more");
  });
});
