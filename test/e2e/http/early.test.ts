/** Replies that are quicker than their requests: the client gets them, and a connection that is still good is used again. */
import { describe, expect, test } from "bun:test";
import { ErrorCode } from "../../support/h2-frames.ts";
import { inProcess } from "../../support/in-process.ts";
import { reply } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const BODY = Buffer.alloc(600_000, "b");

describe("a reply before the request is whole", () => {
  test("from a target that reads on: both connections serve the next request", async () => {
    const backend = await stage.backend((_request, connection) => connection.write(reply(200, "early")));
    const client = await stage.client(await stage.fairlead({ targets: [backend] }));
    for (let round = 0; round < 3; round++) {
      client.request(`POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${BODY.length}\r\n\r\n`);
      client.write(BODY.subarray(0, 1000));
      expect((await client.finalReply()).text).toBe("early");
      // The rest, and the next request right behind it in the same bytes.
      client.reader.methods.push("GET");
      client.write(Buffer.concat([BODY.subarray(1000), Buffer.from(`GET /next/${round} HTTP/1.1\r\nHost: a.test\r\n\r\n`)]));
      expect((await client.finalReply()).text).toBe("early");
    }
    await until("all requests", () => backend.requests.length === 6);
    expect(backend.requests.map(({ method, target }) => `${method} ${target}`)).toEqual(["POST /up", "GET /next/0", "POST /up", "GET /next/1", "POST /up", "GET /next/2"]);
    for (const request of backend.requests.filter(({ method }) => method === "POST")) expect(request.bodyLength).toBe(BODY.length);
    expect(backend.connections.length).toBe(1);
  });

  test("from a target that closes: the client gets it, and its connection ends in good order", async () => {
    const backend = await stage.backend((_request, connection) => {
      connection.write(reply(413, "too much", { Connection: "close" }));
      connection.end();
    });
    const client = await stage.client(await stage.fairlead({ targets: [backend] }));
    client.request(`POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${BODY.length}\r\n\r\n`);
    client.write(BODY.subarray(0, 100_000));
    const early = await client.finalReply();
    expect([early.status, early.text]).toEqual([413, "too much"]);
    await until("the end", () => client.peer !== "open");
    expect(client.peer).toBe("ended");
  });

  test("from a target that then neither reads on nor closes: after timeouts.body its connection is cut, and the client's ends", async () => {
    const slow = await stage.server((connection) => {
      connection.socket.pause();
      setTimeout(() => connection.write(reply(413, "too much")), 100);
    });
    const stingy = await stage.h2Target((request) => void setTimeout(() => request.answer("too much", 413), 100), { stingy: true });
    for (const [protocol, target] of [["h1", slow], ["h2c", stingy]] as const) {
      const fairlead = await inProcess(stage, { main: { targets: [target], upstream: { protocol, timeouts: { body: "200ms" } } } });
      const client = await stage.client(fairlead.port("main"));
      client.request("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 50000000\r\n\r\n");
      const poured = client.pour(50_000_000, BODY);
      expect((await client.finalReply()).status).toBe(413);
      await until("the end", () => client.peer !== "open");
      client.destroy();
      expect(await poured).toBe(false);
    }
    expect(stingy.requests[0]!.reset).toBe(ErrorCode.CANCEL);
  });
});
