/** Bytes over TLS, in quantity and to the end: slow readers, half-close, tunnels, and ends that are none. */
import { beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { connect, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { LoadBalancer } from "fairlead";
import { Authority, type Pair, pemFiles } from "../../support/certificates.ts";
import { openStage } from "../../support/stage.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
const directory = stage.directory();
let pair: Pair;
const TOTAL = 24 * 1024 * 1024;

beforeAll(async () => {
  const authority = await Authority.create();
  pair = await authority.issue({ names: ["127.0.0.1", "target.test"] });
  for (const [name, text] of Object.entries({ ...pemFiles({ pair }), "ca.pem": authority.pem })) writeFileSync(join(directory, name), text);
});

/** A server that hands each connection to `talk`; over TLS or not. */
async function server(secure: boolean, talk: (socket: Socket) => void): Promise<string> {
  const open = new Set<Socket>();
  const greet = (socket: Socket): void => {
    open.add(socket);
    socket.on("error", () => {});
    talk(socket);
  };
  const listener = secure ? createTlsServer({ cert: pair.certificate, key: pair.key, allowHalfOpen: true } as object, greet) : createServer({ allowHalfOpen: true }, greet);
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  stage.atEnd(() => {
    for (const socket of open) socket.destroy();
    listener.close();
  });
  return `127.0.0.1:${(listener.address() as { port: number }).port}`;
}

let count = 0;

async function balance(target: string, { protocol = "http", secureTarget = false, more = "" }: { protocol?: string; secureTarget?: boolean; more?: string } = {}): Promise<number> {
  const file = join(directory, `${count++}.toml`);
  writeFileSync(
    file,
    `[[listeners]]
address = "127.0.0.1:0"
protocol = "${protocol}"
upstream = "main"
tls = { certificates = [{ certificate = "pair.pem", key = "pair.key" }] }
${more}
[[upstreams]]
name = "main"
targets = [{ address = "${target}" }]
${secureTarget ? `tls = { ca = "ca.pem", server_name = "target.test" }` : ""}
`,
  );
  const balancer = await new LoadBalancer({ configFile: file }).start();
  stage.atEnd(() => balancer.stop(0));
  newest = balancer;
  return balancer.port();
}

let newest: LoadBalancer | undefined;

/** Of the newest balancer, towards clients and targets: also those that it no longer counts as theirs. */
function openSockets(): number {
  return (newest as unknown as { readonly plane: { readonly services: { readonly network: { readonly openSockets: number } } } }).plane.services.network.openSockets;
}

async function client(port: number): Promise<TLSSocket> {
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, allowHalfOpen: true } as object);
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("secureConnect", resolve));
  stage.atEnd(() => socket.destroy());
  return socket;
}

/** Bytes that are different everywhere. */
function block(seed: number): Buffer {
  return Buffer.alloc(256 * 1024, createHash("sha256").update(String(seed)).digest("hex"));
}

async function pour(socket: Socket): Promise<string> {
  const hash = createHash("sha256");
  for (let sent = 0, seed = 0; sent < TOTAL; sent += 256 * 1024, seed++) {
    const bytes = block(seed);
    hash.update(bytes);
    if (!socket.write(bytes)) await new Promise((resolve) => socket.once("drain", resolve));
  }
  return hash.digest("hex");
}

/** Reads with a rest now and then, so that everything before it has to wait. */
function readSlowly(socket: Socket, skip: (text: Buffer) => Buffer | undefined = (bytes) => bytes): { readonly hash: Promise<string>; received: number } {
  const hash = createHash("sha256");
  const state = { received: 0, hash: undefined as unknown as Promise<string> };
  state.hash = new Promise((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      const bytes = skip(chunk);
      if (bytes === undefined) return;
      const before = state.received;
      hash.update(bytes);
      state.received += bytes.length;
      if (Math.floor(before / 4_000_000) !== Math.floor(state.received / 4_000_000)) {
        socket.pause();
        setTimeout(() => socket.resume(), 40);
      }
      if (state.received >= TOTAL) resolve(hash.digest("hex"));
    });
  });
  return state;
}

/** Cuts the head off what comes first. */
function withoutHead(): (bytes: Buffer) => Buffer | undefined {
  let head: Buffer | undefined = Buffer.alloc(0);
  return (bytes) => {
    if (head === undefined) return bytes;
    head = Buffer.concat([head, bytes]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    const rest = head.subarray(end + 4);
    head = undefined;
    return rest;
  };
}

for (const secureTarget of [false, true]) {
  describe(`large bodies, targets ${secureTarget ? "over TLS" : "in the clear"},`, () => {
    test("reach a client that reads slowly, whole", async () => {
      let sent: Promise<string> | undefined;
      const target = await server(secureTarget, (socket) =>
        socket.once("data", () => {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`);
          sent = pour(socket);
        }),
      );
      const socket = await client(await balance(target, { secureTarget }));
      const reading = readSlowly(socket, withoutHead());
      socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      expect(await reading.hash).toBe(await sent!);
    }, 20_000);

    test("reach a target that reads slowly, whole", async () => {
      let reading: ReturnType<typeof readSlowly> | undefined;
      const target = await server(secureTarget, (socket) => (reading = readSlowly(socket, withoutHead())));
      const socket = await client(await balance(target, { secureTarget }));
      socket.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${TOTAL}\r\n\r\n`);
      const sent = await pour(socket);
      await until("a target", () => reading !== undefined);
      expect(await reading!.hash).toBe(sent);
    }, 20_000);

    test("wait, and take no memory, while nobody reads", async () => {
      const target = await server(secureTarget, (socket) =>
        socket.once("data", () => {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL * 4}\r\n\r\n`);
          void pour(socket).then(() => pour(socket));
        }),
      );
      const socket = await client(await balance(target, { secureTarget }));
      socket.pause();
      const before = process.memoryUsage.rss();
      socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await sleep(500);
      // What the kernel, two libraries and one read hold; the body is 96 MiB.
      expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
    });
  });
}

describe("a tcp listener with TLS", () => {
  for (const secureTarget of [false, true]) {
    test(`passes half-close on: a target ${secureTarget ? "over TLS" : "in the clear"} answers after the client has sent its last byte`, async () => {
      const target = await server(secureTarget, (socket) => {
        let text = "";
        socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
        socket.on("end", () => setTimeout(() => socket.end(`heard ${text}`), 30));
      });
      const socket = await client(await balance(target, { protocol: "tcp", secureTarget }));
      let text = "";
      let ended = false;
      socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
      socket.on("end", () => (ended = true));
      socket.end("question");
      await until("the answer and its end", () => ended);
      expect(text).toBe("heard question");
    });
  }
});

describe("a tunnel over TLS", () => {
  test("carries bytes both ways after 101, and ends", async () => {
    const target = await server(true, (socket) => {
      socket.once("data", () => {
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
        socket.on("data", (chunk: Buffer) => socket.write(chunk));
        socket.on("end", () => socket.end());
      });
    });
    const socket = await client(await balance(target, { secureTarget: true }));
    let text = "";
    let ended = false;
    socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    socket.on("end", () => (ended = true));
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    await until("101", () => text.includes("\r\n\r\n"));
    text = "";
    socket.write("x".repeat(300_000));
    await until("the echo", () => text.length === 300_000);
    socket.end();
    await until("the end", () => ended);
  });
});

describe("the end of a connection", () => {
  test("that a target breaks off in the middle of a reply without a length is no clean end for the client", async () => {
    const target = await server(false, (socket) =>
      socket.once("data", () => {
        socket.write("HTTP/1.0 200 OK\r\n\r\nhalf");
        setTimeout(() => socket.resetAndDestroy(), 50);
      }),
    );
    const socket = await client(await balance(target));
    const seen: string[] = [];
    socket.on("data", () => {});
    socket.on("end", () => seen.push("end"));
    socket.on("error", () => seen.push("error"));
    socket.on("close", () => seen.push("close"));
    socket.write("GET / HTTP/1.0\r\n\r\n");
    await until("the end", () => seen.includes("close"));
    expect(seen).toEqual(["error", "close"]);
  });

  test("is not waited for longer than two seconds when the client does not say goodbye", async () => {
    const target = await server(false, (socket) => socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")));
    const port = await balance(target);
    // The client's TLS ends in a proxy of ours, which passes its bytes on and keeps its own side open for ever.
    let upstream: Socket | undefined;
    const between = createServer({ allowHalfOpen: true }, (inner) => {
      upstream = connectTcp({ port, host: "127.0.0.1", allowHalfOpen: true });
      let bytes = 0;
      inner.on("data", (chunk: Buffer) => {
        // The handshake and the request, and no alert after them.
        if (bytes++ < 3) upstream!.write(chunk);
      });
      upstream.on("data", (chunk: Buffer) => inner.write(chunk));
      for (const socket of [inner, upstream]) socket.on("error", () => {});
    });
    await new Promise<void>((resolve) => between.listen(0, "127.0.0.1", resolve));
    stage.atEnd(() => between.close());
    const socket = await client((between.address() as { port: number }).port);
    stage.atEnd(() => upstream?.destroy());
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    await until("the reply", () => text.endsWith("ok"));
    const began = performance.now();
    expect(openSockets()).toBeGreaterThan(0);
    // Without a reset, which would take back what a client that reads slowly has not read.
    await until("the balancer to let go", () => openSockets() === 0, 5_000);
    expect(performance.now() - began).toBeLessThan(4_500);
  }, 10_000);
});
