/**
 * HTTP/2 as Node has it, in a process of its own: a strict, well-known peer on either side of Fairlead.
 *
 * `node node-h2.mjs server [OPTIONS]`, a target in the clear. First says `{ port }`, then what happened, one JSON object a line:
 *   POST /hash    → {"bytes":N,"sha256":"…","trailers":{…}} of the body;  /slow/N: the same, read at N bytes a second
 *   ANY  /echo    → the body, streamed; its trailers come back
 *   GET  /bytes/N → N bytes with Content-Length;  /stream/N: the same without
 *   extended CONNECT → `ws` echoes messages; "close" makes the server close with 4002, "die" makes it reset the stream; /refuse is 403
 *
 * `node node-h2.mjs client PORT TASK ARGUMENTS`, prints one JSON object.
 */
import { createHash, randomBytes } from "node:crypto";
import http2 from "node:http2";
import WebSocket from "ws";

const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const BLOCK = Buffer.alloc(65_536);
for (let i = 0; i < BLOCK.length; i++) BLOCK[i] = i % 251;
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function room(stream) {
  return new Promise((resolve) => {
    const done = () => {
      stream.off("drain", done).off("close", done);
      resolve();
    };
    stream.on("drain", done).on("close", done);
  });
}

async function pour(stream, total, hash) {
  for (let sent = 0; sent < total && !stream.destroyed; ) {
    const part = BLOCK.subarray(0, Math.min(BLOCK.length, total - sent));
    sent += part.length;
    hash?.update(part);
    if (!stream.write(part)) await room(stream);
  }
}

async function digest(stream, bytesASecond) {
  const hash = createHash("sha256");
  let bytes = 0;
  let trailers = {};
  stream.on("trailers", (fields) => (trailers = { ...fields }));
  const began = Date.now();
  for await (const chunk of stream) {
    hash.update(chunk);
    bytes += chunk.length;
    const ahead = bytesASecond > 0 ? (bytes / bytesASecond) * 1000 - (Date.now() - began) : 0;
    if (ahead > 0) await sleep(ahead);
  }
  return { bytes, sha256: hash.digest("hex"), trailers };
}

/** A WebSocket over a stream: `ws` takes any duplex. */
function webSocket(stream, isServer) {
  const socket = Object.assign(new WebSocket(null, undefined, { closeTimeout: 10_000 }), { _isServer: isServer });
  socket.setSocket(stream, Buffer.alloc(0), { maxPayload: 64 * 1024 * 1024, skipUTF8Validation: false, allowSynchronousEvents: true });
  return socket;
}

function serve(settings) {
  const server = http2.createServer({ settings: { enableConnectProtocol: true, ...settings } });
  server.on("stream", async (stream, headers) => {
    const [, what, argument] = headers[":path"].split("/");
    say({ event: "request", method: headers[":method"], path: headers[":path"], protocol: headers[":protocol"], subprotocol: headers["sec-websocket-protocol"], key: headers["sec-websocket-key"], version: headers["sec-websocket-version"], extensions: headers["sec-websocket-extensions"] });
    stream.on("error", () => {});
    stream.on("close", () => say({ event: "closed", path: headers[":path"], code: stream.rstCode }));
    try {
      if (headers[":method"] === "CONNECT") {
        if (what === "refuse") {
          stream.respond({ ":status": 403, "x-why": "no" });
          stream.end("not here");
          return;
        }
        const protocol = headers["sec-websocket-protocol"]?.split(",")[0];
        stream.respond({ ":status": 200, ...(protocol === undefined ? {} : { "sec-websocket-protocol": protocol }) });
        const socket = webSocket(stream, true);
        socket.on("message", (data, binary) => {
          if (String(data) === "close") socket.close(4002, "as asked");
          else if (String(data) === "die") stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
          else socket.send(data, { binary });
        });
        socket.on("error", () => {});
        socket.on("close", (code) => say({ event: "ws-close", code }));
      } else if (what === "hash" || what === "slow") {
        const result = await digest(stream, Number(argument ?? 0));
        stream.respond({ ":status": 200, "content-type": "application/json" });
        stream.end(JSON.stringify(result));
      } else if (what === "echo") {
        stream.respond({ ":status": 200 }, { waitForTrailers: true });
        let trailers = {};
        stream.on("trailers", (fields) => (trailers = { ...fields }));
        stream.on("wantTrailers", () => stream.sendTrailers(trailers));
        for await (const chunk of stream) if (!stream.write(chunk)) await room(stream);
        stream.end();
      } else {
        stream.respond({ ":status": 200, ...(what === "bytes" ? { "content-length": argument } : {}) });
        await pour(stream, Number(argument ?? 0));
        stream.end();
      }
    } catch (error) {
      say({ event: "failed", path: headers[":path"], error: String(error) });
    }
  });
  server.on("session", (session) => session.on("error", () => {}));
  server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
  process.stdin.on("end", () => process.exit(0)).resume();
}

const tasks = {
  /** POST of so many bytes with a trailer; what comes back is read at so many bytes a second (0: at once). */
  async echo(session, path, bytes, bytesASecond) {
    const stream = session.request({ ":method": "POST", ":path": path }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "42" }));
    const hash = createHash("sha256");
    let status = 0;
    stream.on("response", (headers) => (status = headers[":status"]));
    const sending = pour(stream, Number(bytes), hash).then(() => stream.end());
    const result = await digest(stream, Number(bytesASecond ?? 0));
    await sending;
    return { status, sent: hash.digest("hex"), ...result };
  },
  async get(session, path, bytesASecond) {
    const stream = session.request({ ":path": path });
    let status = 0;
    stream.on("response", (headers) => (status = headers[":status"]));
    return { ...(await digest(stream, Number(bytesASecond ?? 0))), status };
  },
  /** Messages of these sizes over extended CONNECT; then the last word: "close", "die" or none: we close. */
  async ws(session, path, last, ...sizes) {
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    const stream = session.request({ ":method": "CONNECT", ":protocol": "websocket", ":path": path, "sec-websocket-version": "13", "sec-websocket-protocol": "chat, other" });
    const headers = await new Promise((resolve, reject) => stream.once("response", resolve).once("error", reject));
    if (headers[":status"] !== 200) return { status: headers[":status"], body: (await digest(stream, 0)).bytes };
    const socket = webSocket(stream, false);
    const came = [];
    let code = 0;
    socket.on("message", (data) => came.push(data));
    socket.on("error", () => {});
    const closed = new Promise((resolve) => socket.once("close", (value) => resolve((code = value))));
    const sent = sizes.map((size) => randomBytes(Number(size)));
    for (const message of sent) socket.send(message);
    while (came.length < sent.length && code === 0) await sleep(1);
    if (last === "wait") await closed;
    else if (last === "none") socket.close(4001, "done");
    else if (last === "abort") stream.close(http2.constants.NGHTTP2_CANCEL);
    else socket.send(last);
    await closed;
    if (last === "abort") await sleep(100);
    return { status: 200, same: sent.every((message, i) => message.equals(came[i])), messages: came.length, code, protocol: headers["sec-websocket-protocol"] };
  },
};

const [role, ...rest] = process.argv.slice(2);
if (role === "server") serve(JSON.parse(rest[0] ?? "{}"));
else {
  const [port, task, ...args] = rest;
  const session = http2.connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 65_535 } });
  session.on("error", () => {});
  try {
    console.log(JSON.stringify(await tasks[task](session, ...args)));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
  process.exit(0);
}
