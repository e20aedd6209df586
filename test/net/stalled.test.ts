/** An event loop that stood still: what comes in the turn after that has all of its time, though the clock's last tick was long ago. */
import { expect, test } from "bun:test";
import { bunNetwork } from "../../src/net/bun.ts";
import { inProcess } from "../support/in-process.ts";
import { openStage } from "../support/stage.ts";

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

test("the coarse clock is not behind whoever has looked at the exact one", () => {
  const { clock } = bunNetwork();
  const stop = clock.everyTick(() => {});
  standStill();
  const exact = clock.precise();
  expect(clock.now).toBeGreaterThanOrEqual(exact);
  stop();
});
