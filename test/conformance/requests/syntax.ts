/** Line ends, names, values, request line, version, sizes. */
import { type RequestCase, forward, get, must, own, refuse, room } from "../cases.ts";

function line(name: string, requestLine: string, statuses: readonly number[] = [400], source = "RFC 9112 3"): RequestCase {
  return refuse(`request line: ${name}`, source, `${requestLine}\r\nHost: a.test\r\n\r\n`, statuses);
}

function badName(name: string, field: string): RequestCase {
  return refuse(`field name ${name}`, "RFC 9110 5.1", get(`${field}: 1`));
}

function badValue(name: string, value: string, source = "RFC 9110 5.5"): RequestCase {
  return refuse(`field value with ${name}`, source, get(`X-A: a${value}b`));
}

const fields = (count: number) => Array.from({ length: count }, (_, i) => `X-${i}: 1`);

export const syntax: readonly RequestCase[] = [
  badValue("a bare CR", "\r", "RFC 9112 2.2"),
  refuse("CR instead of CRLF everywhere", "RFC 9112 2.2", "GET / HTTP/1.1\rHost: a.test\r\rGET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
  refuse("CR CR LF as line end", "RFC 9112 2.2", "GET / HTTP/1.1\r\nHost: a.test\r\r\n\r\n"),
  refuse("LF instead of CRLF everywhere", "RFC 9112 2.2", "GET / HTTP/1.1\nHost: a.test\n\n"),
  refuse("LF after the request line", "RFC 9112 2.2", "GET / HTTP/1.1\nHost: a.test\r\n\r\n"),
  refuse("LF after a field", "RFC 9112 2.2", "GET / HTTP/1.1\r\nHost: a.test\nX-A: 1\r\n\r\n"),
  refuse("LF as the empty line", "RFC 9112 2.2", "GET / HTTP/1.1\r\nHost: a.test\r\n\n"),
  ...room("RFC 9112 2.2: LF alone may end a line", refuse("LF LF inside the head", "RFC 9112 2.2", "GET / HTTP/1.1\r\nHost: a.test\r\nX-A: 1\n\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n")),
  badValue("NUL", "\0"),
  badValue("SOH", "\x01"),
  badValue("BEL", "\x07"),
  badValue("vertical tab", "\x0b"),
  badValue("ESC", "\x1b"),
  badValue("DEL", "\x7f"),
  forward("field value with HTAB inside", "RFC 9110 5.5", get("X-A: a\tb"), { has: { "x-a": "a\tb" } }),
  forward("field value with bytes above 127", "RFC 9110 5.5 (obs-text)", get("X-A: caf\xe9 \xc3\xa9"), { has: { "x-a": "caf\xe9 \xc3\xa9" } }),
  forward("field value with blanks around it", "RFC 9112 5.1", get("X-A: \t a  b \t"), { has: { "x-a": "a  b" } }),
  forward("an empty field value", "RFC 9110 5.5", get("X-A:"), { has: { "x-a": "" } }),
  forward("every token character in a name", "RFC 9110 5.6.2", get("X!#$%&'*+-.^`|~0: 1"), { has: { "X!#$%&'*+-.^`|~0": "1" } }),
  forward("the same field on two lines stays on two lines", "RFC 9110 5.3", get("X-A: 1", "X-A: 2"), { has: { "x-a": "1, 2" } }),

  badName("empty", ""),
  badName("with a parenthesis", "X(A"),
  badName("with an at sign", "X@A"),
  badName("with a slash", "X/A"),
  badName("with a quote", 'X"A'),
  badName("with a comma", "X,A"),
  badName("with a semicolon", "X;A"),
  badName("with a brace", "X{A"),
  badName("with an inner space", "X A"),
  badName("with NUL", "X\0A"),
  badName("with DEL", "X\x7fA"),
  badName("with a byte above 127", "X\xe9"),
  ...must(refuse("space before the colon", "RFC 9112 5.1", get("X-A : 1"))),
  ...must(refuse("tab before the colon", "RFC 9112 5.1", get("X-A\t: 1"))),
  ...must(refuse("space before the colon of Host", "RFC 9112 5.1", "GET / HTTP/1.1\r\nHost : a.test\r\n\r\n")),
  ...must(refuse("space before the colon of Content-Length", "RFC 9112 5.1", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length : 5\r\n\r\nhello")),
  refuse("space before the first field", "RFC 9112 2.2", "GET / HTTP/1.1\r\n X-A: 1\r\nHost: a.test\r\n\r\n"),
  refuse("tab before the first field", "RFC 9112 2.2", "GET / HTTP/1.1\r\n\tHost: a.test\r\n\r\n"),
  refuse("a folded line", "RFC 9112 5.2", get("X-A: 1", " 2")),
  refuse("a folded line with a tab", "RFC 9112 5.2", get("X-A: 1", "\t2")),
  refuse("a folded line of blanks only", "RFC 9112 5.2", get("X-A: 1", "  ")),
  refuse("a folded Content-Length", "RFC 9112 5.2", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length:\r\n 5\r\n\r\nhello"),
  refuse("a line without a colon", "RFC 9112 5", get("garbage")),
  refuse("a request line where a field should be", "RFC 9112 5", get("GET /smuggled HTTP/1.1")),

  line("two spaces after the method", "GET  / HTTP/1.1"),
  line("two spaces before the version", "GET /  HTTP/1.1"),
  line("a tab after the method", "GET\t/ HTTP/1.1"),
  line("a tab before the version", "GET /\tHTTP/1.1"),
  line("a leading space", " GET / HTTP/1.1"),
  line("a trailing space", "GET / HTTP/1.1 "),
  line("a raw space in the target", "GET /a b HTTP/1.1"),
  line("a form feed for a space", "GET\x0c/ HTTP/1.1"),
  line("a control character in the target", "GET /\x01 HTTP/1.1"),
  line("NUL in the target", "GET /\0 HTTP/1.1"),
  line("a bare CR in the target", "GET /\r HTTP/1.1"),
  line("DEL in the target", "GET /\x7f HTTP/1.1"),
  line("a byte above 126 in the target", "GET /caf\xe9 HTTP/1.1"),
  line("a fragment", "GET /a#b HTTP/1.1"),
  line("no method", "/ HTTP/1.1"),
  line("an empty method", " / HTTP/1.1"),
  line("a method with a parenthesis", "GE(T / HTTP/1.1"),
  line("a method with a colon", "GET: / HTTP/1.1"),
  line("a method with NUL", "G\0T / HTTP/1.1"),
  line("no target", "GET HTTP/1.1"),
  line("an empty target", "GET  HTTP/1.1"),
  line("only a method", "GET"),
  line("an empty line of blanks", "   "),

  refuse("HTTP/0.9", "RFC 9112 2.3", "GET /\r\n\r\n"),
  refuse("HTTP/0.9 with a field", "RFC 9112 2.3", "GET /\r\nHost: a.test\r\n\r\n"),
  line("HTTP/1.2", "GET / HTTP/1.2", [505], "RFC 9110 15.6.6"),
  line("HTTP/2.0", "GET / HTTP/2.0", [505], "RFC 9110 15.6.6"),
  line("HTTP/9.9", "GET / HTTP/9.9", [505], "RFC 9110 15.6.6"),
  line("HTTP/0.9 as a version", "GET / HTTP/0.9", [400, 505], "RFC 9112 2.3"),
  line("HTTP/1.10", "GET / HTTP/1.10", [400, 505], "RFC 9112 2.3"),
  line("HTTP/01.1", "GET / HTTP/01.1", [400, 505], "RFC 9112 2.3"),
  line("HTTP/1", "GET / HTTP/1", [400, 505], "RFC 9112 2.3"),
  line("HTTP/1.", "GET / HTTP/1.", [400, 505], "RFC 9112 2.3"),
  line("HTTP/1,1", "GET / HTTP/1,1", [400, 505], "RFC 9112 2.3"),
  line("http/1.1 in lower case", "GET / http/1.1", [400, 505], "RFC 9112 2.3"),
  line("another protocol", "GET / RTSP/1.0", [400, 505], "RFC 9112 2.3"),
  refuse("the HTTP/2 preface", "RFC 9112 2.3", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400, 505]),
  refuse("a TLS hello", "RFC 9112 3", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"),
  forward("one leading empty line", "RFC 9112 2.2", `\r\n${get()}`),
  forward("two leading empty lines", "RFC 9112 2.2", `\r\n\r\n${get()}`),
  ...own(refuse("fifty leading empty lines", "RFC 9112 2.2", `${"\r\n".repeat(50)}${get()}`)),
  refuse("a leading LF", "RFC 9112 2.2", `\n${get()}`),
  refuse("a leading NUL", "RFC 9112 3", `\0${get()}`),

  ...own(refuse("a name with an underscore", "RFC 3875 4.1.18", get("X_A: 1"))),
  ...own(refuse("an underscore twin of X-Forwarded-For", "RFC 3875 4.1.18", get("X_Forwarded_For: 1.2.3.4"))),

  ...own(line("9,000 bytes", `GET /${"a".repeat(9_000)} HTTP/1.1`, [414], "limits: request line 8 KiB")),
  ...own(forward("a request line of 8,000 bytes", "limits: request line 8 KiB", `GET /${"a".repeat(7_980)} HTTP/1.1\r\nHost: a.test\r\n\r\n`)),
  ...own(refuse("a head of 40 KiB in one field", "limits: head 32 KiB", get(`X-A: ${"a".repeat(40_000)}`), [431])),
  ...own(refuse("a head of 40 KiB in many fields", "limits: head 32 KiB", get(...Array.from({ length: 80 }, (_, i) => `X-${i}: ${"a".repeat(500)}`)), [431])),
  ...own(refuse("150 fields", "limits: 100 fields", get(...fields(150)), [431])),
  ...own(forward("a head of 30,000 bytes", "limits: head 32 KiB", get(`X-A: ${"a".repeat(29_900)}`), { has: { "x-a": /^a{29900}$/ } })),
  ...own(forward("95 fields", "limits: 100 fields", get(...fields(95)), { has: { "x-94": "1" } })),
];
