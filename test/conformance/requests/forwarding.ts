/** What a request looks like when it leaves, and what Fairlead answers itself. */
import { type RequestCase, answer, chunked, forward, get, message, post, refuse } from "../cases.ts";

function method(name: string): RequestCase {
  return forward(`method ${name}`, "RFC 9110 9", `${name} /x HTTP/1.1\r\nHost: a.test\r\n\r\n`, { line: `${name} /x HTTP/1.1` });
}

/** A field that concerns only this connection. */
function removed(name: string, value: string): RequestCase {
  return forward(`${name} is removed`, "RFC 9110 7.6.1", get(`${name}: ${value}`, "X-Stays: 1"), { lacks: [name], has: { "x-stays": "1" } });
}

export const forwarding: readonly RequestCase[] = [
  ...["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "QUERY", "FROB", "get", "M-SEARCH"].map(method),

  forward("a field that Connection nominates is removed", "RFC 9110 7.6.1", get("Connection: X-Secret", "X-Secret: 1", "X-Stays: 1"), { lacks: ["X-Secret"], has: { "x-stays": "1" } }),
  forward("nominations in a list, in any case, with blanks", "RFC 9110 7.6.1", get("Connection: keep-alive ,\tx-sEcRet,, x-other", "X-Secret: 1", "X-Other: 2", "X-Secret: 3"), { lacks: ["X-Secret", "X-Other"] }),
  forward("nominations on two Connection lines", "RFC 9110 7.6.1", get("X-A: 1", "Connection: x-a", "X-B: 2", "Connection: x-b"), { lacks: ["X-A", "X-B"] }),
  forward("a nominated Cookie and Authorization", "RFC 9110 7.6.1", get("Connection: cookie", "Cookie: a=b"), { lacks: ["Cookie"] }),
  forward("a nominated name that is a prefix of another", "RFC 9110 7.6.1", get("Connection: x-a", "X-A: 1", "X-AB: 2"), { lacks: ["X-A"], has: { "x-ab": "2" } }),
  forward("Connection itself does not go on with its nominations", "RFC 9110 7.6.1", get("Connection: x-secret"), { has: {}, lacks: ["X-Secret"] }),
  forward("Host cannot be nominated", "RFC 9110 7.6.1", get("Connection: host"), { has: { host: "a.test" } }),
  forward("Content-Length cannot be nominated", "RFC 9110 7.6.1", post(["Connection: content-length", "Content-Length: 5"], "hello"), { body: "hello" }),
  forward("Transfer-Encoding cannot be nominated", "RFC 9110 7.6.1", chunked("5\r\nhello\r\n0\r\n\r\n", "Connection: transfer-encoding"), { body: "hello" }),
  forward("X-Forwarded-For cannot be nominated", "RFC 9110 7.6.1", get("Connection: x-forwarded-for, x-forwarded-proto, x-forwarded-host"), {
    has: { "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-host": "a.test" },
  }),

  removed("Keep-Alive", "timeout=5"),
  removed("Proxy-Connection", "keep-alive"),
  removed("Proxy-Authorization", "Basic x"),
  removed("Proxy-Authenticate", "Basic"),
  removed("Upgrade", "websocket"),
  forward("TE other than trailers is removed", "RFC 9110 10.1.4", get("Connection: TE", "TE: gzip"), { lacks: ["TE"] }),
  forward("TE: trailers may stay, the rest of it not", "RFC 9110 7.6.1", get("Connection: TE", "TE: gzip;q=0.5, trailers"), { has: {} }),
  forward("an upgrade to h2c is not passed on", "RFC 9110 7.8", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), { lacks: ["Upgrade", "HTTP2-Settings"] }),

  forward("Via is added", "RFC 9110 7.6.3", get(), { has: { via: /^1\.1 \S+/ } }),
  forward("Via is added behind the one that came", "RFC 9110 7.6.3", get("Via: 1.0 fred"), { has: { via: /^1\.0 fred, 1\.1 \S+/ } }),
  forward("X-Forwarded-* of an untrusted client is overwritten", "RFC 9110 7.6.3", get("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test"), {
    has: { "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-host": "a.test" },
  }),
  forward("X-Forwarded-For on two lines and in another case", "RFC 9110 7.6.3", get("x-forwarded-for: 1.2.3.4", "X-FORWARDED-FOR: 5.6.7.8"), { has: { "x-forwarded-for": "127.0.0.1" } }),

  forward("field names keep their case and their order", "forwarding rules: lines are copied", get("x-LoWeR: 1", "X-Second: 2"), { has: { "x-lower": "1" } }),
  forward("two Cookie lines stay two", "RFC 9112 5.1", get("Cookie: a=1", "Cookie: b=2"), { has: { cookie: "a=1, b=2" } }),

  forward("Expect: 100-continue with the body at once", "RFC 9110 10.1.1", post(["Expect: 100-continue", "Content-Length: 5"], "hello"), { body: "hello", has: { expect: /^100-continue$/i } }),
  forward("Expect: 100-Continue in another case", "RFC 9110 10.1.1", post(["Expect: 100-Continue", "Content-Length: 5"], "hello"), { body: "hello" }),
  refuse("another expectation", "RFC 9110 10.1.1", post(["Expect: tea", "Content-Length: 5"], "hello"), [417]),
  refuse("two expectations", "RFC 9110 10.1.1", get("Expect: 100-continue, tea"), [417]),

  answer("TRACE", "RFC 9110 9.3.8", "TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n", 405),
  answer("TRACE with Max-Forwards: 0", "RFC 9110 9.3.8", "TRACE / HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 0\r\n\r\n", 405),
  answer("OPTIONS with Max-Forwards: 0", "RFC 9110 7.6.2", message("OPTIONS", ["Max-Forwards: 0"]), 200, 204),
  answer("OPTIONS * with Max-Forwards: 0", "RFC 9110 7.6.2", "OPTIONS * HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 0\r\n\r\n", 200, 204),
  forward("OPTIONS with Max-Forwards: 5 counts down", "RFC 9110 7.6.2", message("OPTIONS", ["Max-Forwards: 5"]), { has: { "max-forwards": "4" } }),

  forward("HTTP/1.0 is sent on as HTTP/1.1", "RFC 9110 2.5", "GET /x HTTP/1.0\r\nHost: a.test\r\n\r\n", { line: "GET /x HTTP/1.1" }),
  forward("HTTP/1.0 with a body", "RFC 9112 6.3", "POST /x HTTP/1.0\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello", { line: "POST /x HTTP/1.1", body: "hello" }),
  forward("HTTP/1.0 keep-alive, two requests", "RFC 9112 9.3", "GET /1 HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\nHost: a.test\r\n\r\n", { line: "GET /1 HTTP/1.1" }, { line: "GET /2 HTTP/1.1" }),
  forward("Connection: close, and nothing behind it is read", "RFC 9112 9.6", `${get("Connection: close")}GET /behind HTTP/1.1\r\nHost: a.test\r\n\r\n`, { line: "GET / HTTP/1.1" }),
];
