/**
 * A target of each kind in one process of Node's: node backend.mjs HTTP H2C TCP UDP, each a port.
 * It prints one line when all of them listen, and ends with its standard input.
 *
 * GET  …/bytes/N     N bytes with Content-Length     GET …/chunked/N   N bytes, chunked
 * GET  …/stream/N    N pieces of 1 KiB, 20 ms apart   POST …/echo       the body
 * GET  …/flaky       breaks off without a reply, every other time
 * Upgrade            `ws` echoes messages
 */
import { createSocket } from "node:dgram";
import { createServer } from "node:http";
import { createServer as createH2Server } from "node:http2";
import { createServer as createTcpServer } from "node:net";
import { pipeline } from "node:stream";
import { WebSocketServer } from "ws";

const [http, h2c, tcp, udp] = process.argv.slice(2).map(Number);
const BLOCK = Buffer.alloc(1024 * 1024, "x");
const PIECE = BLOCK.subarray(0, 1024);
let flaky = 0;

function stream(response, pieces) {
  if (pieces === 0 || response.destroyed) return response.end();
  response.write(PIECE);
  setTimeout(stream, 20, response, pieces - 1);
}

/** Serves node:http and, by its compatible interface, node:http2. */
function serve(request, response) {
  response.on("error", () => {});
  const [what, argument] = request.url.split("/").slice(2);
  if (what === "bytes") {
    request.resume();
    response.setHeader("content-length", argument);
    response.end(BLOCK.subarray(0, Number(argument)));
  } else if (what === "chunked") {
    request.resume();
    for (let sent = 0; sent < Number(argument); sent += 16_384) response.write(BLOCK.subarray(0, Math.min(16_384, Number(argument) - sent)));
    response.end();
  } else if (what === "stream") stream(response, Number(argument));
  else if (what === "echo") pipeline(request, response, () => {});
  else if (what === "flaky" && flaky++ % 2 === 0) request.socket.destroy();
  else {
    request.resume();
    response.end("ok");
  }
}

const server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0, headersTimeout: 0, noDelay: true }, serve);
const sockets = new WebSocketServer({ noServer: true });
server.on("upgrade", (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (client) => {
    client.on("error", () => {});
    client.on("message", (data, binary) => client.send(data, { binary }));
  });
});

const datagrams = createSocket("udp4");
datagrams.on("message", (bytes, { port, address }) => datagrams.send(bytes, port, address));
datagrams.on("error", () => {});

const h2 = createH2Server(serve);
h2.on("sessionError", () => {});

const relayed = createTcpServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  socket.on("error", () => {});
  socket.pipe(socket);
});

await Promise.all([
  ...[[server, http], [h2, h2c], [relayed, tcp]].map(([each, port]) => new Promise((done) => each.listen(port, "127.0.0.1", 4096, done))),
  new Promise((done) => datagrams.bind(udp, "127.0.0.1", done)),
]);
console.log("listens");
process.stdin.on("end", () => process.exit(0)).resume();
