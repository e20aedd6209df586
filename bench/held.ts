/** Opens many HTTP/2 connections with many streams each, on which nothing is ever answered: what does the balancer keep for each? */
import { memoryOf } from "./processes.ts";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const SETTINGS_ACK = Buffer.from([0, 0, 0, 4, 1, 0, 0, 0, 0]);
/** GET http://held/ : indexed fields of the static table, and :authority as a literal that is not indexed. */
const FIELDS = Buffer.from([0x82, 0x86, 0x84, 0x01, 4, ...Buffer.from("held")]);
const HEADERS = 1;
const END_STREAM_AND_HEADERS = 0x5;
/** Connections at a time. */
const BATCH = 50;

/** A back end that takes every stream and answers none. */
export function silentBackend(port: number): { stop(): void } {
  return Bun.listen({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        socket.write(SETTINGS);
        socket.write(SETTINGS_ACK);
      },
      data() {},
    },
  });
}

function request(stream: number): Buffer {
  const frame = Buffer.alloc(9 + FIELDS.length);
  frame[2] = FIELDS.length;
  frame[3] = HEADERS;
  frame[4] = END_STREAM_AND_HEADERS;
  frame.writeUInt32BE(stream, 5);
  FIELDS.copy(frame, 9);
  return frame;
}

/** @returns bytes of resident memory a stream, connections included */
export async function heldMemory(pid: number, port: number, connections: number, streams: number): Promise<number> {
  const sockets: { end(): void }[] = [];
  const opening = Buffer.concat([PREFACE, SETTINGS, ...Array.from({ length: streams }, (_, i) => request(2 * i + 1))]);
  try {
    await open(port, BATCH, opening, sockets);
    await Bun.sleep(1_000);
    const before = memoryOf(pid).now;
    for (let opened = BATCH; opened < connections; opened += BATCH) await open(port, BATCH, opening, sockets);
    await Bun.sleep(3_000);
    return (memoryOf(pid).now - before) / ((connections - BATCH) * streams);
  } finally {
    for (const socket of sockets) socket.end();
    await Bun.sleep(1_000);
  }
}

async function open(port: number, count: number, opening: Buffer, sockets: { end(): void }[]): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, async () => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => resolve(), close: () => reject(new Error("a client that held streams was closed")) } });
      socket.write(opening);
      sockets.push(socket);
      await promise;
    }),
  );
}
