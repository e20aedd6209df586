/** Published replies that two readers take differently: framing, chunk lines, versions and status lines. */
import { type ResponseCase, bad, broken, gives, open } from "../cases.ts";

const EVADER = "Ullrich: HTTP Evader (2015)";
const FUNKY = "Weikop: Funky chunks: abusing ambiguous chunk line terminators for request smuggling (2025)";
const GARDEN = "Kallus and others: The HTTP Garden (2024)";

const OK = "HTTP/1.1 200 OK\r\n";
const CHUNKS = "5\r\nhello\r\n0\r\n\r\n";
const END = "0\r\n\r\n";
const BODY = "Content-Length: 5\r\n\r\nhello";

function coding(name: string, ...lines: readonly string[]): ResponseCase {
  return bad(`coding: ${name}`, EVADER, `${OK}${lines.map((line) => `${line}\r\n`).join("")}\r\n${CHUNKS}`, "end");
}

function length(name: string, value: string): ResponseCase {
  return bad(`length: ${name}`, EVADER, `${OK}Content-Length: ${value}\r\n\r\nhello`, "end");
}

function chunkLine(name: string, body: string, source = EVADER): ResponseCase {
  return broken(`chunk lines: ${name}`, source, `${OK}Transfer-Encoding: chunked\r\n\r\n${body}`);
}

function startLine(name: string, line: string): ResponseCase {
  return bad(`first line: ${name}`, EVADER, `${line}\r\n${BODY}`, "end");
}

function field(name: string, lines: string): ResponseCase {
  return bad(`fields: ${name}`, EVADER, `${OK}${lines}${BODY}`, "end");
}

export const evasion: readonly ResponseCase[] = [
  coding("chunked and gzip", "Transfer-Encoding: chunked, gzip"),
  coding("gzip and chunked", "Transfer-Encoding: gzip, chunked"),
  coding("identity", "Transfer-Encoding: identity"),
  coding("chunked and identity on two lines", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
  coding("identity and chunked on two lines", "Transfer-Encoding: identity", "Transfer-Encoding: chunked"),
  coding("quoted", 'Transfer-Encoding: "chunked"'),
  coding("a comma before it", "Transfer-Encoding: ,chunked"),
  coding("a comma behind it", "Transfer-Encoding: chunked,"),
  coding("a semicolon", "Transfer-Encoding: chunked;"),
  coding("a word behind it", "Transfer-Encoding: chunked foo"),
  coding("a space before the colon", "Transfer-Encoding : chunked"),
  coding("a folded line", "Transfer-Encoding:", " chunked"),
  coding("a NUL behind it", "Transfer-Encoding: chunked\0"),
  coding("a form feed before it", "Transfer-Encoding: \x0cchunked"),
  coding("a no-break space before it", "Transfer-Encoding: \xa0chunked"),
  coding("a bare CR before it", "Transfer-Encoding:\rchunked"),
  coding("a length in hex beside it", "Transfer-Encoding: chunked", "Content-Length: 0x5"),
  coding("a length of what is on the wire beside it", "Transfer-Encoding: chunked", `Content-Length: ${CHUNKS.length}`),
  gives("coding: Content-Encoding: chunked says nothing", EVADER, `${OK}Content-Encoding: chunked\r\n${BODY}`, { status: 200, body: "hello", has: { "content-encoding": "chunked" } }),
  gives("coding: a tab before it", EVADER, `${OK}Transfer-Encoding:\tchunked\r\n\r\n${CHUNKS}`, { status: 200, body: "hello" }),
  gives("coding: no blank before it", EVADER, `${OK}Transfer-Encoding:chunked\r\n\r\n${CHUNKS}`, { status: 200, body: "hello" }),

  length("two that differ on one line", "5, 6"),
  length("three on one line", "5, 5, 5"),
  length("a semicolon behind it", "5;"),
  length("a fraction", "5.0"),
  length("an exponent", "5e0"),
  length("a comma behind it", "5,"),
  length("a NUL behind it", "5\0"),
  length("a vertical tab before it", "\x0b5"),
  length("in quotes", '"5"'),
  length("a folded line", "\r\n 5"),
  length("an underscore", "0_5"),
  length("2^64", "18446744073709551616"),

  chunkLine("CR ends a size", `5\rhello\r\n${END}`, FUNKY),
  chunkLine("a bare CR in an extension", `5;a\rb\r\nhello\r\n${END}`, FUNKY),
  chunkLine("two other bytes behind the data", `5\r\nhelloXX${END}`, FUNKY),
  chunkLine("one byte behind the data", `5\r\nhelloX${END}`, FUNKY),
  chunkLine("nothing behind the data", `5\r\nhello${END}`, FUNKY),
  chunkLine("LF LF at the end", "5\r\nhello\r\n0\n\n", FUNKY),
  chunkLine("a second reply inside what one reader takes for an extension", `2;\nxx\r\n2f\r\n${END}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil\r\n${END}`, FUNKY),
  chunkLine("a zero with a sign", "5\r\nhello\r\n-0\r\n\r\n"),
  chunkLine("a size with a minus sign", `-5\r\nhello\r\n${END}`),
  chunkLine("a size in quotes", `"5"\r\nhello\r\n${END}`),
  chunkLine("a size with an underscore", `0_5\r\nhello\r\n${END}`, GARDEN),
  chunkLine("a size with a tab behind it", `5\t\r\nhello\r\n${END}`),
  chunkLine("a size with a NUL behind it", `5\0\r\nhello\r\n${END}`),
  chunkLine("a size with a comma", `5,\r\nhello\r\n${END}`),
  chunkLine("a size of sixteen f", `ffffffffffffffff\r\nhello\r\n${END}`),
  chunkLine("an empty line before the size", `\r\n5\r\nhello\r\n${END}`),
  chunkLine("a bare LF in a trailer", "5\r\nhello\r\n0\r\nX-A: 1\n\r\n"),
  chunkLine("a NUL in a trailer", "5\r\nhello\r\n0\r\nX-A: \0\r\n\r\n"),
  chunkLine("a space before the colon of a trailer", "5\r\nhello\r\n0\r\nContent-Length : 9\r\n\r\n"),
  chunkLine("an extension of 100,000 bytes", `5;${"a".repeat(100_000)}\r\nhello\r\n${END}`),
  open("chunk lines: sizes with leading zeros", "RFC 9112 7.1", `${OK}Transfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n000\r\n\r\n`, "hello"),
  open("chunk lines: an extension behind blanks", "RFC 9112 7.1.1", `${OK}Transfer-Encoding: chunked\r\n\r\n5 ;a=b\r\nhello\r\n${END}`, "hello"),

  startLine("HTTP/1.2", "HTTP/1.2 200 OK"),
  startLine("HTTP/1.10", "HTTP/1.10 200 OK"),
  startLine("HTTP/01.1", "HTTP/01.1 200 OK"),
  startLine("HTTP/1.01", "HTTP/1.01 200 OK"),
  startLine("HTTP/1", "HTTP/1 200 OK"),
  startLine("HTTP /1.1", "HTTP /1.1 200 OK"),
  startLine("HTTP/ 1.1", "HTTP/ 1.1 200 OK"),
  startLine("HTTP/1.1 and a comma", "HTTP/1.1, 200 OK"),
  startLine("a status with a sign", "HTTP/1.1 +200 OK"),
  startLine("a status with a leading zero", "HTTP/1.1 0200 OK"),
  startLine("a status with a fraction", "HTTP/1.1 200.1 OK"),
  startLine("a status in quotes", 'HTTP/1.1 "200" OK'),
  startLine("status 600", "HTTP/1.1 600 X"),
  startLine("status 999", "HTTP/1.1 999 X"),
  startLine("a NUL before it", "\0HTTP/1.1 200 OK"),
  startLine("a byte order mark before it", "\xef\xbb\xbfHTTP/1.1 200 OK"),
  startLine("a request line", "GET / HTTP/1.1"),
  startLine("a field before it", "X-A: 1\r\nHTTP/1.1 200 OK"),
  startLine("a version that is not ASCII", "HTTP/\xb9.1 200 OK"),
  open("first line: an empty line before it", EVADER, `\r\n${OK}${BODY}`, "hello", "end"),
  open("first line: a tab in the reason", "RFC 9112 4", `HTTP/1.1 200 O\tK\r\n${BODY}`, "hello"),

  field("a line of blanks", " \r\n"),
  field("a tab before the first name", "\tX-A: 1\r\n"),
  field("CR alone between two", "X-A: 1\rX-B: 2\r\n"),
  field("CR CR LF", "X-A: 1\r\r\n"),
  field("LF CR", "X-A: 1\n\r"),
  field("a name with a space inside", "X A: 1\r\n"),
  field("a name with a NUL", "X\0A: 1\r\n"),
  field("a name that is not ASCII", "X-\xc4: 1\r\n"),
  field("a name in brackets", "[X]: 1\r\n"),
  field("an equals sign for the colon", "X-A=1\r\n"),
  field("an escape in a value", "X-A: \x1b[0m\r\n"),
  field("a length hidden behind LF", "X-A: 1\nContent-Length: 0\r\n"),
];
