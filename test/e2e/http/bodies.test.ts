/** Bodies both ways: every framing, every size, nothing changed on the way. */
import { beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { NodeBackend } from "../../support/node-backend.ts";
import { type RawBackend, reply } from "../../support/raw-backend.ts";
import { type Balanced, openStage } from "../../support/stage.ts";

const stage = openStage();
let node: NodeBackend;
let raw: RawBackend;
let toNode: Balanced;
let toRaw: Balanced;

beforeAll(async () => {
  [node, raw] = await Promise.all([stage.node(), stage.backend()]);
  [toNode, toRaw] = await Promise.all([stage.fairlead({ targets: [node] }), stage.fairlead({ targets: [raw] })]);
}, 30_000);

function digest(body: Buffer): string {
  return createHash("sha256").update(body).digest("hex");
}

function patterned(length: number): Buffer {
  const block = Buffer.alloc(length);
  for (let i = 0; i < length; i++) block[i] = (i * 31 + (i >> 8)) & 0xff;
  return block;
}

/** Sizes around what buffers and chunk sizes are likely to be. */
const SIZES = [0, 1, 2, 100, 1_023, 4_096, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 300_000, 3_000_000];

describe("a request body", () => {
  for (const size of SIZES) {
    test(`of ${size} bytes with Content-Length arrives as it was sent`, async () => {
      const body = patterned(size);
      const client = await stage.client(toNode);
      client.request(`POST /hash HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${size}\r\n\r\n`);
      client.write(body);
      const { bytes, sha256 } = JSON.parse((await client.reply()).text) as { bytes: number; sha256: string };
      expect({ bytes, sha256 }).toEqual({ bytes: size, sha256: digest(body) });
    });
  }

  test("of many chunks of many sizes arrives as it was sent", async () => {
    const client = await stage.client(toNode);
    const hash = createHash("sha256");
    client.request("POST /hash HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let total = 0;
    for (let size = 1; size < 20_000; size = Math.ceil(size * 1.3)) {
      const chunk = patterned(size);
      hash.update(chunk);
      total += size;
      client.write(Buffer.concat([Buffer.from(`${size.toString(16)};n=${size}\r\n`), chunk, Buffer.from("\r\n")]));
    }
    client.write("0\r\n\r\n");
    const { bytes, sha256 } = JSON.parse((await client.reply()).text) as { bytes: number; sha256: string };
    expect({ bytes, sha256 }).toEqual({ bytes: total, sha256: hash.digest("hex") });
  });

  test("reaches the back end while it is still being sent", async () => {
    raw.clear();
    const client = await stage.client(toRaw);
    client.request("POST /stream HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    const { connection } = await raw.request();
    await connection.untilText("first");
    client.write("6\r\nsecond\r\n0\r\n\r\n");
    expect((await client.reply()).text).toBe("POST /stream");
    expect(raw.requests[0]?.text).toBe("firstsecond");
  });

  test("keeps its framing: a length stays a length, chunks stay chunks", async () => {
    raw.clear();
    const client = await stage.client(toRaw);
    await client.ask("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello");
    await client.ask("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    expect(raw.requests.map(({ framing }) => framing)).toEqual(["length", "chunked"]);
  });

  test("comes back whole from an echo that answers while it reads", async () => {
    const body = patterned(2_000_000);
    const client = await stage.client(toNode);
    client.request(`POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n`);
    await client.pour(body.length, body);
    expect(digest((await client.reply()).body)).toBe(digest(body));
  });
});

describe("a reply body", () => {
  for (const size of SIZES) {
    for (const kind of ["bytes", "chunked"]) {
      test(`of ${size} bytes (${kind}) arrives as it was sent`, async () => {
        const client = await stage.client(toNode);
        const answer = await client.ask(`GET /${kind}/${size} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
        const wanted = Buffer.alloc(size);
        for (let i = 0; i < size; i++) wanted[i] = (i % 65_536) % 251;
        expect(answer.bodyLength).toBe(size);
        expect(digest(answer.body)).toBe(digest(wanted));
      });
    }
  }

  test("reaches the client while it is still being sent", async () => {
    let finish: () => void = () => {};
    raw.clear((_, connection) => {
      connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
      finish = () => connection.write("6\r\nsecond\r\n0\r\n\r\n");
    });
    const client = await stage.client(toRaw);
    client.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await client.untilText("first");
    expect(client.receivedText).not.toContain("second");
    finish();
    expect((await client.reply()).text).toBe("firstsecond");
  });

  test("that ends with the connection is whole, and the client may go on", async () => {
    raw.clear((request, connection) => connection.end(`HTTP/1.1 200 OK\r\n\r\n${"x".repeat(200_000)}${request.target}`));
    const client = await stage.client(toRaw);
    const first = await client.ask("GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    expect(first.bodyLength).toBe(200_002);
    expect(first.framing).toBe("chunked");
    expect((await client.ask("GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n")).text).toEndWith("/2");
  });

  test("with trailers brings them to the client", async () => {
    raw.clear((_, connection) => connection.write("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"));
    const client = await stage.client(toRaw);
    const { trailers, text } = await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    expect({ trailers, text }).toEqual({ trailers: [["X-Sum", "7"]], text: "ok" });
  });
});

describe("an HTTP/1.0 client", () => {
  const chunkedReply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";

  test("gets a chunked reply decoded, ended by the connection", async () => {
    raw.clear((_, connection) => connection.write(chunkedReply));
    const client = await stage.client(toRaw);
    const answer = await client.ask("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    expect(answer.headers("transfer-encoding")).toEqual([]);
    expect(answer.text).toBe("hello world");
    expect(client.peer).toBe("ended");
  });

  test("with keep-alive gets a chunked reply decoded and ended by the connection all the same", async () => {
    raw.clear((_, connection) => connection.write(chunkedReply));
    const client = await stage.client(toRaw);
    const answer = await client.ask("GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
    expect(answer.text).toBe("hello world");
    expect(answer.framing).toBe("close");
  });

  test("with keep-alive keeps its connection when the reply has a length, and is told so", async () => {
    raw.clear((request, connection) => connection.write(reply(200, request.target)));
    const client = await stage.client(toRaw);
    const first = await client.ask("GET /1 HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
    expect(first.header("connection")?.toLowerCase()).toBe("keep-alive");
    expect((await client.ask("GET /2 HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n")).text).toBe("/2");
  });

  test("without keep-alive loses its connection after the reply", async () => {
    raw.clear((request, connection) => connection.write(reply(200, request.target)));
    const client = await stage.client(toRaw);
    expect((await client.ask("GET /1 HTTP/1.0\r\nHost: a.test\r\n\r\n")).text).toBe("/1");
    expect(await client.untilPeerEnds()).toBe("ended");
  });

  test("never sees a truncated chunked reply end cleanly", async () => {
    raw.clear((_, connection) => connection.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
    const client = await stage.client(toRaw);
    client.request("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    expect(await client.untilPeerEnds()).toBe("reset");
  });
});

describe("replies without a body", () => {
  for (const [what, method, bytes, status] of [
    ["HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 200],
    ["204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204],
    ["304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", 304],
  ] as const) {
    test(`${what} leaves both connections ready for the next request`, async () => {
      raw.clear((request, connection) => connection.write(request.target === "/" ? bytes : reply(200, request.target)));
      const client = await stage.client(toRaw);
      const first = await client.ask(`${method} / HTTP/1.1\r\nHost: a.test\r\n\r\n`);
      expect([first.status, first.bodyLength]).toEqual([status, 0]);
      expect((await client.ask("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n")).text).toBe("/next");
      expect(raw.seen[0]?.connection).toBe(raw.seen[1]?.connection as never);
    });
  }
});
