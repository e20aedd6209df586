/** Too many clients of one address, and too few descriptors: some wait or are told so, nobody falls over. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { processesBelow } from "../../support/fairlead.ts";
import { reply } from "../../support/raw-backend.ts";
import { isAlive, workersOf } from "../../support/processes.ts";
import { freePort } from "../../support/ports.ts";
import { openStage } from "../../support/stage.ts";
import { UdpClient, UdpServer } from "../../support/udp.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

interface Caller {
  readonly socket: Socket;
  text: string;
  closed: boolean;
}

/** A connection from this address of the loopback network. */
async function from(localAddress: string, port: number, says = GET): Promise<Caller> {
  const socket = connect({ host: "127.0.0.1", port, localAddress });
  const caller: Caller = { socket, text: "", closed: false };
  stage.atEnd(() => socket.destroy());
  socket.on("data", (chunk) => (caller.text += chunk.toString("latin1")));
  socket.on("close", () => (caller.closed = true));
  socket.on("error", () => {});
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  socket.write(says);
  return caller;
}

const answered = (caller: Caller, status: number) => until(`status ${status}`, () => caller.text.startsWith(`HTTP/1.1 ${status} `));

describe("max_clients_per_ip", () => {
  test("is exact over all workers, leaves other addresses alone, and gives a place back when a connection ends", async () => {
    const { port } = await stage.fairlead({ targets: [await stage.backend()], top: { workers: 3 }, listener: { max_clients_per_ip: 4 } });
    const four = await Promise.all(Array.from({ length: 4 }, () => from("127.0.0.1", port)));
    for (const each of four) await answered(each, 200);
    for (let i = 0; i < 6; i++) {
      const fifth = await from("127.0.0.1", port);
      await answered(fifth, 429);
      await until("its close", () => fifth.closed);
    }
    const others = await Promise.all(Array.from({ length: 4 }, () => from("127.0.0.2", port)));
    for (const each of others) await answered(each, 200);
    four[0]!.socket.destroy();
    await until("a place", async () => {
      const next = await from("127.0.0.1", port);
      await until("an answer", () => next.text !== "" || next.closed);
      return next.text.startsWith("HTTP/1.1 200 ");
    });
  });

  test("is given back by a worker that dies", async () => {
    const { fairlead, port } = await stage.fairlead({ targets: [await stage.backend()], listener: { max_clients_per_ip: 2 } });
    for (const each of await Promise.all([from("127.0.0.1", port), from("127.0.0.1", port)])) await answered(each, 200);
    await answered(await from("127.0.0.1", port), 429);
    process.kill(workersOf(fairlead)[0]!, "SIGKILL");
    await fairlead.line("another one", ({ msg }) => msg === "Worker replaced");
    for (const each of await Promise.all([from("127.0.0.1", port), from("127.0.0.1", port)])) await answered(each, 200);
    await answered(await from("127.0.0.1", port), 429);
  });

  test("closes tcp clients beyond it", async () => {
    const server = await stage.server((socket) => socket.write("hello"));
    const { port } = await stage.fairlead({ targets: [server], listener: { protocol: "tcp", max_clients_per_ip: 2 } });
    for (const each of await Promise.all([from("127.0.0.1", port, "x"), from("127.0.0.1", port, "x")])) await until("the greeting", () => each.text === "hello");
    const third = await from("127.0.0.1", port, "x");
    await until("its close", () => third.closed);
    expect(third.text).toBe("");
  });
});

describe("few descriptors", () => {
  test.concurrent("pause accepting: idle clients are let go, those who wait are served after them, no target is blamed", async () => {
    const backends = await stage.backends(2);
    const { fairlead, port } = await stage.fairlead({ targets: backends, openFiles: 256 });
    const [worker] = workersOf(fairlead);
    // More than descriptors; each asks once and stays.
    const callers = await Promise.all(Array.from({ length: 300 }, () => from("127.0.0.1", port)));
    await fairlead.line("that it pauses", ({ msg }) => String(msg).startsWith("Open files run low"));
    await until("every answer", () => callers.every(({ text }) => text.startsWith("HTTP/1.1 200 ")), 20_000);
    await fairlead.line("that it goes on", ({ msg }) => msg === "Clients are accepted again");
    expect(fairlead.log.filter(({ msg }) => msg === "Target ejected" || msg === "Worker died; replacing it")).toEqual([]);
    expect(isAlive(worker!)).toBe(true);
  }, 30_000);

  test.concurrent("with clients that all hold on: those beyond wait without work for anybody, and are served when others go", async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const backend = await stage.backend(async (_request, connection) => {
      await held;
      connection.write(reply(200, "ok"));
    });
    const { fairlead, port } = await stage.fairlead({ targets: [backend], openFiles: 256 });
    const callers = await Promise.all(Array.from({ length: 150 }, () => from("127.0.0.1", port)));
    await fairlead.line("that it pauses", ({ msg }) => String(msg).startsWith("Open files run low"));
    const before = processorTime(fairlead.pid);
    await Bun.sleep(500);
    // A listener that cannot accept and tries all the same would take a whole core.
    expect(processorTime(fairlead.pid) - before).toBeLessThan(250);
    release();
    await until("every answer", () => callers.every(({ text }) => /^HTTP\/1.1 (200|503) /.test(text)), 20_000);
    expect(callers.filter(({ text }) => text.startsWith("HTTP/1.1 200 ")).length).toBeGreaterThan(100);
    expect(fairlead.log.filter(({ msg }) => msg === "Target ejected" || msg === "Worker died; replacing it")).toEqual([]);
  }, 30_000);

  test.concurrent("are not all for udp: a flood of forged sources has its part of them, and http goes on", async () => {
    const udp = await freePort();
    const collector = await UdpServer.start();
    stage.atEnd(() => collector.stop());
    const tail = `\n[[listeners]]\nname = "log"\naddress = "127.0.0.1:${udp}"\nprotocol = "udp"\nupstream = "collector"\n`;
    const { fairlead, port } = await stage.fairlead({ targets: [await stage.backend()], upstreams: { collector: [collector] }, openFiles: 256, tail });
    for (let source = 0; source < 120; source++) {
      const each = await UdpClient.open(udp);
      stage.atEnd(() => each.close());
      await each.ask("x");
    }
    for (let i = 0; i < 10; i++) await answered(await from("127.0.0.1", port), 200);
    await fairlead.line("what happens", ({ msg, flows }) => String(msg).startsWith("Flows of udp have taken their part") && flows === 32);
    expect(fairlead.log.filter(({ msg }) => String(msg).startsWith("Open files run low"))).toEqual([]);
  }, 30_000);
});

/** Of a process and all below it, in ms. */
function processorTime(root: number): number {
  return processesBelow(root).reduce((sum, pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    // In ticks of 10 ms.
    return sum + (Number(fields[11]) + Number(fields[12])) * 10;
  }, 0);
}
