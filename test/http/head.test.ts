/** What the head parser accepts and refuses, message by message and split at every byte. */
import { describe, expect, test } from "bun:test";
import { Parse, type ParseResult } from "../../src/http/h1/head.ts";
import { RequestHead } from "../../src/http/h1/request-head.ts";
import { ReplyHead } from "../../src/http/h1/reply-head.ts";
import { LIMITS } from "./read.ts";

const names = Object.fromEntries(Object.entries(Parse).map(([name, value]) => [value, name]));

function parse(text: string, limits = LIMITS): string {
  const bytes = Buffer.from(text, "latin1");
  return names[new RequestHead(200).parse(bytes, 0, bytes.length, limits)]!;
}

function parseReply(text: string): string {
  const bytes = Buffer.from(text, "latin1");
  return names[new ReplyHead(200).parse(bytes, 0, bytes.length, LIMITS)]!;
}

const get = (fields: string, line = "GET / HTTP/1.1"): string => `${line}\r\n${fields}\r\n`;

const accepted: readonly [string, string][] = [
  ["a plain request", get("Host: a\r\n")],
  ["an empty value", get("Host: a\r\nX:\r\n")],
  ["blanks around a value", get("Host:\t a \t\r\nX:   y  \r\n")],
  ["bytes over 127 in a value", get("Host: a\r\nX: \xe4\xff\r\n")],
  ["leading empty lines", `\r\n\r\n${get("Host: a\r\n")}`],
  ["absolute-form with the same host", get("Host: A:80\r\n", "GET http://a:80/x HTTP/1.1")],
  ["absolute-form without a path", get("Host: a\r\n", "GET http://a HTTP/1.1")],
  ["asterisk-form with OPTIONS", get("Host: a\r\n", "OPTIONS * HTTP/1.1")],
  ["an IPv6 host", get("Host: [::1]:8080\r\n")],
  ["HTTP/1.0 without Host", get("", "GET / HTTP/1.0")],
  ["Content-Length up to 2^53 - 1", get("Host: a\r\nContent-Length: 9007199254740991\r\n")],
  ["chunked in any case", get("Host: a\r\nTransfer-Encoding: CHUNKED\r\n")],
  ["a token of every kind as a name", get("Host: a\r\n!#$%&'*+-.^`|~0aZ: v\r\n")],
];

const refused: readonly [string, string, string][] = [
  ["BAD_TARGET", "two spaces in the request line", get("Host: a\r\n", "GET  / HTTP/1.1")],
  ["BAD_REQUEST_LINE", "a request line without a version", get("Host: a\r\n", "GET /")],
  ["BAD_REQUEST_LINE", "HTTP/0.9", get("Host: a\r\n", "GET / HTTP/0.9")],
  ["BAD_VERSION", "HTTP/1.2", get("Host: a\r\n", "GET / HTTP/1.2")],
  ["BAD_VERSION", "HTTP/2.0", get("Host: a\r\n", "GET / HTTP/2.0")],
  ["BAD_REQUEST_LINE", "a lower-case protocol", get("Host: a\r\n", "GET / http/1.1")],
  ["BAD_REQUEST_LINE", "a space after the version", get("Host: a\r\n", "GET / HTTP/1.1 ")],
  ["BAD_TARGET", "a # in the target", get("Host: a\r\n", "GET /#x HTTP/1.1")],
  ["BAD_TARGET", "a byte over 126 in the target", get("Host: a\r\n", "GET /\xe4 HTTP/1.1")],
  ["BAD_TARGET", "a tab in the target", get("Host: a\r\n", "GET /\tx HTTP/1.1")],
  ["BAD_TARGET", "a target without a slash", get("Host: a\r\n", "GET x HTTP/1.1")],
  ["BAD_TARGET", "* with GET", get("Host: a\r\n", "GET * HTTP/1.1")],
  ["BAD_TARGET", "userinfo in absolute-form", get("Host: a\r\n", "GET http://u@a/ HTTP/1.1")],
  ["BAD_LINE_END", "a bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n"],
  ["BAD_LINE_END", "a bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n"],
  ["BAD_LINE_END", "a bare CR within a value", get("Host: a\r\nX: a\rb\r\n")],
  ["BAD_FIELD", "NUL in a value", get("Host: a\r\nX: a\0b\r\n")],
  ["BAD_FIELD", "DEL in a value", get("Host: a\r\nX: a\x7fb\r\n")],
  ["BAD_FIELD", "an empty name", get("Host: a\r\n: v\r\n")],
  ["BAD_FIELD", "a space before the colon", get("Host : a\r\n")],
  ["BAD_FIELD", "a space before the first field", get(" Host: a\r\n")],
  ["BAD_FIELD", "a folded line", get("Host: a\r\nX: a\r\n b\r\n")],
  ["BAD_FIELD", "a line without a colon", get("Host: a\r\nX\r\n")],
  ["BAD_HOST", "no Host in 1.1", get("")],
  ["BAD_HOST", "two Hosts", get("Host: a\r\nHost: a\r\n")],
  ["BAD_HOST", "userinfo in Host", get("Host: u@a\r\n")],
  ["BAD_HOST", "a slash in Host", get("Host: a/b\r\n")],
  ["BAD_HOST", "a list as Host", get("Host: a, b\r\n")],
  ["BAD_HOST", "an empty Host", get("Host:\r\n")],
  ["BAD_HOST", "absolute-form with another host", get("Host: b\r\n", "GET http://a/ HTTP/1.1")],
  ["LENGTH_AND_CODING", "both framings", get("Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n")],
  ["LENGTH_AND_CODING", "both framings, the other way round", get("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n")],
  ["BAD_CONTENT_LENGTH", "two equal lengths", get("Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n")],
  ["BAD_CONTENT_LENGTH", "a list of lengths", get("Host: a\r\nContent-Length: 1, 1\r\n")],
  ...["+1", "-1", "0x1", "1 1", "", "1e3", "1.0", "9007199254740992", "99999999999999999999"].map(
    (value): [string, string, string] => ["BAD_CONTENT_LENGTH", `the length "${value}"`, get(`Host: a\r\nContent-Length: ${value}\r\n`)],
  ),
  ["BAD_TRANSFER_ENCODING", "chunked in HTTP/1.0", get("Host: a\r\nTransfer-Encoding: chunked\r\n", "GET / HTTP/1.0")],
  ...["chunked, chunked", "chunked, gzip", "gzip", "", "chunked;a=b", '"chunked"', "\vchunked", ", chunked", "chunked,"].map((value): [string, string, string] => [
    value.startsWith("\v") ? "BAD_FIELD" : "BAD_TRANSFER_ENCODING",
    `the coding ${JSON.stringify(value)}`,
    get(`Host: a\r\nTransfer-Encoding: ${value}\r\n`),
  ]),
  ["BAD_TRANSFER_ENCODING", "two Transfer-Encodings", get("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")],
  ...["xchunked", "identity", "gzip, chunked", "cow, chunked"].map((value): [string, string, string] => ["UNKNOWN_TRANSFER_CODING", `the coding ${value}`, get(`Host: a\r\nTransfer-Encoding: ${value}\r\n`)]),
  ["TOO_MANY_FIELDS", "101 fields", get(`Host: a\r\n${"X: y\r\n".repeat(100)}`)],
  ["TOO_LARGE", "a head over 32 KiB", get(`Host: a\r\nX: ${"y".repeat(33_000)}\r\n`)],
  ["URI_TOO_LONG", "a request line over 8 KiB", get("Host: a\r\n", `GET /${"x".repeat(9_000)} HTTP/1.1`)],
];

describe("request heads that are accepted", () => {
  for (const [what, text] of accepted) test(what, () => expect(parse(text)).toBe("OK"));
});

describe("request heads that are refused", () => {
  for (const [expected, what, text] of refused) test(`${what}: ${expected}`, () => expect(parse(text)).toBe(expected));
});

describe("heads in pieces", () => {
  test("every proper prefix of a good head asks for more", () => {
    for (const [, text] of accepted) {
      const bytes = Buffer.from(text, "latin1");
      for (let end = 0; end < bytes.length; end++) expect(new RequestHead(200).parse(bytes, 0, end, LIMITS)).toBe(Parse.MORE);
    }
  });

  test("a refusal never turns into acceptance as bytes arrive", () => {
    for (const [, what, text] of refused) {
      const bytes = Buffer.from(text, "latin1");
      let seen: ParseResult = Parse.MORE;
      for (let end = 0; end <= bytes.length && seen === Parse.MORE; end++) seen = new RequestHead(200).parse(bytes, 0, end, LIMITS);
      expect([what, seen === Parse.OK || seen === Parse.MORE]).toEqual([what, false]);
    }
  });

  test("a prefix of a reply's head asks for more", () => {
    const bytes = Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\n");
    for (let end = 0; end < bytes.length; end++) expect(new ReplyHead(200).parse(bytes, 0, end, LIMITS)).toBe(Parse.MORE);
  });
});

describe("what a request head says", () => {
  function head(text: string): RequestHead {
    const bytes = Buffer.from(text, "latin1");
    const parsed = new RequestHead(200);
    expect(parsed.parse(bytes, 0, bytes.length, LIMITS)).toBe(Parse.OK);
    return parsed;
  }

  test("absolute-form gives host and path", () => {
    const { host, target } = head(get("Host: a:8\r\n", "GET http://a:8/p?q HTTP/1.1"));
    expect({ host, target }).toEqual({ host: "a:8", target: "/p?q" });
    expect(head(get("Host: a\r\n", "GET http://a?q HTTP/1.1")).target).toBe("/?q");
  });

  test("keep-alive follows version and Connection", () => {
    expect(head(get("Host: a\r\n")).keepAlive).toBe(true);
    expect(head(get("Host: a\r\nConnection: x, ClOsE\r\n")).keepAlive).toBe(false);
    expect(head(get("", "GET / HTTP/1.0")).keepAlive).toBe(false);
    expect(head(get("Connection: Keep-Alive\r\n", "GET / HTTP/1.0")).keepAlive).toBe(true);
  });

  test("fields of one name are joined", () => {
    expect(head(get("Host: a\r\nX-A: 1\r\nx-a: 2\r\n")).get("x-a")).toBe("1, 2");
  });
});

describe("reply heads", () => {
  for (const text of ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 \r\n\r\n", "HTTP/1.1 200\r\n\r\n", "HTTP/1.1 599 \xe4\r\nA: b\r\n\r\n"])
    test(`${JSON.stringify(text)} is accepted`, () => expect(parseReply(text)).toBe("OK"));
  for (const text of ["HTTP/2 200 OK\r\n\r\n", "HTTP/1.2 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 600 X\r\n\r\n", "HTTP/1.1 099 X\r\n\r\n", "HTTP/1.1  200 X\r\n\r\n", "ICY 200 OK and more\r\n\r\n", "HTTP/1.1 200 a\0b\r\n\r\n", "HTTP/1.1 200 OK\n\n", "HTTP/1.1 2000 X\r\n\r\n"])
    test(`${JSON.stringify(text)} is refused`, () => expect(parseReply(text)).toBe("BAD_STATUS_LINE"));
  test("both framings are refused", () => expect(parseReply("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")).toBe("LENGTH_AND_CODING"));
  test("a bad length is refused", () => expect(parseReply("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")).toBe("BAD_CONTENT_LENGTH"));
  test("chunked from HTTP/1.0 is refused", () => expect(parseReply("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")).toBe("BAD_TRANSFER_ENCODING"));
});
