/** Uploads that go on while their request is sent once more: each byte arrives once, in order, and the client is never left waiting. */
import { expect, test } from "bun:test";
import { data, headers, Setting, settings, settingsAck } from "../../support/h2-frames.ts";
import type { Field } from "../../support/h2-hpack.ts";
import { type H2Target, type H2TargetOptions, sayWhich } from "../../support/h2-target.ts";
import { H2Client, reply, room } from "../../support/h2.ts";
import { inProcess } from "../../support/in-process.ts";
import { openStage } from "../../support/stage.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
const UPLOAD: readonly Field[] = [[":method", "POST"], [":scheme", "http"], [":authority", "h.test"], [":path", "/up"]];

/** A target that refuses what has begun to come, one that says nothing until it is told to, and Fairlead in front of both. */
async function refusedFirst(options: H2TargetOptions = {}): Promise<{ readonly port: number; readonly first: H2Target; readonly second: H2Target }> {
  const first = await stage.h2Target(async (request) => {
    await until("some of the body", () => request.bytes >= 10);
    request.refuse();
  }, options);
  const second = await stage.h2Target(() => {}, { silent: true });
  const fairlead = await inProcess(stage, { main: { targets: [first, second], upstream: { protocol: "h2c", policy: "round-robin", retry_backoff: "off" } } });
  return { port: fairlead.port("main"), first, second };
}

async function h2(port: number): Promise<H2Client> {
  const client = await H2Client.connect(port);
  stage.atEnd(() => client.destroy());
  return client;
}

/** The body of the first request, when the target has come to speak. */
async function bodyAt(target: H2Target): Promise<string> {
  (await target.connection()).send(settings(), settingsAck());
  const request = await target.request(1);
  await until("the whole body", () => request.whole);
  expect(target.problems).toEqual([]);
  request.answer("done");
  return request.body.toString();
}

test("what an HTTP/2 client sends while the second target is connected to comes behind what it sent before, once", async () => {
  const { port, second } = await refusedFirst();
  const client = await h2(port);
  client.send(headers(1, UPLOAD, { endStream: false }), data(1, "0123456789", { endStream: false }));
  await second.connection();
  client.send(data(1, "abcdefghij", { endStream: false }));
  await client.roundTrip();
  client.send(data(1, "ABCDEFGHIJ"));
  await client.roundTrip();
  expect(await bodyAt(second)).toBe("0123456789abcdefghijABCDEFGHIJ");
  await client.expect(reply(1));
});

test("what an HTTP/1 client sends meanwhile does too, also when it is more than is kept", async () => {
  for (const more of ["abcdefghij", "x".repeat(100_000)]) {
    const { port, second } = await refusedFirst();
    const client = await stage.client(port);
    client.request("POST /up HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n");
    await second.connection();
    client.write(`${more.length.toString(16)}\r\n${more}\r\n`);
    // Nothing tells when Fairlead has read it.
    await sleep(50);
    client.write("a\r\nABCDEFGHIJ\r\n0\r\n\r\n");
    expect((await bodyAt(second)) === `0123456789${more}ABCDEFGHIJ`).toBe(true);
    expect((await client.reply()).text).toBe("done");
  }
});

test("a client that was stopped because the first target took no more goes on with the second, and its window stays what it was", async () => {
  const first = await stage.h2Target(async (request) => {
    await until("its window to be used up", () => request.bytes === 100);
    request.refuse();
  }, { settings: [[Setting.INITIAL_WINDOW_SIZE, 100]], stingy: true });
  const second = await stage.h2Target(sayWhich, { settings: [[Setting.INITIAL_WINDOW_SIZE, 1_000_000]] });
  const fairlead = await inProcess(stage, { main: { targets: [first, second], upstream: { protocol: "h2c", policy: "round-robin", retry_backoff: "off" } } });
  const client = await h2(fairlead.port("main"));
  client.send(headers(1, UPLOAD, { endStream: false }));
  const block = Buffer.alloc(10_000);
  for (let i = 0; i < 30; i++) {
    await client.expect(room(1, block.length));
    expect(client.stream(1).sendWindow).toBeLessThanOrEqual(64 * 1024);
    client.send(data(1, block, { endStream: i === 29 }));
  }
  await client.expect(reply(1));
  expect([first.requests.length, second.requests[0]!.bytes]).toEqual([1, 300_000]);
});
