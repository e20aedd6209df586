/** Published attacks by replies: splitting, queues of replies that slip, interim replies and upgrades that nobody asked for. */
import { type ResponseCase, bad, broken, gives, open } from "../cases.ts";

const SPLITTING = "Klein: Divide and Conquer: HTTP Response Splitting (2004)";
const QUEUE = "Doyhenard: Response Smuggling: Exploiting HTTP/1.1 Connections (2021)";
const BROWSER = "Kettle: Browser-Powered Desync Attacks (2022)";
const H2C = "Miller: h2c Smuggling (2020)";

const OK = "HTTP/1.1 200 OK\r\n";
const BODY = "Content-Length: 5\r\n\r\nhello";
const EVIL = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
/** RFC 6455 section 4.1. */
const WEBSOCKET = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];

function upgraded(name: string, source: string, send: string, asks: readonly string[], after: "stay" | "end" = "stay"): ResponseCase {
  return { ...bad(name, source, send, after), asks };
}

function interim(name: string, head: string, statuses: readonly number[]): ResponseCase {
  return gives(name, "RFC 9110 15.2", `${head}${OK}${BODY}`, { status: 200, body: "hello", interim: statuses });
}

export const splitting: readonly ResponseCase[] = [
  gives("a length of 0 and a second reply behind it", SPLITTING, `${OK}Content-Length: 0\r\n\r\n${EVIL}`, { status: 200, body: "" }),
  gives("a redirect that was split into two replies", SPLITTING, `HTTP/1.1 302 X\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n${EVIL}\r\n`, { status: 302, body: "", has: { location: "/a" } }),
  bad("a redirect whose Location was split by LF", SPLITTING, `HTTP/1.1 302 X\r\nLocation: /a\nContent-Length: 0\n\n${EVIL}`),
  bad("a cookie that was split by CR", SPLITTING, `${OK}Set-Cookie: a=b\rContent-Length: 0\r\r${EVIL}\r\n${BODY}`),
  gives("a second reply behind chunks", SPLITTING, `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n${EVIL}`, { status: 200, body: "hello" }),
  gives("a second reply behind a reply to HEAD", QUEUE, `${OK}Content-Length: 4\r\n\r\n${EVIL}`, { status: 200, body: "" }, "stay", "HEAD"),
  gives("the body of a reply to HEAD, which is a reply itself", QUEUE, `${OK}Content-Length: ${EVIL.length}\r\n\r\n${EVIL}`, { status: 200, body: "" }, "stay", "HEAD"),
  gives("chunks behind a reply to HEAD", QUEUE, `${OK}Transfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n`, { status: 200, body: "" }, "stay", "HEAD"),
  gives("a second reply behind 204", QUEUE, `HTTP/1.1 204 X\r\n\r\n${EVIL}`, { status: 204, body: "" }),
  gives("a second reply behind 204 with a length", QUEUE, `HTTP/1.1 204 X\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`, { status: 204, body: "", lacks: ["Content-Length"] }),
  gives("204 with chunks", "RFC 9112 6.1", "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", { status: 204, body: "", lacks: ["Transfer-Encoding"] }),
  gives("a second reply behind 304", QUEUE, `HTTP/1.1 304 X\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`, { status: 304, body: "" }),
  gives("304 with chunks", "RFC 9112 6.3", "HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", { status: 304, body: "" }),
  gives("205 with a body", "RFC 9110 15.3.6", `HTTP/1.1 205 X\r\n${BODY}`, { status: 205, body: "hello" }),
  gives("two replies at once, the second an error", QUEUE, `${OK}${BODY}HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\nevil`, { status: 200, body: "hello" }),
  gives("a 408 behind the reply", BROWSER, `${OK}${BODY}HTTP/1.1 408 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`, { status: 200, body: "hello" }, "end"),
  gives("an interim reply behind the reply", QUEUE, `${OK}${BODY}HTTP/1.1 100 Continue\r\n\r\n`, { status: 200, body: "hello" }),
  gives("a single byte behind the reply", QUEUE, `${OK}${BODY}H`, { status: 200, body: "hello" }),
  gives("a NUL behind the reply", QUEUE, `${OK}${BODY}\0`, { status: 200, body: "hello" }),
  gives("bytes behind a reply that closes", QUEUE, `${OK}Connection: close\r\n${BODY}${EVIL}`, { status: 200, body: "hello" }, "end"),
  open("bytes behind a reply of HTTP/1.0 without length", QUEUE, `HTTP/1.0 200 OK\r\n\r\n${EVIL}`, EVIL, "end"),
  broken("a reply that is cut inside what looks like another", QUEUE, `${OK}Content-Length: 500\r\n\r\n${EVIL}`, "end"),
  broken("chunks that are cut inside the size line", "RFC 9112 8", `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1`, "end"),
  broken("chunks that are cut between CR and LF", "RFC 9112 8", `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r`, "end"),
  broken("chunks that are cut inside the trailers", "RFC 9112 8", `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: 1\r\n`, "end"),
  broken("chunks that are cut before the first", "RFC 9112 8", `${OK}Transfer-Encoding: chunked\r\n\r\n`, "end"),
  broken("a length that is cut before its first byte", "RFC 9112 8", `${OK}Content-Length: 5\r\n\r\n`, "end"),
  broken("a length that is reset one byte early", "RFC 9112 8", `${OK}Content-Length: 6\r\n\r\nhello`, "reset"),
  bad("a head that is cut behind its last field", "RFC 9112 8", `${OK}Content-Length: 5\r\n`, "end"),
  bad("a head that is cut inside its last empty line", "RFC 9112 8", `${OK}Content-Length: 0\r\n\r`, "end"),
  bad("a head that is reset", "RFC 9112 8", `${OK}Content-Length: 0\r\n`, "reset"),

  interim("100 with fields", "HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\n", [100]),
  interim("100 with a length, which says nothing", "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", [100]),
  interim("103 with chunks, which say nothing", "HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n", [103]),
  interim("100 twice", "HTTP/1.1 100 X\r\n\r\nHTTP/1.1 100 X\r\n\r\n", [100, 100]),
  interim("an interim status that nobody knows", "HTTP/1.1 199 X\r\n\r\n", [199]),
  bad("interim replies and then garbage", "RFC 9110 15.2", "HTTP/1.1 100 Continue\r\n\r\ngarbage\r\n\r\n"),
  bad("an interim reply with a malformed field", "RFC 9112 5", "HTTP/1.1 103 X\r\nX A: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
  bad("an interim reply whose line ends in LF", "RFC 9112 2.2", "HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
  broken("an interim reply, then a head that is cut", "RFC 9112 8", `HTTP/1.1 103 X\r\n\r\n${OK}Content-Le`, "end"),

  bad("101 without Connection and Upgrade", "RFC 9110 15.2.2", `HTTP/1.1 101 X\r\n\r\n${EVIL}`),
  bad("101 to what did not ask, and a reply behind it", "RFC 9110 15.2.2", `HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${EVIL}`),
  upgraded("101 without the fields that say what to", "RFC 9110 7.8", `HTTP/1.1 101 X\r\n\r\n${EVIL}`, WEBSOCKET),
  upgraded("101 without Connection", "RFC 9110 7.8", "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n", WEBSOCKET),
  upgraded("101 to h2c when websocket was asked for", H2C, "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", WEBSOCKET),
  upgraded("101 to h2c that the client asked for", H2C, "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]),
  upgraded("101 to another protocol than was asked for", "RFC 9110 7.8", `HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n${EVIL}`, WEBSOCKET),
  upgraded("101 to what was asked for, and to another protocol", "RFC 9110 7.8", "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket, other\r\n\r\n", WEBSOCKET),
  upgraded("101 to a version that was not asked for", "RFC 9110 7.8", "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: first/2\r\n\r\n", ["Connection: Upgrade", "Upgrade: first/1, second"]),
  upgraded("101 to a protocol whose name begins like the one that was asked for", "RFC 9110 7.8", "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websockets\r\n\r\n", WEBSOCKET),
  upgraded("101 with Upgrade that names nothing", "RFC 9110 7.8", "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: ,\r\n\r\n", WEBSOCKET),
  { ...gives("an upgrade that the back end declines", "RFC 9110 7.8", `${OK}${BODY}`, { status: 200, body: "hello" }), asks: WEBSOCKET },
  { ...gives("an upgrade that the back end answers with 426", "RFC 9110 15.5.22", `HTTP/1.1 426 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${BODY}`, { status: 426, body: "hello" }), asks: WEBSOCKET },

  gives("Connection names a field of the reply", "Davison: Abusing HTTP hop-by-hop request headers (2019)", `${OK}Connection: close, Set-Cookie\r\nSet-Cookie: a=b\r\n${BODY}`, { status: 200, body: "hello", lacks: ["Set-Cookie"] }, "end"),
  gives("Connection names Content-Length and Transfer-Encoding", "RFC 9110 7.6.1", `${OK}Connection: Content-Length, Transfer-Encoding\r\n${BODY}`, { status: 200, body: "hello", has: { "content-length": "5" } }),
  gives("trailers that would be framing", "RFC 9110 6.5.1", `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\nSet-Cookie: a=b\r\nX-Ok: 1\r\n\r\n`, { status: 200, body: "hello", trailers: ["X-Ok: 1"], lacks: ["Set-Cookie", "Content-Length"] }),
  gives("a length with leading zeros", "RFC 9110 8.6", `${OK}Content-Length: 0005\r\n\r\nhello`, { status: 200, body: "hello", has: { "content-length": /^0*5$/ } }),
];
