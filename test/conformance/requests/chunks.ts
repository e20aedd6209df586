/** The chunked coding of requests: sizes, line ends, extensions, trailers. */
import { type RequestCase, chunked, either, forward, refuse } from "../cases.ts";

const END = "0\r\n\r\n";

function badSize(name: string, size: string): RequestCase {
  return refuse(`chunk size ${name}`, "RFC 9112 7.1", chunked(`${size}\r\nhello\r\n${END}`));
}

function badEnd(name: string, body: string, source = "RFC 9112 7.1, CVE-2025-55315"): RequestCase {
  return refuse(name, source, chunked(body));
}

function badTrailer(name: string, lines: string, statuses: readonly number[] = [400]): RequestCase {
  return refuse(`trailers: ${name}`, "RFC 9110 6.5.1, RFC 9112 2.2", chunked(`5\r\nhello\r\n0\r\n${lines}\r\n`), statuses);
}

export const chunks: readonly RequestCase[] = [
  badSize("with 0x", "0x5"),
  badSize("with a plus sign", "+5"),
  badSize("with a minus sign", "-5"),
  badSize("with a space before", " 5"),
  badSize("with a space after", "5 "),
  badSize("with a tab after", "5\t"),
  badSize("empty", ""),
  badSize("that is no hex", "g"),
  badSize("with an underscore", "0_5"),
  badSize("in quotes", '"5"'),
  badSize("with a NUL", "5\0"),
  badSize("with a vertical tab", "\x0b5"),
  badSize("of 17 hex digits, which overflows to 5", "10000000000000005"),
  badSize("of 16 hex digits, negative as a signed number", "fffffffffffffff5"),
  badSize("of only an extension", ";a=b"),
  badSize("with a comma", "5,5"),
  badSize("with a fraction", "5.0"),
  either("chunk size with many leading zeros", "RFC 9112 7.1 (1*HEXDIG), bounded", chunked(`${"0".repeat(40)}5\r\nhello\r\n${END}`), { body: "hello" }),
  forward("chunk size with a few leading zeros", "RFC 9112 7.1", chunked(`005\r\nhello\r\n000\r\n\r\n`), { body: "hello" }),
  forward("chunk size in upper and lower case", "RFC 9112 7.1", chunked(`a\r\n0123456789\r\nA\r\n0123456789\r\n${END}`), { body: "01234567890123456789" }),
  forward("an empty chunked body", "RFC 9112 7.1", chunked(END), { body: "" }),
  forward("chunks of one byte", "RFC 9112 7.1", chunked(`1\r\nh\r\n1\r\ni\r\n${END}`), { body: "hi" }),
  forward("CRLF and zero chunks inside the data", "RFC 9112 7.1", chunked(`9\r\n\r\n0\r\n\r\n\r\n\r\n${END}`), { body: "\r\n0\r\n\r\n\r\n" }),

  badEnd("chunk size ended by LF alone", `5\nhello\r\n${END}`),
  badEnd("zero chunk ended by LF alone", "5\r\nhello\r\n0\n\r\n"),
  badEnd("last line ended by LF alone", "5\r\nhello\r\n0\r\n\n"),
  badEnd("chunk size ended by CR alone", `5\rhello\r\n${END}`),
  badEnd("chunk size ended by CR CR LF", `5\r\r\nhello\r\n${END}`),
  badEnd("chunk size ended by LF CR", `5\n\rhello\r\n${END}`),
  badEnd("chunk extension ended by LF alone", `5;a\nhello\r\n${END}`),
  badEnd("bare CR inside a chunk extension", `5;a\rb\r\nhello\r\n${END}`),
  badEnd("a smuggled request behind an LF in an extension", `2;\nxx\r\n4c\r\n${END}GET /smuggled HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n${END}`),
  badEnd("chunk data followed by LF alone", `5\r\nhello\n${END}`, "RFC 9112 7.1"),
  badEnd("chunk data followed by CR alone", `5\r\nhello\r${END}`, "RFC 9112 7.1"),
  badEnd("chunk data followed by nothing", `5\r\nhello${END}`, "RFC 9112 7.1"),
  badEnd("chunk data longer than its size", `3\r\nhello\r\n${END}`, "RFC 9112 7.1"),
  badEnd("chunk data followed by two other bytes", `5\r\nhelloXX${END}`, "RFC 9112 7.1"),
  badEnd("chunk data followed by LF CR", `5\r\nhello\n\r${END}`, "RFC 9112 7.1"),

  forward("a chunk extension is stripped", "RFC 9112 7.1.1", chunked(`5;name=value\r\nhello\r\n0;last\r\n\r\n`), { body: "hello" }),
  forward("a quoted chunk extension is stripped", "RFC 9112 7.1.1", chunked(`5;name="a;b=c\\"d"\r\nhello\r\n${END}`), { body: "hello" }),
  either("blanks before a chunk extension", "RFC 9112 7.1.1 (BWS)", chunked(`5 ; name=value\r\nhello\r\n${END}`), { body: "hello" }),
  refuse("an endless chunk extension", "CVE-2023-39326", chunked(`5;${"a".repeat(100_000)}\r\nhello\r\n${END}`), [400, 413, 431]),
  refuse("a NUL in a chunk extension", "RFC 9112 7.1.1", chunked(`5;a=\0\r\nhello\r\n${END}`)),

  forward("trailers go on as trailers", "RFC 9110 6.5", chunked("5\r\nhello\r\n0\r\nX-Checksum: abc\r\nX-More: d\r\n\r\n", "Trailer: X-Checksum"), {
    body: "hello",
    trailers: ["X-Checksum: abc", "X-More: d"],
    lacks: ["X-Checksum"],
  }),
  forward("Content-Length in trailers is dropped", "RFC 9110 6.5.1", chunked("5\r\nhello\r\n0\r\nContent-Length: 99\r\nX-Ok: 1\r\n\r\n"), { body: "hello", trailers: ["X-Ok: 1"] }),
  forward("Transfer-Encoding in trailers is dropped", "RFC 9110 6.5.1", chunked("5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"), { body: "hello", trailers: [] }),
  forward("Host in trailers is dropped", "RFC 9110 6.5.1", chunked("5\r\nhello\r\n0\r\nHost: evil.test\r\n\r\n"), { body: "hello", trailers: [], has: { host: "a.test" } }),
  forward("Authorization in trailers is dropped", "RFC 9110 6.5.1", chunked("5\r\nhello\r\n0\r\nAuthorization: Basic x\r\nX-Ok: 1\r\n\r\n"), { trailers: ["X-Ok: 1"], lacks: ["Authorization"] }),
  badTrailer("space before the colon", "X-A : 1\r\n"),
  badTrailer("a folded line", "X-A: 1\r\n 2\r\n"),
  badTrailer("a line without a colon", "garbage\r\n"),
  badTrailer("an empty name", ": 1\r\n"),
  badTrailer("LF alone", "X-A: 1\nX-B: 2\r\n"),
  badTrailer("a NUL", "X-A: \0\r\n"),
  badTrailer("too many", Array.from({ length: 300 }, (_, i) => `X-${i}: 1\r\n`).join(""), [400, 431]),
  badTrailer("too long", `X-A: ${"a".repeat(100_000)}\r\n`, [400, 431]),
];
