/** A tcp listener: the same bytes both ways, each side's end kept apart. */
import { beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { RawConnection } from "../../support/raw-connection.ts";
import type { RawServer } from "../../support/raw-server.ts";
import { type Balanced, openStage, type Target } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

function relay(target: Target): Promise<Balanced> {
  return stage.fairlead({ targets: [target], listener: { protocol: "tcp" } });
}

/** A server that keeps its connections for the test to use. */
let open: RawServer;
let toOpen: Balanced;
let toEcho: Balanced;

beforeAll(async () => {
  open = await stage.server(() => {});
  [toOpen, toEcho] = [await relay(open), await relay(await stage.server())];
}, 30_000);

async function pair() {
  const before = open.connections.length;
  const client = await stage.client(toOpen);
  return { client, inner: (await open.connection(before)) as RawConnection };
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe("bytes", () => {
  for (const size of [1, 2, 1_000, 65_535, 65_536, 1_048_576, 5_000_000]) {
    test(`${size} of them come back from an echo as they went`, async () => {
      const bytes = Buffer.alloc(size);
      for (let i = 0; i < size; i++) bytes[i] = (i * 7 + (i >> 9)) & 0xff;
      const client = await stage.client(toEcho);
      await client.pour(size, bytes);
      await until("all of it to be back", () => client.receivedLength === size, 10_000);
      expect(digest(client.received)).toBe(digest(bytes));
      client.destroy();
    });
  }

  test("are changed in nothing, whatever they look like", async () => {
    const { client, inner } = await pair();
    const noise = Buffer.concat([Buffer.from("GET / HTTP/1.0\r\n\r\n\0\r\n"), Buffer.from(Array.from({ length: 256 }, (_, i) => i))]);
    client.write(noise);
    await until("the noise", () => inner.receivedLength === noise.length);
    expect(inner.received.equals(noise)).toBe(true);
  });

  test("go on at once, one by one: a chat of 300 single bytes", async () => {
    const { client, inner } = await pair();
    for (let i = 1; i <= 300; i++) {
      client.write("x");
      await until("the client's byte", () => inner.receivedLength === i);
      inner.write("y");
      await until("the server's byte", () => client.receivedLength === i);
    }
  });

  test("of the server come first when the server speaks first", async () => {
    const greeter = await relay(await stage.server((connection) => connection.write("220 hello\r\n")));
    await (await stage.client(greeter)).untilText("220 hello\r\n");
  });

  test("go both ways at the same time, 20 MB each", async () => {
    const { client, inner } = await pair();
    const total = 20_000_000;
    await Promise.all([client.pour(total, Buffer.alloc(65_536, 1)), inner.pour(total, Buffer.alloc(65_536, 2))]);
    await until("all bytes at both ends", () => client.receivedLength === total && inner.receivedLength === total, 15_000);
  }, 30_000);

  test("of 100 clients at a time do not mix", async () => {
    const clients = await Promise.all(Array.from({ length: 100 }, () => stage.client(toEcho)));
    for (const [i, client] of clients.entries()) client.write(`client ${i};`.repeat(50));
    for (const [i, client] of clients.entries()) {
      const wanted = `client ${i};`.repeat(50);
      await until(`the echo of client ${i}`, () => client.receivedText === wanted);
      client.destroy();
    }
  });
});

describe("the end of one side", () => {
  test("by FIN of the client reaches the server, which may still answer", async () => {
    const { client, inner } = await pair();
    client.end("question");
    await until("FIN at the server", () => inner.peer === "ended");
    expect(inner.receivedText).toBe("question");
    expect(client.peer).toBe("open");
    inner.end("answer");
    await client.untilPeerEnds();
    expect([client.receivedText, client.peer]).toEqual(["answer", "ended"]);
  });

  test("by FIN of the server reaches the client, which may still speak", async () => {
    const { client, inner } = await pair();
    inner.end("bye");
    await until("FIN at the client", () => client.peer === "ended");
    expect(client.receivedText).toBe("bye");
    client.end("still here");
    await until("the last words", () => inner.peer === "ended");
    expect(inner.receivedText).toBe("still here");
  });

  test("comes after all bytes before it, also 5 MB of them", async () => {
    const { client, inner } = await pair();
    await client.pour(5_000_000, Buffer.alloc(65_536, 3));
    client.end();
    await until("FIN at the server", () => inner.peer === "ended", 10_000);
    expect(inner.receivedLength).toBe(5_000_000);
  });

  test("by RST of the client reaches the server", async () => {
    const { client, inner } = await pair();
    client.write("x");
    await inner.untilText("x");
    client.reset();
    await inner.untilPeerEnds();
  });

  test("by RST of the server reaches the client", async () => {
    const { client, inner } = await pair();
    client.write("x");
    await inner.untilText("x");
    inner.reset();
    await client.untilPeerEnds();
  });

  test("without a byte is passed on too", async () => {
    const { client, inner } = await pair();
    client.end();
    await until("FIN at the server", () => inner.peer === "ended");
    inner.end();
    expect(await client.untilPeerEnds()).toBe("ended");
  });
});
