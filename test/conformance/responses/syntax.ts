/** Status line, fields and interim replies of a back end; what of them goes on to the client. */
import { type ResponseCase, bad, gives, open } from "../cases.ts";

const OK = "HTTP/1.1 200 OK\r\n";
const BODY = "Content-Length: 5\r\n\r\nhello";

function badField(name: string, lines: string, source = "RFC 9112 5"): ResponseCase {
  return bad(`field: ${name}`, source, `${OK}${lines}${BODY}`);
}

function badStart(name: string, line: string): ResponseCase {
  return bad(`status line: ${name}`, "RFC 9112 4", `${line}\r\n${BODY}`);
}

function passes(status: number): ResponseCase {
  return gives(`status ${status}`, "RFC 9110 15", `HTTP/1.1 ${status} X\r\n${BODY}`, { status, body: "hello" });
}

function removed(name: string, value: string): ResponseCase {
  return gives(`${name} is removed`, "RFC 9110 7.6.1", `${OK}${name}: ${value}\r\nX-Stays: 1\r\n${BODY}`, { status: 200, body: "hello", lacks: [name], has: { "x-stays": "1" } });
}

export const syntax: readonly ResponseCase[] = [
  ...[201, 206, 301, 302, 401, 404, 418, 429, 500, 502, 503, 504, 599].map(passes),
  gives("an empty reason", "RFC 9112 4", `HTTP/1.1 200 \r\n${BODY}`, { status: 200, body: "hello" }),
  gives("a reason with several words and bytes above 127", "RFC 9112 4", `HTTP/1.1 200 C'est d\xe9j\xe0 vu\r\n${BODY}`, { status: 200, body: "hello" }),
  open("no space after the status", "RFC 9112 4", `HTTP/1.1 200\r\n${BODY}`, "hello"),
  gives("a field value with bytes above 127", "RFC 9110 5.5", `${OK}X-A: caf\xe9\r\n${BODY}`, { status: 200, has: { "x-a": "caf\xe9" } }),
  gives("two Set-Cookie lines stay two", "RFC 9110 5.3", `${OK}Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n${BODY}`, { status: 200, has: { "set-cookie": "a=1, b=2" } }),
  gives("an underscore in a name", "RFC 9110 5.6.2", `${OK}X_A: 1\r\n${BODY}`, { status: 200, body: "hello" }),
  gives("an empty field value", "RFC 9110 5.5", `${OK}X-A:\r\n${BODY}`, { status: 200, has: { "x-a": "" } }),

  badStart("garbage", "hello"),
  badStart("another protocol", "ICY 200 OK"),
  badStart("HTTP/2.0", "HTTP/2.0 200 OK"),
  badStart("HTTP/0.9", "HTTP/0.9 200 OK"),
  badStart("lower case", "http/1.1 200 OK"),
  badStart("two digits", "HTTP/1.1 20 OK"),
  badStart("four digits", "HTTP/1.1 2000 OK"),
  badStart("a letter in the status", "HTTP/1.1 20x OK"),
  badStart("status 099", "HTTP/1.1 099 X"),
  badStart("status 000", "HTTP/1.1 000 X"),
  badStart("no status", "HTTP/1.1 OK"),
  badStart("two spaces before the status", "HTTP/1.1  200 OK"),
  badStart("a tab before the status", "HTTP/1.1\t200 OK"),
  badStart("no space before the status", "HTTP/1.1200 OK"),
  badStart("a leading space", " HTTP/1.1 200 OK"),
  badStart("a NUL in the reason", "HTTP/1.1 200 O\0K"),
  badStart("a bare CR in the reason", "HTTP/1.1 200 O\rK"),
  bad("a status line ended by LF alone", "RFC 9112 2.2", `HTTP/1.1 200 OK\n${BODY}`),
  bad("a whole reply with LF alone", "RFC 9112 2.2", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
  bad("binary garbage", "RFC 9112 8", "\x00\x01\x02\xff\xfe\r\n\r\n"),
  bad("a TLS alert", "RFC 9112 8", "\x15\x03\x01\x00\x02\x02\x46", "end"),
  bad("a greeting of another protocol", "RFC 9112 8", "220 mail.test ESMTP\r\n", "end"),
  bad("nothing before the end", "RFC 9112 8", "", "end"),
  bad("half a status line before the end", "RFC 9112 8", "HTTP/1.1 20", "end"),
  bad("half a head before the end", "RFC 9112 8", `${OK}Content-Le`, "end"),
  bad("half a head before a reset", "RFC 9112 8", `${OK}Content-Le`, "reset"),

  badField("space before the colon", "X-A : 1\r\n", "RFC 9112 5.1"),
  badField("space before the colon of a length", "Content-Length : 5\r\n", "RFC 9112 5.1"),
  badField("a folded line", "X-A: 1\r\n 2\r\n", "RFC 9112 5.2"),
  badField("a folded line with a tab", "X-A: 1\r\n\t2\r\n", "RFC 9112 5.2"),
  badField("space before the first field", " X-A: 1\r\n", "RFC 9112 2.2"),
  badField("no colon", "garbage\r\n", "RFC 9112 5"),
  badField("an empty name", ": 1\r\n", "RFC 9110 5.1"),
  badField("a parenthesis in a name", "X(A: 1\r\n", "RFC 9110 5.1"),
  badField("NUL in a value", "X-A: a\0b\r\n", "RFC 9110 5.5"),
  badField("a bare CR in a value", "X-A: a\rb\r\n", "RFC 9112 2.2"),
  badField("a bare LF between fields", "X-A: 1\nX-B: 2\r\n", "RFC 9112 2.2"),
  badField("a control character in a value", "X-A: \x01\r\n", "RFC 9110 5.5"),
  badField("DEL in a value", "X-A: \x7f\r\n", "RFC 9110 5.5"),
  badField("200 KB in one field", `X-A: ${"a".repeat(200_000)}\r\n`, "RFC 9112 8"),
  badField("200 KB in many fields", Array.from({ length: 400 }, (_, i) => `X-${i}: ${"a".repeat(500)}\r\n`).join(""), "RFC 9112 8"),
  badField("2,000 fields", Array.from({ length: 2_000 }, (_, i) => `X-${i}: 1\r\n`).join(""), "limits: field count"),

  gives("100 before the reply", "RFC 9110 15.2", `HTTP/1.1 100 Continue\r\n\r\n${OK}${BODY}`, { status: 200, body: "hello", interim: [100] }),
  gives("103 with its fields", "RFC 8297", `HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n${OK}${BODY}`, { status: 200, body: "hello", interim: [103] }),
  gives("102 and several 103", "RFC 9110 15.2", `HTTP/1.1 102 X\r\n\r\nHTTP/1.1 103 X\r\nX: 1\r\n\r\nHTTP/1.1 103 X\r\n\r\n${OK}${BODY}`, { status: 200, body: "hello", interim: [102, 103, 103] }),
  bad("101 that nobody asked for", "RFC 9110 15.2.2", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
  bad("only an interim reply before the end", "RFC 9112 8", "HTTP/1.1 103 Early Hints\r\n\r\n", "end"),

  gives("a field that Connection nominates is removed", "RFC 9110 7.6.1", `${OK}Connection: X-Secret\r\nX-Secret: 1\r\nX-Stays: 1\r\n${BODY}`, { status: 200, lacks: ["X-Secret"], has: { "x-stays": "1" } }),
  gives("Content-Length cannot be nominated", "RFC 9110 7.6.1", `${OK}Connection: content-length\r\n${BODY}`, { status: 200, body: "hello", has: { "content-length": "5" } }),
  gives("Transfer-Encoding cannot be nominated", "RFC 9110 7.6.1", `${OK}Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`, { status: 200, body: "hello" }),
  removed("Keep-Alive", "timeout=5"),
  removed("Proxy-Connection", "keep-alive"),
  removed("Upgrade", "h2c"),
  gives("WWW-Authenticate and the like stay", "RFC 9110 11.6", `HTTP/1.1 401 X\r\nWWW-Authenticate: Basic realm="x"\r\n${BODY}`, { status: 401, has: { "www-authenticate": 'Basic realm="x"' } }),
];
