/** Targets of HTTP/2 that are taken out while streams are open over their one connection. */
import { expect, test } from "bun:test";
import { data, ErrorCode, headers } from "../../support/h2-frames.ts";
import { type H2Script, sayWhich } from "../../support/h2-target.ts";
import { anyError, bytes, H2Client, reply } from "../../support/h2.ts";
import { openStage } from "../../support/stage.ts";
import { arrange, rearrange } from "../../support/traffic.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

/** Begins a reply; the test says when it goes on. */
const begins: H2Script = (request) => {
  if (request.path.startsWith("/open")) request.connection.send(headers(request.id, [[":status", "200"]], { endStream: false }), data(request.id, "one ", { endStream: false }));
  else return sayWhich(request);
};

test("a drained target's streams go on until drain_timeout, nothing new goes there, and what is left is cut", async () => {
  const [a, b] = [await stage.h2Target(begins), await stage.h2Target(begins)];
  const upstream = { protocol: "h2c", policy: "first", drain_timeout: "1s" };
  const targets = (drain: boolean) => ({ targets: [{ address: a.address, drain }, { address: b.address }], upstream, top: { workers: 1 } });
  const front = await arrange(stage, targets(false));
  const two = await H2Client.connect(front.port);
  const one = await stage.client(front.port);
  const ask = (id: number, path: string): Buffer => headers(id, [[":method", "GET"], [":scheme", "http"], [":authority", "h.test"], [":path", path]]);
  two.send(ask(1, "/open/1"), ask(3, "/open/3"));
  one.request("GET /open/one HTTP/1.1\r\nHost: h.test\r\n\r\n");
  for (const id of [1, 3]) await two.expect(bytes(id, 4));
  const cut = await one.nextHead();
  expect([a.requests.length, b.requests.length]).toEqual([3, 0]);

  await rearrange(front, targets(true));
  const [first] = a.requests;
  first!.connection.send(data(first!.id, "two"));
  expect((await two.expect(reply(1))).text).toBe("one two");
  two.send(ask(5, "/new"));
  expect((await two.expect(reply(5))).text).toBe("GET /new");
  expect([a.requests.length, b.requests.length]).toEqual([3, 1]);

  await two.expect(anyError(3), 5_000);
  expect(await cut.ended).toBe(false);
  for (const request of a.requests.slice(1)) expect(await request.untilReset()).toBe(ErrorCode.CANCEL);
  await until("the connection to be closed", () => a.connections[0]!.gone);
  expect([two.conversation.violation, two.gone, a.problems]).toEqual([undefined, false, []]);

  // Back again, it is used over a new connection.
  await rearrange(front, targets(false));
  two.send(ask(7, "/back"));
  expect((await two.expect(reply(7))).text).toBe("GET /back");
  expect([a.connections.length, a.requests.length]).toEqual([2, 4]);
  two.destroy();
}, 30_000);

test("a target that fails its checks keeps what is open, and gets nothing new", async () => {
  const a = await stage.h2Target(begins);
  // The check asks elsewhere, so that it can fail alone.
  const checked = await stage.server(({ socket }) => void socket.resume());
  const check = { health_check: { type: "tcp", port: checked.port, interval: "50ms", fall: 1, rise: 1, initial: "up" } };
  const front = await arrange(stage, { targets: [{ address: a.address }], upstream: { protocol: "h2c", ...check }, top: { workers: 1 } });
  const one = await stage.client(front.port);
  one.request("GET /open HTTP/1.1\r\nHost: h.test\r\n\r\n");
  const open = await one.nextHead();
  await checked.stop();
  const other = await stage.client(front.port);
  await until("it to be out", async () => (await other.ask("GET /new HTTP/1.1\r\nHost: h.test\r\n\r\n")).status === 503);
  const [request] = a.requests;
  request!.connection.send(data(request!.id, "two"));
  expect([await open.ended, open.text]).toEqual([true, "one two"]);
}, 30_000);
