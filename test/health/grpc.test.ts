/** The grpc check against Node's own HTTP/2, with the messages that a gRPC server would send. */
import { afterEach, expect, test } from "bun:test";
import { createServer, type ServerHttp2Stream } from "node:http2";
import { continuation, headers, settings } from "../support/h2-frames.ts";
import { block } from "../support/h2-hpack.ts";
import { check, servers } from "./real.ts";

const { serve, cleanups, cleanUp } = servers();
afterEach(cleanUp);

/** A gRPC message with its five bytes in front. */
const message = (...bytes: number[]): Buffer => Buffer.from([0, 0, 0, 0, bytes.length, ...bytes]);

interface Call {
  readonly path: string;
  readonly authority: string;
  readonly type: string;
  readonly te: string;
  readonly body: Buffer;
}

async function grpcServer(answer: (stream: ServerHttp2Stream) => void): Promise<{ port: number; calls: Call[] }> {
  const calls: Call[] = [];
  const server = createServer();
  server.on("stream", (stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      calls.push({ path: headers[":path"]!, authority: headers[":authority"]!, type: headers["content-type"]!, te: String(headers.te), body: Buffer.concat(chunks) });
      answer(stream as ServerHttp2Stream);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => server.close());
  return { port: (server.address() as { port: number }).port, calls };
}

function say(stream: ServerHttp2Stream, ...parts: Buffer[]): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  for (const part of parts) stream.write(part);
  stream.end();
}

const grpc = { type: "grpc" } as const;

test("SERVING passes; the call is as gRPC wants it", async () => {
  const { port, calls } = await grpcServer((stream) => say(stream, message(8, 1)));
  expect(await check(port, { ...grpc, service: "shop.Cart" })).toEqual({ ok: true, reason: "SERVING", conclusive: true });
  expect(calls).toEqual([{ path: "/grpc.health.v1.Health/Check", authority: `127.0.0.1:${port}`, type: "application/grpc", te: "trailers", body: message(10, 9, ...Buffer.from("shop.Cart")) }]);
});

test("without a service the server as a whole is asked for", async () => {
  const { port, calls } = await grpcServer((stream) => say(stream, message(8, 1)));
  expect((await check(port, grpc)).ok).toBe(true);
  expect(calls[0]!.body).toEqual(message());
});

test("a long service name and a long host go whole", async () => {
  const { port, calls } = await grpcServer((stream) => say(stream, message(8, 1)));
  const service = "s".repeat(300);
  const host = `${"h".repeat(200)}.example`;
  expect((await check(port, { ...grpc, service, host })).ok).toBe(true);
  expect(calls[0]!.authority).toBe(host);
  expect(calls[0]!.body.subarray(-300).toString()).toBe(service);
});

test("any other status fails and is named", async () => {
  for (const [bytes, reason] of [
    [[8, 2], "NOT_SERVING"],
    [[8, 3], "SERVICE_UNKNOWN"],
    [[], "UNKNOWN"],
    [[8, 9], "status 9"],
  ] as const) {
    const { port } = await grpcServer((stream) => say(stream, message(...bytes)));
    expect(await check(port, grpc)).toEqual({ ok: false, reason, conclusive: true });
  }
});

test("a message that comes in pieces is put together", async () => {
  const { port } = await grpcServer((stream) => say(stream, message(8, 1).subarray(0, 3), message(8, 1).subarray(3)));
  expect((await check(port, grpc)).ok).toBe(true);
});

test("a server that answers with a status fails, and the reason tells which, in the server's words", async () => {
  const said = (fields: Record<string, string>) => (stream: ServerHttp2Stream) => stream.respond({ ":status": 200, "content-type": "application/grpc", ...fields }, { endStream: true });
  const trailing = (stream: ServerHttp2Stream): void => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "14", "grpc-message": "not%20yet" }));
    stream.end();
  };
  for (const [answer, reason] of [
    [said({ "grpc-status": "12" }), "UNIMPLEMENTED"],
    [said({ "grpc-status": "5", "grpc-message": "unknown service shop.Cart: caf%C3%A9%0A100%" }), "NOT_FOUND: unknown service shop.Cart: caf%C3%A9%0A100%"],
    [said({ "grpc-status": "5", "grpc-message": "caf%C3%A9%0Aclosed" }), "NOT_FOUND: café closed"],
    [said({ "grpc-status": "99" }), "status 99"],
    [said({ "grpc-status": "2", "grpc-message": "x".repeat(5_000) }), `UNKNOWN: ${"x".repeat(120)}`],
    [said({}), "no answer: the call ended without a message or a status"],
    [trailing, "UNAVAILABLE: not yet"],
    [(stream: ServerHttp2Stream) => stream.respond({ ":status": 404 }, { endStream: true }), "HTTP status 404"],
    [
      (stream: ServerHttp2Stream) => {
        stream.respond({ ":status": 503, "content-length": "4" });
        stream.end("busy");
      },
      "HTTP status 503",
    ],
    [said({ "x-long": "y".repeat(40_000), "grpc-status": "14" }), "invalid reply: fields too long"],
  ] as const) {
    const { port } = await grpcServer(answer as (stream: ServerHttp2Stream) => void);
    expect(await check(port, grpc)).toEqual({ ok: false, reason, conclusive: true });
  }
});

test("fields that go on in another frame, with padding, are put together", async () => {
  const fields = block([[":status", "200"], ["grpc-status", "14"], ["grpc-message", "in%20two%20frames"]]);
  const frames = Buffer.concat([settings(), headers(1, fields.subarray(0, 20), { endHeaders: false, pad: 7, priority: { on: 0 } }), continuation(1, fields.subarray(20))]);
  const port = await serve((socket) => socket.once("data", () => socket.write(frames)));
  expect(await check(port, grpc)).toMatchObject({ reason: "UNAVAILABLE: in two frames" });
});

test("fields that no HPACK decoder can read are an invalid reply", async () => {
  const port = await serve((socket) => socket.once("data", () => socket.write(Buffer.concat([settings(), headers(1, Buffer.from([0xff, 0xff]))]))));
  expect(await check(port, grpc)).toMatchObject({ ok: false, reason: expect.stringContaining("invalid reply: ") });
});

test("a call that is reset, and a connection that is ended, fail with the error's number", async () => {
  const greeting = [0, 0, 0, 4, 0, 0, 0, 0, 0];
  const reset = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
  const goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
  for (const [frame, reason] of [
    [reset, "call refused: HTTP/2 error 7"],
    [goaway, "connection refused: HTTP/2 error 11"],
  ] as const) {
    const port = await serve((socket) => socket.once("data", () => socket.write(Buffer.from([...greeting, ...frame]))));
    expect(await check(port, grpc)).toEqual({ ok: false, reason, conclusive: true });
  }
});

test("a server of HTTP/1.1 fails", async () => {
  const port = await serve((socket) => socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"));
  expect(await check(port, grpc)).toMatchObject({ ok: false, reason: "does not speak HTTP/2" });
});

test("a server that says nothing is waited for until the timeout, one that closes is not", async () => {
  const silent = await serve(() => {});
  expect(await check(silent, { ...grpc, timeout: 100 })).toMatchObject({ ok: false, reason: "timeout after 100ms" });
  const closing = await serve((socket) => socket.end());
  expect(await check(closing, grpc)).toMatchObject({ ok: false, reason: "closed without an answer" });
});
