/**
 * Real clients, run by Node itself (Bun answers `import "undici"` and `import "ws"` with its own).
 * `node node-client.mjs TASK URL [ARGUMENT …]` prints one JSON object.
 */
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import { request as undiciRequest, Pool, fetch as undiciFetch } from "undici";
import WebSocket from "ws";

const [task, url, ...rest] = process.argv.slice(2);

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

function nodeRequest(options, send = (request) => request.end()) {
  return new Promise((resolve, reject) => {
    const informations = [];
    const request = http.request(url, options, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("aborted", () => reject(new Error("aborted")));
      response.on("end", () => {
        const body = Buffer.concat(chunks);
        resolve({ status: response.statusCode, headers: response.headers, trailers: response.trailers, bytes: body.length, sha256: sha256(body), body: body.length < 4096 ? body.toString() : "", informations, complete: response.complete });
      });
    });
    request.on("information", (information) => informations.push({ status: information.statusCode, headers: information.headers }));
    request.on("error", reject);
    send(request);
  });
}

const tasks = {
  /** COUNT requests over a pool of CONNECTIONS, pipelined DEPTH deep. */
  async "undici-pool"(count, connections, depth) {
    const { origin, pathname } = new URL(url);
    const pool = new Pool(origin, { connections: Number(connections), pipelining: Number(depth) });
    const statuses = {};
    await Promise.all(
      Array.from({ length: Number(count) }, async (_, i) => {
        const { statusCode, body } = await pool.request({ path: `${pathname}?${i}`, method: "GET" });
        const text = await body.text();
        const key = text.includes(`?${i}"`) || text.endsWith(`?${i}`) ? statusCode : `wrong body ${text}`;
        statuses[key] = (statuses[key] ?? 0) + 1;
      }),
    );
    await pool.close();
    return statuses;
  },
  async "undici-post"(bytes) {
    const body = randomBytes(Number(bytes));
    const response = await undiciRequest(url, { method: "POST", body });
    return { status: response.statusCode, sent: sha256(body), ...(await response.body.json()) };
  },
  async "undici-stream"(bytes) {
    const block = randomBytes(65536);
    const hash = createHash("sha256");
    async function* blocks() {
      for (let sent = 0; sent < Number(bytes); sent += block.length) {
        hash.update(block);
        yield block;
      }
    }
    const response = await undiciFetch(url, { method: "POST", body: blocks(), duplex: "half" });
    return { status: response.status, sent: hash.digest("hex"), ...(await response.json()) };
  },
  async "undici-get"() {
    const response = await undiciRequest(url);
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const chunk of response.body) {
      hash.update(chunk);
      bytes += chunk.length;
    }
    return { status: response.statusCode, bytes, sha256: hash.digest("hex") };
  },
  async "node-get"() {
    return nodeRequest({ agent: false });
  },
  async "node-keep-alive"(count) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const results = [];
    const ports = new Set();
    for (let i = 0; i < Number(count); i++) {
      results.push((await nodeRequest({ agent }, (request) => request.on("socket", (socket) => socket.once("connect", () => ports.add(socket.localPort))).end())).status);
    }
    agent.destroy();
    return { statuses: results, connections: ports.size };
  },
  async "node-trailers"() {
    return nodeRequest({ method: "POST", headers: { trailer: "x-checksum", "transfer-encoding": "chunked" } }, (request) => {
      request.write("one ");
      request.write("two");
      request.addTrailers({ "x-checksum": "abc" });
      request.end();
    });
  },
  async "node-continue"() {
    let continued = false;
    const reply = await nodeRequest({ method: "POST", headers: { expect: "100-continue", "content-length": 5 } }, (request) => {
      request.on("continue", () => {
        continued = true;
        request.end("12345");
      });
      request.flushHeaders();
    });
    return { ...reply, continued };
  },
  /** Messages of the given sizes, text and binary; each must come back as it went. */
  async ws(...sizes) {
    const socket = new WebSocket(url, { perMessageDeflate: false });
    const came = [];
    socket.on("message", (data) => came.push(data));
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    const sent = sizes.map((size) => randomBytes(Number(size)));
    for (const message of sent) socket.send(message);
    while (came.length < sent.length) await new Promise((resolve) => socket.once("message", resolve));
    const same = sent.every((message, i) => message.equals(came[i]));
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.close(4001, "done");
    return { same, messages: came.length, code: await closed };
  },
};

try {
  console.log(JSON.stringify(await tasks[task](...rest)));
} catch (error) {
  console.log(JSON.stringify({ error: String(error), code: error?.code, cause: String(error?.cause ?? "") }));
}
process.exit(0);
