/** Replies that are quicker than their requests: the client gets them, and a connection that is still good is used again. */
import { describe, expect, test } from "bun:test";
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
});
