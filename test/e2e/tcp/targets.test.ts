/** A tcp listener whose targets refuse, hang or are not there. */
import { describe, expect, test } from "bun:test";
import { freePort } from "../../support/ports.ts";
import { RawServer } from "../../support/raw-server.ts";
import { openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

describe("a target that refuses the connection", () => {
  test("is passed over for the next one; the client's first bytes are not lost", async () => {
    const front = await stage.fairlead({ targets: [`127.0.0.1:${await freePort()}`, await stage.server()], listener: { protocol: "tcp" } });
    for (let i = 0; i < 10; i++) {
      const client = await stage.client(front);
      client.write(`hello ${i}`);
      await client.untilText(`hello ${i}`);
      client.destroy();
    }
  });

  test("as the only one closes the client", async () => {
    const front = await stage.fairlead({ targets: [`127.0.0.1:${await freePort()}`], listener: { protocol: "tcp" } });
    const client = await stage.client(front);
    await client.untilPeerEnds();
    expect(client.receivedLength).toBe(0);
  });
});

describe("a target that does not answer the connect", () => {
  test("is passed over for the next one after the connect timeout", async () => {
    const front = await stage.fairlead({ targets: [await stage.fullQueue(), await stage.server()], listener: { protocol: "tcp" }, upstream: { timeouts: { connect: "300ms" } } });
    for (let i = 0; i < 4; i++) {
      const client = await stage.client(front);
      client.write("hello");
      await client.untilText("hello");
      client.destroy();
    }
  });
});

describe("several targets", () => {
  test("take turns", async () => {
    const servers = await Promise.all(Array.from({ length: 3 }, () => stage.server((connection) => connection.write("hi"))));
    const front = await stage.fairlead({ targets: servers, listener: { protocol: "tcp" } });
    for (let i = 0; i < 12; i++) {
      const client = await stage.client(front);
      await client.untilText("hi");
      client.destroy();
    }
    expect(servers.map(({ connections }) => connections.length)).toEqual([4, 4, 4]);
  });
});

describe("no usable target", () => {
  const dead = { type: "tcp", interval: "100ms", timeout: "100ms", fall: 1, rise: 1 };

  async function withoutTarget(listener: Readonly<Record<string, string>>) {
    const front = await stage.fairlead({ targets: [`127.0.0.1:${await freePort()}`], listener: { protocol: "tcp", ...listener }, upstream: { health_check: dead } });
    await front.fairlead.line("no healthy target", (line) => JSON.stringify(line).includes("0/1"));
    return front;
  }

  test("closes the client", async () => {
    const client = await stage.client(await withoutTarget({}));
    await client.untilPeerEnds();
    expect(client.receivedLength).toBe(0);
  });

  test("answers the 503 text and closes, with tcp_unavailable = http-503", async () => {
    const client = await stage.client(await withoutTarget({ tcp_unavailable: "http-503" }));
    client.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    const answer = await client.reply();
    expect([answer.status, answer.text.trim()]).toEqual([503, "Service Unavailable"]);
    expect(await client.untilPeerEnds()).toBe("ended");
  });

  test("answers the 503 text also when every connect fails", async () => {
    const front = await stage.fairlead({ targets: [`127.0.0.1:${await freePort()}`], listener: { protocol: "tcp", tcp_unavailable: "http-503" } });
    const client = await stage.client(front);
    client.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    expect((await client.reply()).status).toBe(503);
  });
});

describe("a target that stops and comes back", () => {
  test("serves again", async () => {
    const server = await stage.server();
    const front = await stage.fairlead({ targets: [server], listener: { protocol: "tcp" } });
    const first = await stage.client(front);
    first.write("one");
    await first.untilText("one");
    await server.stop();
    await first.untilPeerEnds();
    await (await stage.client(front)).untilPeerEnds();
    const again = await RawServer.start(undefined, server.port);
    stage.atEnd(() => again.stop());
    const last = await stage.client(front);
    last.write("two");
    await until("the echo", () => last.receivedText === "two");
  });
});
