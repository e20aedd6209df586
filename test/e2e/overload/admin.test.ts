/** Crowds at the admin address: they take no descriptor that somebody else needs. */
import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { workersOf } from "../../support/processes.ts";
import { freePort } from "../../support/ports.ts";
import { openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

test("connections that say nothing are ended when descriptors run low: calls and streams go on, and a worker that dies is replaced", async () => {
  const admin = await freePort();
  const { fairlead, url } = await stage.fairlead({ targets: [await stage.backend()], top: { admin: { address: `127.0.0.1:${admin}` } }, openFiles: 256 });
  const stream = await fetch(`http://127.0.0.1:${admin}/v1/stream`);
  const reader = stream.body!.getReader();
  expect((await reader.read()).done).toBe(false);
  // 400 at any time: who is sent away comes again, some of them with a head or a body that never ends.
  const open = new Set<Socket>();
  let going = true;
  let opened = 0;
  const come = (): void => {
    if (!going) return;
    const socket = connect({ host: "127.0.0.1", port: admin });
    opened++;
    open.add(socket);
    if (opened % 2 === 0) socket.write("GET /v1/status HTTP/1.1\r\nHost: a\r\n");
    else if (opened % 5 === 0) socket.write("POST /v1/explain HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{");
    socket.on("error", () => {});
    socket.on("close", () => {
      open.delete(socket);
      setTimeout(come, 20);
    });
  };
  stage.atEnd(() => {
    going = false;
    for (const socket of open) socket.destroy();
  });
  for (let i = 0; i < 400; i++) come();
  await fairlead.line("that they are ended", ({ msg }) => String(msg).includes("connections to the admin address without a call are ended"));
  const [worker] = workersOf(fairlead);
  process.kill(worker!, "SIGKILL");
  await fairlead.line("another one", ({ msg }) => msg === "Worker replaced");
  expect((await fetch(url)).status).toBe(200);
  const status = async (): Promise<number> => (await fetch(`http://127.0.0.1:${admin}/v1/status`, { headers: { Connection: "close" }, signal: AbortSignal.timeout(2_000) })).status;
  for (let i = 0; i < 10; i++) await until("an answer", () => status().then((code) => code === 200, () => false));
  expect(opened).toBeGreaterThan(400);
  expect((await reader.read()).done).toBe(false);
  await reader.cancel();
}, 30_000);
