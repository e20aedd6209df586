/** What each kind of client does once: a promise that fails when it did not get what it should have. Node's own clients, and sockets where those are too well-behaved. */
import { createSocket } from "node:dgram";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";
import WebSocket from "ws";

/** Longest that any of it takes, in ms. */
const PATIENCE = 15_000;
const HOST = "127.0.0.1";
/** Of one HTTP/2 connection. */
const STREAMS = 100;
const BODY = Buffer.alloc(256 * 1024, "b");

/** A promise around `run`, which gets two callbacks, and what is to be ended when it takes too long. */
function once(run) {
  return new Promise((done, failed) => {
    let end = () => {};
    const timer = setTimeout(() => {
      failed(new Error("took too long"));
      end();
    }, PATIENCE);
    const settle = (how) => (value) => {
      clearTimeout(timer);
      how(value);
    };
    end = run(settle(done), settle(failed)) ?? end;
  });
}

export class Clients {
  /** @param ports {http, https, tcp, udp} @param ca PEM @param dice () => number from 0 to below 1 */
  constructor(ports, ca, dice) {
    this.ports = ports;
    this.ca = ca;
    this.dice = dice;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
    this.session = undefined;
    this.h2 = undefined;
    this.h2c = undefined;
    this.cookie = undefined;
  }

  /** What is kept between requests ends. */
  end() {
    this.agent.destroy();
    this.h2?.close();
    this.h2c?.close();
    this.h2 = this.h2c = undefined;
  }

  below(end) {
    return Math.floor(this.dice() * end);
  }

  /** One request; `bytes`: how long the body of its reply is. */
  request({ path, method = "GET", body, chunked = false, status = 200, bytes, agent = this.agent, headers = {}, secure }) {
    return once((done, failed) => {
      const options = { host: HOST, port: secure === undefined ? this.ports.http : this.ports.https, path, method, agent, headers, ...secure };
      const request = (secure === undefined ? http : https).request(options, (response) => {
        let length = 0;
        response.on("data", (chunk) => (length += chunk.length));
        response.on("error", failed);
        response.on("end", () => {
          if (response.statusCode !== status) failed(new Error(`status ${response.statusCode}`));
          else if (bytes !== undefined && length !== bytes) failed(new Error(`${length} bytes instead of ${bytes}`));
          else done(response);
        });
      });
      request.on("error", failed);
      if (body !== undefined && !chunked) request.setHeader("content-length", body.length);
      if (chunked) for (let at = 0; at < body.length; at += 8_000) request.write(body.subarray(at, at + 8_000));
      request.end(chunked ? undefined : body);
      return () => request.destroy();
    });
  }

  /** A connection that writes `text` and is looked at by `watch`, which ends it. */
  raw(port, text, watch) {
    return once((done, failed) => {
      const socket = net.connect({ host: HOST, port, noDelay: true, allowHalfOpen: true }, () => socket.write(text));
      socket.on("error", failed);
      watch(socket, done, failed);
      return () => socket.destroy();
    });
  }

  connect2(secure) {
    const session = http2.connect(secure ? `https://${HOST}:${this.ports.https}` : `http://${HOST}:${this.ports.http}`, secure ? { ca: this.ca, servername: "localhost" } : {});
    return session.on("error", () => {});
  }

  /** A stream of a connection that is kept for a hundred of them. */
  stream(secure, headers, use) {
    const key = secure ? "h2" : "h2c";
    const known = this[key];
    const session = known === undefined || known.destroyed || known.closed ? Object.assign(this.connect2(secure), { streams: 0 }) : known;
    const last = ++session.streams === STREAMS;
    this[key] = last ? undefined : session;
    return once((done, failed) => {
      const stream = session.request({ ":authority": "localhost", ...headers });
      // Sooner, Node's client refuses by itself what it has not sent yet.
      if (last) stream.on("close", () => session.close());
      stream.on("error", failed);
      use(stream, done, failed);
      return () => stream.close();
    });
  }
}

function whole(stream, bytes, done, failed) {
  let status = 0;
  let length = 0;
  stream.on("response", (headers) => (status = headers[":status"]));
  stream.on("data", (chunk) => (length += chunk.length));
  stream.on("end", () => (status === 200 && length === bytes ? done() : failed(new Error(status === 200 ? `${length} bytes instead of ${bytes}` : `status ${status}`))));
}

function websocket({ ports, below }, path, finish) {
  const messages = 1 + below(4);
  return once((done, failed) => {
    const socket = new WebSocket(`ws://${HOST}:${ports.http}${path}`, { perMessageDeflate: false });
    let came = 0;
    socket.on("error", failed);
    socket.on("open", () => socket.send(BODY.subarray(0, 1 + below(5_000))));
    socket.on("message", () => (++came < messages ? setTimeout(() => socket.readyState === WebSocket.OPEN && socket.send("again"), below(500)) : finish(socket, done)));
    socket.on("close", () => (came >= messages ? done() : failed(new Error("closed early"))));
    return () => socket.terminate();
  });
}

/** So much of each, by name: [weight, what a client does]. */
export const KINDS = {
  "keep-alive": [30, (c) => c.request({ path: "/w/bytes/200", bytes: 200 })],
  "new connection": [12, (c) => c.request({ path: "/w/bytes/200", bytes: 200, agent: false })],
  sticky: [6, async (c) => {
    const response = await c.request({ path: "/s/bytes/100", bytes: 100, headers: c.cookie === undefined ? {} : { cookie: c.cookie } });
    const [set] = response.headers["set-cookie"] ?? [];
    if (set !== undefined) c.cookie = set.split(";", 1)[0];
    if (c.below(50) === 0) c.cookie = undefined;
  }],
  "large reply": [2, (c) => c.request({ path: "/w/bytes/500000", bytes: 500_000 })],
  "chunked reply": [4, (c) => c.request({ path: "/w/chunked/50000", bytes: 50_000 })],
  "streamed reply": [2, (c) => c.request({ path: "/w/stream/10", bytes: 10_240 })],
  post: [5, (c) => {
    const bytes = c.below(BODY.length);
    return c.request({ path: "/w/echo", method: "POST", body: BODY.subarray(0, bytes), bytes });
  }],
  "chunked post": [2, (c) => c.request({ path: "/w/echo", method: "POST", body: BODY.subarray(0, 60_000), chunked: true, bytes: 60_000 })],
  "flaky target": [2, (c) => c.request({ path: "/w/flaky", bytes: 2 })],
  "to h2 target": [5, (c) => c.request({ path: `/h/bytes/${1 + c.below(3_000)}` })],
  "not found": [2, (c) => c.request({ path: "/nowhere", status: 404 })],
  "bad request": [2, (c) => c.raw(c.ports.http, "GET /w/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", (socket, done, failed) => {
    let text = "";
    socket.on("data", (chunk) => (text += chunk));
    socket.on("end", () => {
      socket.end();
      if (text.startsWith("HTTP/1.1 400")) done();
      else failed(new Error(text.slice(0, 20)));
    });
  })],
  pipelined: [1, (c) => c.raw(c.ports.http, "GET /w/bytes/10 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4) + "GET /w/bytes/10 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", (socket, done, failed) => {
    let text = "";
    socket.on("data", (chunk) => (text += chunk));
    socket.on("end", () => {
      socket.end();
      if (text.split("HTTP/1.1 200").length === 6) done();
      else failed(new Error(`${text.split("HTTP/1.1 200").length - 1} replies instead of 5`));
    });
  })],
  "leaves in the head": [1, (c) => c.raw(c.ports.http, "GET /w/ HT", (socket, done) => socket.on("connect", () => setTimeout(() => done(socket.destroy()), 20)))],
  "leaves in its body": [1, (c) => c.raw(c.ports.http, "POST /w/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nbegun", (socket, done) => socket.on("connect", () => setTimeout(() => done(socket.resetAndDestroy()), 20)))],
  "leaves in the reply": [2, (c) => c.raw(c.ports.http, "GET /w/bytes/1000000 HTTP/1.1\r\nHost: a\r\n\r\n", (socket, done, failed) => {
    socket.once("data", () => done(socket.destroy()));
    socket.on("end", () => failed(new Error("ended early")));
  })],
  "slow reader": [1, (c) => c.raw(c.ports.http, "GET /w/bytes/1000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", (socket, done, failed) => {
    let length = 0;
    socket.on("data", (chunk) => {
      length += chunk.length;
      socket.pause();
      setTimeout(() => socket.resume(), 30);
    });
    socket.on("end", () => {
      socket.end();
      if (length > 1_000_000) done();
      else failed(new Error(`${length} bytes`));
    });
  })],
  "TLS, full": [2, (c) => c.request({ path: "/w/bytes/300", bytes: 300, agent: false, secure: { ca: c.ca, servername: "localhost" } })],
  "TLS, resumed": [3, (c) => once((done, failed) => {
    const socket = tls.connect({ host: HOST, port: c.ports.https, ca: c.ca, servername: "localhost", session: c.session }, () => socket.write("GET /w/bytes/300 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    let length = 0;
    socket.on("session", (ticket) => (c.session = ticket));
    socket.on("data", (chunk) => (length += chunk.length));
    socket.on("error", failed);
    socket.on("end", () => (length > 300 ? done() : failed(new Error(`${length} bytes`))));
    return () => socket.destroy();
  })],
  "TLS, cut off": [1, (c) => c.raw(c.ports.https, Buffer.from([22, 3, 1, 0, 200, 1]), (socket, done) => socket.on("connect", () => setTimeout(() => done(socket.destroy()), 20)))],
  "h2 over TLS": [8, (c) => c.stream(true, { ":path": "/w/bytes/1000" }, (stream, done, failed) => whole(stream, 1_000, done, failed))],
  "h2 to h2 target": [4, (c) => c.stream(true, { ":path": "/h/bytes/20000" }, (stream, done, failed) => whole(stream, 20_000, done, failed))],
  "h2 in the clear": [4, (c) => c.stream(false, { ":path": "/w/chunked/40000" }, (stream, done, failed) => whole(stream, 40_000, done, failed))],
  "h2 post": [3, (c) => c.stream(true, { ":path": c.below(2) === 0 ? "/w/echo" : "/h/echo", ":method": "POST" }, (stream, done, failed) => {
    whole(stream, 100_000, done, failed);
    stream.end(BODY.subarray(0, 100_000));
  })],
  "h2 aborted": [3, (c) => c.stream(true, { ":path": c.below(2) === 0 ? "/w/stream/100" : "/h/stream/100" }, (stream, done, failed) => {
    stream.once("data", () => stream.close(http2.constants.NGHTTP2_CANCEL));
    stream.on("close", () => (stream.rstCode === http2.constants.NGHTTP2_CANCEL ? done() : failed(new Error(`code ${stream.rstCode}`))));
  })],
  "h2 left open": [0.3, (c) => once((done) => {
    const session = c.connect2(false);
    const stream = session.request({ ":authority": "localhost", ":path": "/w/stream/100" });
    stream.on("error", () => {});
    stream.once("data", () => done(session.destroy()));
    return () => session.destroy();
  })],
  websocket: [2, (c) => websocket({ ports: c.ports, below: (end) => c.below(end) }, "/w/ws", (socket) => socket.close(1000))],
  "websocket dropped": [1, (c) => websocket({ ports: c.ports, below: (end) => c.below(end) }, "/s/ws", (socket, done) => done(socket.terminate()))],
  tcp: [5, (c) => {
    const bytes = 1 + c.below(100_000);
    return c.raw(c.ports.tcp, BODY.subarray(0, bytes), (socket, done, failed) => {
      let length = 0;
      socket.on("connect", () => socket.end());
      socket.on("data", (chunk) => (length += chunk.length));
      socket.on("end", () => (length === bytes ? done() : failed(new Error(`${length} bytes instead of ${bytes}`))));
    });
  }],
  "tcp reset": [1, (c) => c.raw(c.ports.tcp, "hello", (socket, done) => socket.once("data", () => done(socket.resetAndDestroy())))],
  udp: [6, (c) => once((done, failed) => {
    const socket = createSocket("udp4");
    let left = 1 + c.below(4);
    const end = (how) => (value) => {
      clearInterval(again);
      socket.close();
      how(value);
    };
    const ask = () => socket.send(BODY.subarray(0, 1 + c.below(1_000)), c.ports.udp, HOST);
    // A datagram may be lost.
    const again = setInterval(ask, 1_000);
    socket.on("message", () => (--left === 0 ? end(done)() : ask()));
    socket.on("error", end(failed));
    ask();
    return end(() => {});
  })],
};
