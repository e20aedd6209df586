/**
 * A gRPC server, and a gRPC client that is told what to do: `@grpc/grpc-js` as Node runs it, in a process of its own.
 * `node grpc-node.mjs server OPTIONS` or `node grpc-node.mjs client`; one JSON object a line, both ways.
 *
 * The service test.Echo has no .proto: messages are bytes.
 *
 * Server: first says `{ port }`, then what happened to calls; hears "shutdown" (in good order), "die" and "heal" on its input. What a call's
 * metadata ask for: x-fail CODE, x-delay MS, x-size BYTES, x-count MESSAGES, x-silent (no initial metadata of its own accord).
 */
import { createHash, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import grpc from "@grpc/grpc-js";

const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const lines = createInterface({ input: process.stdin });
lines.on("close", () => process.exit(0));
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

const same = (bytes) => bytes;
const method = (name, requestStream, responseStream) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});
const service = { unary: method("Unary", false, false), upload: method("Upload", true, false), download: method("Download", false, true), chat: method("Chat", true, true) };

/** Metadata as plain values; what ends in -bin as base64. */
function plain(metadata) {
  const all = {};
  for (const key of Object.keys(metadata?.getMap() ?? {})) all[key] = metadata.get(key).map((value) => (Buffer.isBuffer(value) ? value.toString("base64") : value)).join("|");
  return all;
}

function metadataOf(values = {}) {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(values)) for (const one of [value].flat()) metadata.add(key, key.endsWith("-bin") ? Buffer.from(one, "base64") : String(one));
  return metadata;
}

function serve({ name = "echo", fail, port = 0, unary = true, server: settings = {} }) {
  const server = new grpc.Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1, ...settings });
  let failing = fail;
  const asked = (call, key) => call.metadata.get(key)[0];
  const trailers = () => metadataOf({ "x-trailer": "last words", "x-trailer-bin": Buffer.from([0, 255, 1, 10]).toString("base64") });
  const failure = (call) => {
    const code = failing ?? asked(call, "x-fail");
    if (code === undefined) return undefined;
    const metadata = trailers();
    metadata.set("grpc-status-details-bin", Buffer.from([8, Number(code), 18, 4, 0, 200, 10, 13]));
    return { code: Number(code), details: `no: ${name}, 100 % ü`, metadata };
  };
  const heard = (kind) => (call, ...rest) => {
    call.setMaxListeners(0);
    say({ event: "call", kind, peer: call.getPeer(), deadline: Number.isFinite(Number(call.getDeadline())) && Number(call.getDeadline()) > 0 ? Number(call.getDeadline()) - Date.now() : 0 });
    call.on("cancelled", () => say({ event: "cancelled", kind }));
    return handlers[kind](call, ...rest);
  };
  const greet = (call) => {
    if (asked(call, "x-silent") === undefined) call.sendMetadata(metadataOf({ "x-server": name, "x-got": JSON.stringify(plain(call.metadata)), "x-initial-bin": Buffer.from([0, 128, 255]).toString("base64") }));
  };
  const handlers = {
    async unary(call, done) {
      const delay = asked(call, "x-delay");
      if (delay !== undefined) await sleep(Number(delay));
      const failed = failure(call);
      if (failed !== undefined) return done(failed);
      greet(call);
      const size = asked(call, "x-size");
      done(null, size === undefined ? call.request : randomBytes(Number(size)), trailers());
    },
    async upload(call, done) {
      greet(call);
      let messages = 0;
      let bytes = 0;
      const hash = createHash("sha256");
      try {
        for await (const message of call) {
          messages++;
          bytes += message.length;
          hash.update(message);
        }
      } catch {
        return;
      }
      done(null, Buffer.from(JSON.stringify({ messages, bytes, sha256: hash.digest("hex") })), trailers());
    },
    async download(call) {
      greet(call);
      const [count, size, delay] = ["x-count", "x-size", "x-delay"].map((key) => Number(asked(call, key) ?? 0));
      for (let i = 0; i < count && !call.cancelled; i++) {
        if (delay > 0) await sleep(delay);
        if (!call.write(size === 0 ? Buffer.from(String(i)) : Buffer.alloc(size, i))) await new Promise((resolve) => call.once("drain", resolve).once("cancelled", resolve));
      }
      const failed = failure(call);
      if (failed === undefined) call.end(trailers());
      else call.emit("error", failed);
    },
    chat(call) {
      greet(call);
      call.on("data", (message) => call.write(Buffer.concat([Buffer.from(`${name}:`), message])));
      call.on("end", () => call.end(trailers()));
      call.on("error", () => {});
    },
  };
  const { unary: unaryMethod, ...others } = service;
  server.addService(unary ? service : others, Object.fromEntries(Object.keys(unary ? { unary: unaryMethod, ...others } : others).map((kind) => [kind, heard(kind)])));
  server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error, bound) => say(error === null ? { port: bound } : { error: String(error) }));
  lines.on("line", (line) => {
    if (line === "die") process.exit(1);
    if (line === "heal") failing = undefined;
    if (line === "shutdown") server.tryShutdown(() => say({ event: "shut down" }));
  });
}

function steer() {
  const channels = new Map();
  const calls = new Map();
  const client = ({ port, channel = "main", options = {} }) => {
    const key = `${port} ${channel}`;
    if (!channels.has(key)) {
      channels.set(key, new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1, "grpc.enable_retries": 0, "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1, ...options }));
    }
    return channels.get(key);
  };
  const args = ({ metadata, deadline }) => [metadataOf(metadata), deadline === undefined ? {} : { deadline: Date.now() + deadline }];
  const bytesOf = ({ text, size }) => (size === undefined ? Buffer.from(text ?? "hello") : randomBytes(size));
  /** What became of a call, once it is over. */
  const watch = (call, result) => {
    const began = performance.now();
    const messages = [];
    call.setMaxListeners(0);
    return {
      messages,
      done: new Promise((resolve) => {
        let initial = {};
        call.on("metadata", (metadata) => (initial = plain(metadata)));
        call.on("data", (message) => messages.push(message));
        call.on("error", () => {});
        call.on("status", ({ code, details, metadata }) =>
          setImmediate(() => resolve({ code, details, initial, trailers: plain(metadata), milliseconds: performance.now() - began, messages: messages.length, bytes: messages.reduce((sum, { length }) => sum + length, 0), text: messages.length === 1 && messages[0].length < 4096 ? messages[0].toString() : "", sha256: sha256(Buffer.concat(messages)), ...result })),
        );
      }),
    };
  };
  const single = (kind, request) => {
    const path = request.path ?? service[kind].path;
    const message = bytesOf(request);
    let reply = Buffer.alloc(0);
    const call = client(request).makeUnaryRequest(path, same, same, message, ...args(request), (_error, value) => (reply = value ?? reply));
    const { done } = watch(call, { sent: sha256(message) });
    return { call, done: done.then((result) => ({ ...result, bytes: reply.length, text: reply.length < 4096 ? reply.toString() : "", sha256: sha256(reply) })) };
  };
  const tally = (results) => {
    const codes = {};
    const servers = {};
    for (const { code, details, initial } of results) {
      codes[code === 0 ? "OK" : `${code} ${details}`] = (codes[code === 0 ? "OK" : `${code} ${details}`] ?? 0) + 1;
      const name = initial["x-server"] ?? "-";
      servers[name] = (servers[name] ?? 0) + 1;
    }
    return { calls: results.length, codes, servers };
  };
  const loads = new Map();
  const tasks = {
    unary: (request) => single("unary", request).done,
    async many(request) {
      return tally(await Promise.all(Array.from({ length: request.count }, () => single("unary", request).done)));
    },
    /** Calls again and again, so many at a time, until `loaded`. */
    load(request) {
      const load = { running: true, results: [] };
      load.workers = Array.from({ length: request.count }, async () => {
        while (load.running) load.results.push(await single("unary", request).done);
      });
      loads.set(request.name, load);
      return {};
    },
    async loaded({ name }) {
      const load = loads.get(name);
      load.running = false;
      await Promise.all(load.workers);
      return tally(load.results);
    },
    progress: ({ name }) => ({ calls: loads.get(name).results.length }),
    async upload(request) {
      const hash = createHash("sha256");
      let reply = Buffer.alloc(0);
      const call = client(request).makeClientStreamRequest(service.upload.path, same, same, ...args(request), (_error, value) => (reply = value ?? reply));
      const { done } = watch(call, {});
      for (let i = 0; i < request.count; i++) {
        const message = randomBytes(request.size);
        hash.update(message);
        if (!call.write(message)) await new Promise((resolve) => call.once("drain", resolve).once("status", resolve));
      }
      call.end();
      return { ...(await done), sent: hash.digest("hex"), text: reply.toString() };
    },
    /** @param cancelAfter so many messages */
    async download(request) {
      const call = client(request).makeServerStreamRequest(service.download.path, same, same, bytesOf(request), ...args(request));
      const { done } = watch(call, {});
      let came = 0;
      call.on("data", () => {
        if (++came === request.cancelAfter) call.cancel();
        if (request.pause !== undefined && came === 1) {
          call.pause();
          setTimeout(() => call.resume(), request.pause);
        }
      });
      return done;
    },
    /** Open a chat that goes on until it is ended, cancelled or broken. */
    open(request) {
      const call = client(request).makeBidiStreamRequest(service.chat.path, same, same, ...args(request));
      calls.set(request.name, { call, ...watch(call, {}) });
      return {};
    },
    /** Say something and wait for so many messages in all. */
    async tell({ name, text, size, until: wanted }) {
      const { call, messages, done } = calls.get(name);
      let over;
      void done.then((result) => (over = result));
      call.write(bytesOf({ text, size }));
      while (messages.length < wanted && over === undefined) await sleep(1);
      return { messages: messages.length, last: messages.at(-1)?.subarray(0, 100).toString() ?? "", bytes: messages.reduce((sum, { length }) => sum + length, 0), ...(over === undefined ? {} : { over: over.code }) };
    },
    async end({ name }) {
      const { call, done } = calls.get(name);
      call.end();
      return done;
    },
    async cancel({ name }) {
      const { call, done } = calls.get(name);
      call.cancel();
      return done;
    },
    /** How it ended of itself. */
    over: ({ name }) => calls.get(name).done,
    close({ port, channel }) {
      client({ port, channel }).close();
      channels.delete(`${port} ${channel}`);
      return {};
    },
  };
  lines.on("line", async (line) => {
    const { id, task, ...request } = JSON.parse(line);
    try {
      say({ id, result: await tasks[task](request) });
    } catch (error) {
      say({ id, error: String(error?.stack ?? error) });
    }
  });
  say({ port: 0 });
}

if (process.argv[2] === "server") serve(JSON.parse(process.argv[3] ?? "{}"));
else steer();
