/** An event loop that stood still: what comes in the turn after that has all of its time, though the clock's last tick was long ago. */
import { expect, test } from "bun:test";
import { bunNetwork } from "../../src/net/bun.ts";
import { inProcess } from "../support/in-process.ts";
import { openStage } from "../support/stage.ts";
import { tlsExchange } from "../support/tls-client.ts";

const stage = openStage();
const STILL = 250;

function standStill(): void {
  for (const end = performance.now() + STILL; performance.now() < end; );
}

test("a request that is read after it has its whole timeouts.attempt", async () => {
  const backend = await stage.node();
  const { port } = await inProcess(stage, { front: { targets: [backend], upstream: { retries: 0, timeouts: { attempt: "150ms" } } } });
  const client = await stage.client(port("front"));
  const statuses: number[] = [];
  for (let times = 0; times < 3; times++) {
    client.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    standStill();
    statuses.push((await client.finalReply()).status);
  }
  expect(statuses).toEqual([200, 200, 200]);
});

test("a client that is accepted after it has the whole of timeouts.tls_handshake", async () => {
  const backend = await stage.node();
  const { port } = await inProcess(stage, { front: { targets: [backend], listener: { tls: "self-signed", timeouts: { tls_handshake: "200ms" } } } });
  const ended: string[] = [];
  for (let times = 0; times < 3; times++) {
    const exchange = tlsExchange(port("front"), {});
    standStill();
    ended.push((await exchange).error);
  }
  expect(ended).toEqual(["", "", ""]);
});

test("the coarse clock is not behind whoever has looked at the exact one", () => {
  const { clock } = bunNetwork();
  const stop = clock.everyTick(() => {});
  standStill();
  const exact = clock.precise();
  expect(clock.now).toBeGreaterThanOrEqual(exact);
  stop();
});
