/** A tcp listener under load that one side does not read, and connections that are silent. */
import { describe, expect, test } from "bun:test";
import { openStage } from "../../support/stage.ts";
import { sleep, until, untilStill } from "../../support/until.ts";

const stage = openStage();
const MB = 1024 * 1024;
const TOTAL = 80 * MB;
const ON_THE_WAY = 48 * MB;
const GROWTH = 32 * MB;
const block = Buffer.alloc(65_536, 5);

async function relay() {
  const server = await stage.server(() => {});
  const front = await stage.fairlead({ targets: [server], listener: { protocol: "tcp" } });
  const client = await stage.connection(front);
  return { front, client, inner: await server.connection() };
}

describe("a side that does not read", () => {
  for (const slow of ["server", "client"] as const) {
    test(`(the ${slow}) stops the other, in flat memory, and gets all 80 MB when it reads again`, async () => {
      const { front, client, inner } = await relay();
      const [sender, reader] = slow === "server" ? [client, inner] : [inner, client];
      const before = front.fairlead.memory();
      reader.pause();
      let sent = 0;
      const pouring = sender.pour(TOTAL, block, (bytes) => (sent = bytes));
      await untilStill("the sender to be stopped", () => sent);
      expect(sent).toBeLessThan(ON_THE_WAY);
      expect(front.fairlead.memory() - before).toBeLessThan(GROWTH);
      reader.resume();
      await pouring;
      await until("all of it", () => reader.receivedLength === TOTAL, 20_000);
      expect(front.fairlead.memory() - before).toBeLessThan(GROWTH);
    }, 60_000);
  }
});

describe("tunnel_idle", () => {
  const LIMIT = 600;

  test("closes a connection without a byte either way at its time; a byte either way keeps it", async () => {
    const server = await stage.server(() => {});
    const front = await stage.fairlead({ targets: [server], listener: { protocol: "tcp", timeouts: { tunnel_idle: `${LIMIT}ms` } } });
    const client = await stage.client(front);
    const inner = await server.connection();
    for (let i = 0; i < 4; i++) {
      await sleep(LIMIT / 2);
      (i % 2 === 0 ? client : inner).write("x");
    }
    const began = performance.now();
    await client.untilPeerEnds();
    const took = performance.now() - began;
    expect(took).toBeGreaterThanOrEqual(LIMIT * 0.9);
    expect(took).toBeLessThanOrEqual(LIMIT * 1.1 + 25);
    await inner.untilPeerEnds();
  });
});
