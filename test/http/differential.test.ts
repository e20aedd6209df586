/**
 * Differential fuzz against llhttp: whatever we accept, Node's parser must read as the same message with the same end.
 * We may be stricter; we must never read something else. Failures print the message; FAIRLEAD_SEED replays a run.
 */
import { describe, expect, test } from "bun:test";
import { Parse } from "../../src/http/h1/head.ts";
import { REQUEST, RESPONSE, oracle } from "./llhttp.ts";
import { UNWANTED_TRAILER, readReply, readRequest, type Read } from "./read.ts";

const seed = Number(process.env["FAIRLEAD_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = Number(process.env["FAIRLEAD_ROUNDS"] ?? 60_000);

/** mulberry32: small, seeded, good enough to mutate bytes. */
function generator(state: number): (below: number) => number {
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const requests = [
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET /a/b?c=d HTTP/1.1\r\nHost: example.com:8080\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
  "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
  "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;e=f\r\nabc\r\n0\r\n\r\n",
  "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\na\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
  "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET / HTTP/1.0\r\n\r\n",
  "DELETE /x HTTP/1.1\r\nHost: a\r\nX-A: \t b \r\nX-Empty:\r\n\r\n",
];
const replies = [
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: v\r\n\r\n",
  "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
  "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
  "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
];
const spice = ["\r\n", "\n", "\r", " ", "\t", "\0", "\v", ":", ",", ";", "Content-Length: 3\r\n", "Content-Length", "Transfer-Encoding: chunked\r\n", "chunked", "Host: a\r\n", "0", "0\r\n\r\n", "1", "+", "-", "0x", "HTTP/1.1", "HTTP/1.0", "\xe4", "\x7f", '"', "\\", "_", "close", "GET ", "http://"];

function mutate(text: string, below: (n: number) => number): Buffer {
  let mutated = text;
  for (let times = below(4); times >= 0; times--) {
    const at = below(mutated.length + 1);
    switch (below(5)) {
      case 0:
        mutated = mutated.slice(0, at) + mutated.slice(at + 1 + below(3));
        break;
      case 1:
        mutated = mutated.slice(0, at) + String.fromCharCode(below(256)) + mutated.slice(at + 1);
        break;
      case 2: {
        const end = at + below(20);
        mutated = mutated.slice(0, end) + mutated.slice(at, end) + mutated.slice(end);
        break;
      }
      default:
        mutated = mutated.slice(0, at) + spice[below(spice.length)]! + mutated.slice(at);
    }
  }
  return Buffer.from(mutated, "latin1");
}

/** llhttp knows a list of methods; what is no method to it says nothing about framing. */
const INVALID_METHOD = 6;
/** It refuses `Connection: upgrade` and CONNECT with an "upgrade" pause: the rest is not HTTP to it. */
const PAUSED_UPGRADE = 22;

function compare(bytes: Buffer, mine: Read, type: typeof REQUEST | typeof RESPONSE): void {
  // Only our message: what follows it is the next one's business.
  let message = bytes.subarray(0, mine.used);
  let { error, messages } = oracle(type, message);
  if (error === INVALID_METHOD || error === PAUSED_UPGRADE) return;
  let trailers = mine.trailers;
  if (error !== 0 || messages.length !== 1) {
    // It refuses some chunk extensions, blanks and trailers that we take away: then what we send on must be good.
    trailers = trailers.filter(([name]) => !UNWANTED_TRAILER.test(name));
    message = Buffer.from(mine.wire, "latin1");
    ({ error, messages } = oracle(type, message));
  }
  const where = `seed ${seed}: ${JSON.stringify(bytes.toString("latin1"))}`;
  expect({ where, error, count: messages.length }).toEqual({ where, error: 0, count: 1 });
  const theirs = messages[0]!;
  const fields = [...mine.fields, ...trailers];
  expect({ where, body: theirs.body, names: theirs.names, values: theirs.values.map((value) => value.replace(/[ \t]+$/, "")) }).toEqual({
    where,
    body: mine.body,
    names: fields.map(([name]) => name),
    values: fields.map(([, value]) => value),
  });
}

describe("differential fuzz against llhttp", () => {
  test(`what we accept as a request is the same request to llhttp (seed ${seed})`, () => {
    const below = generator(seed);
    let accepted = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = mutate(requests[below(requests.length)]!, below);
      const mine = readRequest(bytes);
      if (mine.result !== Parse.OK) continue;
      accepted++;
      compare(bytes, mine, REQUEST);
    }
    // The mutations leave many messages whole; otherwise nothing was compared.
    expect(accepted).toBeGreaterThan(ROUNDS / 20);
  });

  test(`what we accept as a reply is the same reply to llhttp (seed ${seed})`, () => {
    const below = generator(seed + 1);
    let accepted = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = mutate(replies[below(replies.length)]!, below);
      const mine = readReply(bytes);
      // A reply without a length ends with the connection: llhttp cannot say it is whole.
      if (mine.result !== Parse.OK || (mine.used === bytes.length && !/content-length|transfer-encoding|^HTTP\/1.. (1|204|304)/i.test(bytes.toString("latin1")))) continue;
      // llhttp does not count interim replies as messages.
      if (mine.start.startsWith("1")) continue;
      if (!mine.fields.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name))) continue;
      accepted++;
      compare(bytes, mine, RESPONSE);
    }
    expect(accepted).toBeGreaterThan(ROUNDS / 20);
  });
});
