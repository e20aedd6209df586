/** Interim replies and Expect: 100-continue. */
import { beforeAll, describe, expect, test } from "bun:test";
import { type RawBackend, reply } from "../../support/raw-backend.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import { sleep } from "../../support/until.ts";

const stage = openStage();
let backend: RawBackend;
let front: Balanced;

beforeAll(async () => {
  backend = await stage.backend();
  front = await stage.fairlead({ targets: [backend] });
}, 30_000);

const HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Hint: 1\r\n\r\n";

describe("a 103", () => {
  test("reaches the client with its fields, before the reply is there", async () => {
    let finish: () => void = () => {};
    backend.clear((_, connection) => {
      connection.write(HINTS);
      finish = () => connection.write(reply(200, "done"));
    });
    const client = await stage.client(front);
    client.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    const hints = await client.nextHead();
    expect([hints.status, hints.header("link"), hints.header("x-hint")]).toEqual([103, "</a.css>; rel=preload", "1"]);
    finish();
    expect((await client.reply()).text).toBe("done");
  });

  test("in one segment with its reply is still two replies", async () => {
    backend.clear((_, connection) => connection.write(`${HINTS}${HINTS}${reply(200, "done")}`));
    const client = await stage.client(front);
    client.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    const statuses = [(await client.reply()).status, (await client.reply()).status, (await client.reply()).status];
    expect(statuses).toEqual([103, 103, 200]);
  });

  test("never reaches an HTTP/1.0 client", async () => {
    backend.clear((_, connection) => connection.write(`${HINTS}${reply(200, "done")}`));
    const client = await stage.client(front);
    const answer = await client.ask("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    expect(answer.text).toBe("done");
    expect(client.receivedText).not.toContain("103");
  });
});

describe("Expect: 100-continue", () => {
  const head = "POST /upload HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

  test("is passed on; the back end's 100 lets the client send", async () => {
    backend.clear(async (request, connection) => {
      connection.write("HTTP/1.1 100 Continue\r\n\r\n");
      await request.ended;
      connection.write(reply(200, request.text));
    });
    const client = await stage.client(front);
    client.request(head);
    expect((await client.reply()).status).toBe(100);
    expect(backend.requests[0]?.header("expect")).toBe("100-continue");
    expect(backend.requests[0]?.bodyLength).toBe(0);
    client.write("hello");
    expect((await client.reply()).text).toBe("hello");
    expect(client.receivedText.match(/ 100 /g)?.length).toBe(1);
  });

  test("works with a final status before any 100, and the body is never waited for", async () => {
    backend.clear((_, connection) => connection.write(reply(417, "no")));
    const client = await stage.client(front);
    const answer = await client.ask(head);
    expect([answer.status, answer.text]).toEqual([417, "no"]);
  });

  test("works with a client that does not wait", async () => {
    backend.clear(async (request, connection) => {
      connection.write("HTTP/1.1 100 Continue\r\n\r\n");
      await request.ended;
      connection.write(reply(200, request.text));
    });
    const client = await stage.client(front);
    const answer = await client.ask(`${head}hello`);
    expect(answer.text).toBe("hello");
    expect((await client.ask("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n")).status).toBe(200);
  });

  test("with a chunked body of a client that sends after a while without 100", async () => {
    backend.clear(async (request, connection) => {
      await request.ended;
      connection.write(reply(200, request.text));
    });
    const client = await stage.client(front);
    client.request("POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    await backend.request();
    await sleep(50);
    client.write("5\r\nhello\r\n0\r\n\r\n");
    expect((await client.finalReply()).text).toBe("hello");
  });
});
