/** Clients that read slowly get all of their reply, also when it is the last one on its connection. */
import { expect, test } from "bun:test";
import { Plane } from "../../support/plane.ts";
import { reply } from "../../support/raw-backend.ts";
import { RawConnection, connected } from "../../support/raw-connection.ts";
import { openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const BODY = "b".repeat(1_000_000);

test("a reply that ends with its connection waits in the system for who reads it later than we linger", async () => {
  const backend = await stage.backend((_request, connection) => connection.write(reply(200, BODY)));
  const plane = await Plane.start(`
    [[listeners]]
    name = "web"
    address = "127.0.0.1:0"
    upstream = "app"
    [[upstreams]]
    name = "app"
    targets = [{ address = "${backend.address}" }]
  `);
  stage.atEnd(() => plane.stop());
  const client = new RawConnection(await connected(plane.port()));
  client.socket.pause();
  client.write("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
  await until("the client's connection", () => plane.clients === 1);
  // We have said all, and no longer wait for the client.
  await until("no client", () => plane.clients === 0);
  client.socket.resume();
  await until("the end", () => client.peer !== "open");
  expect(client.peer).toBe("ended");
  expect(client.receivedText.endsWith(`\r\n\r\n${BODY}`)).toBe(true);
});
