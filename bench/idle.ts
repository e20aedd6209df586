/** Opens many keep-alive clients that each ask once and then stay: what does the balancer keep for each? */
import { memoryOf } from "./processes.ts";

const REQUEST = "GET / HTTP/1.1\r\nHost: idle.test\r\n\r\n";
/** At a time, so that no queue overflows. */
const BATCH = 250;

/** @returns bytes of resident memory a client */
export async function idleMemory(pid: number, port: number, clients: number): Promise<number> {
  const sockets: { end(): void }[] = [];
  try {
    // Code and buffers that are made once are no client's.
    await open(port, BATCH, sockets);
    await Bun.sleep(500);
    const before = memoryOf(pid).now;
    for (let opened = BATCH; opened < clients; opened += BATCH) await open(port, BATCH, sockets);
    await Bun.sleep(2_000);
    return (memoryOf(pid).now - before) / (clients - BATCH);
  } finally {
    for (const socket of sockets) socket.end();
    await Bun.sleep(500);
  }
}

async function open(port: number, count: number, sockets: { end(): void }[]): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, async () => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => resolve(), close: () => reject(new Error("an idle client was closed")) } });
      socket.write(REQUEST);
      sockets.push(socket);
      await promise;
    }),
  );
}
