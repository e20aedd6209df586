/** Limits that no other test sets: what they are set to is what happens. */
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { LoadBalancer } from "fairlead";
import { Budget } from "../../src/http/h2/budget.ts";
import type { SupervisedConfig } from "../../src/config/snapshot.ts";
import { nextPause } from "../../src/supervised/instance.ts";
import { reply } from "../support/raw-backend.ts";
import { openStage } from "../support/stage.ts";
import { until } from "../support/until.ts";

const stage = openStage();

async function balancer(config: string): Promise<LoadBalancer> {
  const lb = await new LoadBalancer({ config }).start();
  stage.atEnd(() => lb.stop(0));
  return lb;
}

test("max_clients of the instance holds over all of its listeners", async () => {
  const backend = await stage.backend();
  const listener = (name: string): string => `[[listeners]]\nname = "${name}"\naddress = "127.0.0.1:0"\nupstream = "u"\n`;
  const lb = await balancer(`max_clients = 2\n${listener("a")}${listener("b")}[[upstreams]]\nname = "u"\ntargets = [{ address = "${backend.address}" }]\n`);
  const ask = async (name: string): Promise<number> => {
    const client = await stage.client(lb.port(name));
    return (await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")).status;
  };
  expect([await ask("a"), await ask("b"), await ask("a"), await ask("b")]).toEqual([200, 200, 503, 503]);
});

test("no more idle connections than pool_size are kept", async () => {
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const backend = await stage.backend(async (_request, connection) => {
    await held;
    connection.write(reply(200, "done"));
  });
  const lb = await balancer(`listeners = [{ address = "127.0.0.1:0", upstream = "u" }]\n[[upstreams]]\nname = "u"\npool_size = 2\ntargets = [{ address = "${backend.address}" }]\n`);
  const asked = Array.from({ length: 6 }, async () => (await fetch(`http://127.0.0.1:${lb.port()}/`)).text());
  await until("all of them at the target", () => backend.requests.length === 6);
  expect(backend.connections.filter(({ peer }) => peer === "open")).toHaveLength(6);
  release();
  expect(await Promise.all(asked)).toEqual(Array.from({ length: 6 }, () => "done"));
  await until("two that are left", () => backend.connections.filter(({ peer }) => peer === "open").length === 2);
});

test("what a client of HTTP/2 may send ahead is stream_window, and connection_window over all", async () => {
  const lb = await balancer('listeners = [{ address = "127.0.0.1:0", upstream = "u", http2 = { stream_window = "128KiB", connection_window = "2MiB" } }]\n[[upstreams]]\nname = "u"\ntargets = [{ address = "127.0.0.1:1" }]\n');
  const socket = connect(lb.port(), "127.0.0.1");
  stage.atEnd(() => socket.destroy());
  let received = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => (received = Buffer.concat([received, chunk])));
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\u0000\u0000\u0000\u0004\u0000\u0000\u0000\u0000\u0000");
  /** Frame header: length, type, flags, stream (RFC 9113 section 4.1). */
  const frames = (): { readonly type: number; readonly payload: Buffer }[] => {
    const all = [];
    for (let at = 0; at + 9 <= received.length; at += 9 + received.readUIntBE(at, 3)) all.push({ type: received[at + 3]!, payload: received.subarray(at + 9, at + 9 + received.readUIntBE(at, 3)) });
    return all;
  };
  const [SETTINGS, WINDOW_UPDATE] = [4, 8];
  const settings = await until("its settings", () => frames().find(({ type, payload }) => type === SETTINGS && payload.length > 0)?.payload);
  const entries = new Map(Array.from({ length: settings.length / 6 }, (_, index) => [settings.readUInt16BE(index * 6), settings.readUInt32BE(index * 6 + 2)]));
  const update = await until("the connection's window", () => frames().find(({ type }) => type === WINDOW_UPDATE)?.payload);
  expect([entries.get(4), 65_535 + update.readUInt32BE()]).toEqual([128 * 1024, 2 * 1024 * 1024]);
});

describe("what a peer may do without being wrong", () => {
  test("is so much at once (resets, glitches), and so much more each second (resets_per_second, glitches_per_second)", () => {
    const budget = new Budget(10, 4, 0);
    const taken = (now: number): number => {
      let count = 0;
      while (budget.take(now)) count++;
      return count;
    };
    expect(taken(0)).toBe(10);
    // What was refused counts too: whoever goes on gets nothing.
    expect([taken(250), taken(1_250)]).toEqual([0, 3]);
    expect(taken(100_000)).toBe(10);
  });
});

test("pauses before restarts double from backoff to backoff_max, and there are max_restarts of them in restart_window", () => {
  const config = { maxRestarts: 5, restartWindow: 10_000, backoff: 100, backoffMax: 500 } as SupervisedConfig;
  const restarts: number[] = [];
  expect([0, 1, 2, 3, 4, 5].map((now) => nextPause(config, restarts, now))).toEqual([100, 200, 400, 500, 500, undefined]);
  // The first two are forgotten.
  expect([nextPause(config, restarts, 10_001.5), nextPause(config, restarts, 10_001.5), nextPause(config, restarts, 10_001.5)]).toEqual([500, 500, undefined]);
});
