/** Round robin is exact: over all workers, over concurrent clients, and whatever a target's luck. */
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { reply } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";

const stage = openStage();

/** A counting back end that costs little: any request gets the same bytes. */
function counter() {
  let count = 0;
  const bytes = Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  const server = Bun.listen<{ rest: string }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void (socket.data = { rest: "" }),
      data(socket, chunk) {
        const parts = (socket.data.rest + chunk.toString("latin1")).split("\r\n\r\n");
        socket.data.rest = parts.pop() ?? "";
        count += parts.length;
        for (const _ of parts) socket.write(bytes);
      },
    },
  });
  stage.atEnd(() => server.stop(true));
  return { address: `127.0.0.1:${server.port}`, seen: () => count };
}

/** `count` requests one after another over one connection; the number of 200s. */
function ask(port: number, count: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let good = 0;
    let text = "";
    const next = () => socket.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    socket.on("connect", next);
    socket.on("error", reject);
    socket.on("close", () => resolve(good));
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (!text.endsWith("\r\n\r\nok")) return;
      if (text.startsWith("HTTP/1.1 200 ")) good++;
      text = "";
      if (--count > 0) next();
      else socket.end();
    });
  });
}

describe("round robin", () => {
  test("over 4 workers gives each of 4 targets 2,500 of 10,000 requests", async () => {
    const targets = Array.from({ length: 4 }, counter);
    const front = await stage.fairlead({ targets, top: { workers: 4 } });
    const good = await Promise.all(Array.from({ length: 40 }, () => ask(front.port, 250)));
    expect(good.reduce((sum, one) => sum + one, 0)).toBe(10_000);
    expect(targets.map(({ seen }) => seen())).toEqual([2_500, 2_500, 2_500, 2_500]);
  }, 60_000);

  test("goes in the order of the file", async () => {
    const backends = await stage.backends(3, (_, connection) => connection.write(reply(200, "ok")));
    const front = await stage.fairlead({ targets: backends });
    const client = await stage.client(front);
    const order: number[] = [];
    for (let i = 0; i < 9; i++) {
      const before = backends.map(({ requests }) => requests.length);
      await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
      order.push(backends.findIndex(({ requests }, at) => requests.length > (before[at] as number)));
    }
    const [first] = order as [number];
    expect(order).toEqual(Array.from({ length: 9 }, (_, i) => (first + i) % 3));
  });

  test("counts each upstream for itself", async () => {
    const [one, other] = [Array.from({ length: 2 }, counter), Array.from({ length: 2 }, counter)];
    const front = await stage.fairlead({ targets: one, upstreams: { other }, routes: [{ hosts: ["other.test"], upstream: "other" }] });
    const client = await stage.client(front);
    for (let i = 0; i < 10; i++) {
      await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
      await client.ask("GET / HTTP/1.1\r\nHost: other.test\r\n\r\n");
    }
    expect([...one, ...other].map(({ seen }) => seen())).toEqual([5, 5, 5, 5]);
  });

  test("is not thrown out of step by a target that fails: each gets its turn", async () => {
    const [bad, good] = [await stage.backend((_, connection) => connection.destroy()), await stage.backend()];
    const front = await stage.fairlead({ targets: [bad, good], upstream: { outlier_detection: false } });
    const client = await stage.client(front);
    for (let i = 0; i < 20; i++) expect((await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")).status).toBe(200);
    // 20 first attempts, one by one: 10 meet the bad one and are made again.
    expect(bad.requests.length).toBe(10);
    expect(good.requests.length).toBe(20);
  });
});

describe("other policies that ship", () => {
  test("random gives each of 4 targets about a quarter", async () => {
    const targets = Array.from({ length: 4 }, counter);
    const front = await stage.fairlead({ targets, upstream: { policy: "random" } });
    await Promise.all(Array.from({ length: 10 }, () => ask(front.port, 200)));
    // 2,000 draws: 500 ± 100 is more than five standard deviations.
    for (const { seen } of targets) expect(Math.abs(seen() - 500)).toBeLessThan(100);
  });

  test("single gives everything to one target", async () => {
    const targets = Array.from({ length: 3 }, counter);
    const front = await stage.fairlead({ targets, upstream: { policy: "single" } });
    expect(await ask(front.port, 50)).toBe(50);
    expect(targets.map(({ seen }) => seen()).toSorted((a, b) => a - b)).toEqual([0, 0, 50]);
  });
});
