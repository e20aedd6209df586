/**
 * Differential fuzz against llhttp: whatever we accept, Node's parser must read as the same message with the same end.
 * We may be stricter; we must never read something else. Failures print the message; FAIRLEAD_SEED replays a run.
 */
import { describe, expect, test } from "bun:test";
import { Parse } from "../../src/http/h1/head.ts";
import { differsFromLlhttp, endsByItself } from "./llhttp-compare.ts";
import { REQUEST, RESPONSE } from "./llhttp.ts";
import { readReply, readRequest } from "./read.ts";

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

describe("differential fuzz against llhttp", () => {
  test(`what we accept as a request is the same request to llhttp (seed ${seed})`, () => {
    const below = generator(seed);
    let accepted = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = mutate(requests[below(requests.length)]!, below);
      const mine = readRequest(bytes);
      if (mine.result !== Parse.OK) continue;
      accepted++;
      expect(differsFromLlhttp(bytes, mine, REQUEST)).toBeUndefined();
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
      if (mine.result !== Parse.OK || !endsByItself(mine)) continue;
      accepted++;
      expect(differsFromLlhttp(bytes, mine, RESPONSE)).toBeUndefined();
    }
    expect(accepted).toBeGreaterThan(ROUNDS / 20);
  });
});
