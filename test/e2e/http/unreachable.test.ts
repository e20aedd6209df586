/** A target whose packets vanish: what waits for it is bounded. */
import { expect, test } from "bun:test";
import { openStage } from "../../support/stage.ts";

const stage = openStage();
const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

test("after 64 connects that hang a further one is not tried, and the client hears at once", async () => {
  const front = await stage.fairlead({ targets: [await stage.fullQueue()], upstream: { retries: 0, timeouts: { connect: "400ms" } } });
  const clients = await Promise.all(Array.from({ length: 64 }, () => stage.client(front)));
  const replies = await Promise.all(clients.map((client) => client.ask(GET)));
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([504]));
  const began = performance.now();
  expect((await clients[0]!.ask(GET)).status).toBe(504);
  expect(performance.now() - began).toBeLessThan(300);
});
