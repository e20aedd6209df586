/**
 * A back end on node:http, run by Node itself: a strict, well-known parser and a real server, in a process of its own.
 * It prints one JSON object a line: first `{ "port": N }`, then what happened to requests.
 *
 * POST /hash          → {"bytes":N,"sha256":"…","trailers":{…}} of the request's body
 * ANY  /echo          → the request's body, streamed; its trailers come back as trailers
 * GET  /bytes/N       → N bytes with Content-Length;  /chunked/N: the same, chunked
 * GET  /fields        → the request's raw fields, method and target as JSON
 * GET  /hints         → 103 Early Hints, then 200
 * POST /slow/N        → reads the body at N bytes a second, then as /hash
 * GET  /cut/N         → says Content-Length 2N, sends N bytes, closes
 * Upgrade             → `ws` echoes messages
 */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const BLOCK = Buffer.alloc(65_536);
for (let i = 0; i < BLOCK.length; i++) BLOCK[i] = i % 251;

function drained(response) {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}

async function pour(response, total) {
  for (let sent = 0; sent < total && !response.destroyed; ) {
    const part = BLOCK.subarray(0, Math.min(BLOCK.length, total - sent));
    sent += part.length;
    if (!response.write(part)) {
      await drained(response);
    }
  }
  response.end();
}

async function digest(request, bytesASecond) {
  const hash = createHash("sha256");
  let bytes = 0;
  const began = Date.now();
  for await (const chunk of request) {
    hash.update(chunk);
    bytes += chunk.length;
    const ahead = bytesASecond === undefined ? 0 : (bytes / bytesASecond) * 1000 - (Date.now() - began);
    if (ahead > 0) await new Promise((resolve) => setTimeout(resolve, ahead));
  }
  return JSON.stringify({ bytes, sha256: hash.digest("hex"), trailers: request.trailers });
}

const server = createServer({ requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 120_000, noDelay: true }, async (request, response) => {
  const [, what, argument] = new URL(request.url, "http://x").pathname.split("/");
  say({ event: "request", method: request.method, target: request.url, local: request.socket.remotePort });
  request.on("aborted", () => say({ event: "aborted", target: request.url }));
  response.on("close", () => say({ event: response.writableFinished ? "finished" : "cut", target: request.url }));
  try {
    if (what === "hash") response.end(await digest(request));
    else if (what === "slow") response.end(await digest(request, Number(argument)));
    else if (what === "echo") {
      if (request.headers["content-length"] !== undefined) response.setHeader("Content-Length", request.headers["content-length"]);
      if (request.headers.trailer !== undefined) response.setHeader("Trailer", request.headers.trailer);
      for await (const chunk of request) {
        if (!response.write(chunk)) await drained(response);
      }
      if (Object.keys(request.trailers).length > 0) response.addTrailers(request.trailers);
      response.end();
    } else if (what === "bytes") {
      response.setHeader("Content-Length", argument);
      await pour(response, Number(argument));
    } else if (what === "chunked") await pour(response, Number(argument));
    else if (what === "cut") {
      response.setHeader("Content-Length", Number(argument) * 2);
      response.write(BLOCK.subarray(0, Number(argument)), () => request.socket.destroy());
    } else if (what === "hints") {
      response.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" });
      response.end("hinted");
    } else {
      request.resume();
      response.end(JSON.stringify({ method: request.method, target: request.url, fields: request.rawHeaders }));
    }
  } catch (error) {
    say({ event: "failed", target: request.url, error: String(error) });
    response.destroy();
  }
});

const sockets = new WebSocketServer({ noServer: true });
sockets.on("connection", (socket) => {
  socket.on("message", (data, binary) => socket.send(data, { binary }));
  socket.on("close", (code) => say({ event: "ws-close", code }));
});
server.on("upgrade", (request, socket, head) => sockets.handleUpgrade(request, socket, head, (client) => sockets.emit("connection", client, request)));
server.on("clientError", (error, socket) => {
  say({ event: "client-error", error: error.code });
  socket.destroy();
});
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", 4096, () => say({ port: server.address().port }));
process.stdin.on("end", () => process.exit(0)).resume();
