/** Published desync attacks that need no malformed framing: bodies that somebody ignores, pauses, Expect, upgrades. */
import { type Expected, type RequestCase, atMost, either, forward, get, message, post, refuse, room } from "../cases.ts";

const BROWSER = "Kettle: Browser-Powered Desync Attacks (2022)";
const ENDGAME = "Kettle: HTTP/1.1 must die: the desync endgame (2025)";
const TE0 = "Arnolfo, bsysop and Medusa: TE.0 HTTP Request Smuggling (2024)";
const H2C = "Miller: h2c Smuggling (2020)";

/** RFC 6455 section 4.1. */
const WEBSOCKET = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];

const EVIL = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

/** The body of any method is body, whoever expects none. */
function body(name: string, source: string, method: string, path = "/"): RequestCase {
  return forward(name, source, `${method} ${path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`, { line: `${method} ${path} HTTP/1.1`, body: EVIL });
}

function chunkedBody(name: string, source: string, method: string, path = "/"): RequestCase {
  return forward(name, source, `${method} ${path} HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n${EVIL.length.toString(16)}\r\n${EVIL}\r\n0\r\n\r\n`, { line: `${method} ${path} HTTP/1.1`, body: EVIL });
}

/** The head first, then a pause in which the back end may already answer, then a body that looks like a request. */
function paused(name: string, source: string, text: string, line: string, backend?: "early"): RequestCase {
  const one = atMost(name, source, text, { line, body: EVIL });
  return { ...one, pauseAt: text.length - EVIL.length, ...(backend === undefined ? {} : { backend }) };
}

function early(name: string, text: string, ...requests: readonly Expected[]): RequestCase {
  return { ...atMost(name, BROWSER, text, ...requests), backend: "early" };
}

function upgrade(name: string, ...fields: readonly string[]): RequestCase {
  return { name, source: H2C, send: `${get(...fields)}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`, end: false, backend: "agreeable", verdict: { kind: "no tunnel", protocols: ["h2c", "http"] } };
}

export const desync: readonly RequestCase[] = [
  body("CL.0: a POST to what takes none", BROWSER, "POST", "/favicon.ico"),
  body("CL.0: a GET with a body", BROWSER, "GET", "/static/image.png"),
  body("CL.0: a HEAD with a body", BROWSER, "HEAD"),
  body("CL.0: an OPTIONS with a body", BROWSER, "OPTIONS"),
  body("CL.0: a DELETE with a body", BROWSER, "DELETE"),
  body("CL.0: a path that redirects", BROWSER, "POST", "/..%2f"),
  body("CL.0: OPTIONS * with a body", BROWSER, "OPTIONS", "*"),
  early("CL.0: the back end answers before it has the body", post([`Content-Length: ${EVIL.length}`], EVIL), { body: EVIL }),
  early("CL.0: it answers early, and a request is pipelined behind the body", `${post([`Content-Length: ${EVIL.length}`], EVIL)}${get("X-Second: 1")}`, { body: EVIL }, { line: "GET / HTTP/1.1", has: { "x-second": "1" } }),
  chunkedBody("TE.0: an OPTIONS with chunks", TE0, "OPTIONS"),
  chunkedBody("TE.0: a GET with chunks", TE0, "GET"),
  chunkedBody("TE.0: a HEAD with chunks", TE0, "HEAD"),
  chunkedBody("TE.0: OPTIONS * with chunks", TE0, "OPTIONS", "*"),
  early("TE.0: the back end answers before it has the chunks", post(["Transfer-Encoding: chunked"], `${EVIL.length.toString(16)}\r\n${EVIL}\r\n0\r\n\r\n`), { body: EVIL }),
  forward("client-side desync: a body of which each line looks like a request", BROWSER, post(["Content-Length: 80", "Content-Type: text/plain"], `${EVIL}${EVIL}`.slice(0, 80)), { body: `${EVIL}${EVIL}`.slice(0, 80) }),
  forward("client-side desync: a body in multipart/form-data", BROWSER, post([`Content-Length: ${EVIL.length + 2}`, "Content-Type: multipart/form-data; boundary=x"], `\r\n${EVIL}`), { body: `\r\n${EVIL}` }),

  paused("pause between head and body, with a length", BROWSER, post([`Content-Length: ${EVIL.length}`], EVIL), "POST / HTTP/1.1"),
  paused("pause between head and body, the back end answers meanwhile", BROWSER, post([`Content-Length: ${EVIL.length}`], EVIL), "POST / HTTP/1.1", "early"),
  paused("pause between head and body of a GET, the back end answers meanwhile", BROWSER, message("GET", [`Content-Length: ${EVIL.length}`], EVIL), "GET / HTTP/1.1", "early"),
  paused("pause with Expect: 100-continue, the back end answers with a final status", ENDGAME, post(["Expect: 100-continue", `Content-Length: ${EVIL.length}`], EVIL), "POST / HTTP/1.1", "early"),
  { ...either("pause inside the head", BROWSER, get("X-A: 1"), { line: "GET / HTTP/1.1" }), pauseAt: 24 },
  { ...either("pause inside a chunk's size", BROWSER, post(["Transfer-Encoding: chunked"], "10\r\n0123456789abcdef\r\n0\r\n\r\n"), { body: "0123456789abcdef" }), pauseAt: post(["Transfer-Encoding: chunked"], "1").length },
  { ...either("pause between CR and LF of the last line", BROWSER, post(["Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n"), { body: "hello" }), pauseAt: post(["Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r").length },

  forward("0.CL: a length with a space too many", ENDGAME, post([`Content-Length:  ${EVIL.length}`], EVIL), { body: EVIL, has: { "content-length": String(EVIL.length) } }),
  refuse("0.CL: a length on a folded line", ENDGAME, post(["Content-Length:", ` ${EVIL.length}`], EVIL)),
  refuse("0.CL: a length behind a bare LF", ENDGAME, post([`X: y\nContent-Length: ${EVIL.length}`], EVIL)),
  ...room("RFC 9112 5.2: a folded line may become part of the one before", refuse("0.CL: a length in a name with a space before it", ENDGAME, `POST / HTTP/1.1\r\nHost: a.test\r\n Content-Length: ${EVIL.length}\r\n\r\n${EVIL}`)),
  forward("0.CL: a name that only begins as the length", ENDGAME, `${post([`Content-Length-X: ${EVIL.length}`], "")}${get("X-Second: 1")}`, { line: "POST / HTTP/1.1", body: "" }, { line: "GET / HTTP/1.1", has: { "x-second": "1" } }),
  refuse("a Host hidden by a space", ENDGAME, "GET / HTTP/1.1\r\n Host: evil.test\r\nHost: a.test\r\n\r\n"),
  refuse("a Host behind a bare LF in the request line", ENDGAME, "GET / HTTP/1.1\nHost: evil.test\r\nHost: a.test\r\n\r\n"),

  refuse("Expect: y 100-continue", ENDGAME, post(["Expect: y 100-continue", `Content-Length: ${EVIL.length}`], EVIL), [400, 417]),
  refuse("Expect: 100-continue behind a bare LF", ENDGAME, post(["Expect: \n100-continue", `Content-Length: ${EVIL.length}`], EVIL), [400, 417]),
  refuse("Expect: 100-continue and junk behind it", ENDGAME, post(["Expect: 100-continue; x=y", "Content-Length: 5"], "hello"), [400, 417]),
  refuse("Expect twice", ENDGAME, post(["Expect: 100-continue", "Expect: 100-continue", "Content-Length: 5"], "hello"), [400, 417]),
  refuse("Expect with a length and chunks", ENDGAME, post(["Expect: 100-continue", "Content-Length: 5", "Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n")),
  either("an empty Expect", "RFC 9110 10.1.1", post(["Expect:", "Content-Length: 5"], "hello"), { body: "hello" }),
  forward("Expect: 100-continue without a body", "RFC 9110 10.1.1", get("Expect: 100-continue"), { line: "GET / HTTP/1.1" }),
  forward("Expect: 100-continue with chunks at once", "RFC 9110 10.1.1", post(["Expect: 100-continue", "Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n"), { body: "hello" }),
  forward("Expect in HTTP/1.0 is ignored", "RFC 9110 10.1.1", "POST / HTTP/1.0\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", { body: "hello" }),

  upgrade("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
  upgrade("Upgrade: h2c, not all of it nominated", "Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
  upgrade("Upgrade: H2C", "Connection: upgrade", "Upgrade: H2C", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
  upgrade("Upgrade: websocket, h2c", "Connection: Upgrade", "Upgrade: websocket, h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
  upgrade("Upgrade: h2c, websocket", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c, websocket"),
  upgrade("Upgrade: h2c and Upgrade: websocket on two lines", "Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"),
  upgrade("Upgrade: h2c with a blank behind a comma", "Connection: Upgrade", "Upgrade: , h2c\t"),
  upgrade("Upgrade: h2c/1", "Connection: Upgrade", "Upgrade: h2c/1"),
  upgrade("Upgrade: websocket, HTTP/2.0", "Connection: Upgrade", "Upgrade: websocket, HTTP/2.0"),
  upgrade("Upgrade: h2c without Connection", "Upgrade: h2c"),
  { ...forward("a websocket that is refused, and a request behind it", "RFC 9110 7.8", `${get(...WEBSOCKET)}${EVIL}`, { line: "GET / HTTP/1.1" }, { line: "GET /smuggled HTTP/1.1" }), h1Only: true },
  atMost("an upgrade with a body", "RFC 9110 7.8", post([...WEBSOCKET, `Content-Length: ${EVIL.length}`], EVIL), { line: "POST / HTTP/1.1", body: EVIL }),
  atMost("an upgrade with chunks", "RFC 9110 7.8", post([...WEBSOCKET, "Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n"), { line: "POST / HTTP/1.1", body: "hello" }),
  forward("an upgrade in HTTP/1.0 is ignored", "RFC 9110 7.8", "GET / HTTP/1.0\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: frob\r\n\r\n", { line: "GET / HTTP/1.1", lacks: ["Upgrade"] }),
];
