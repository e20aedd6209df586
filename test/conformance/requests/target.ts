/** Host and the forms of the request target. */
import { type RequestCase, either, forward, must, own, refuse } from "../cases.ts";

function host(name: string, value: string): RequestCase {
  return { ...refuse(`Host ${name}`, "RFC 9112 3.2", `GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`), must: true };
}

function withHost(value: string): RequestCase {
  return forward(`Host ${value}`, "RFC 9110 7.2", `GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`, { has: { host: value } });
}

function asCame(target: string): RequestCase {
  return forward(`the target ${target} is sent on as it came`, "RFC 9110 7.7", `GET ${target} HTTP/1.1\r\nHost: a.test\r\n\r\n`, { line: `GET ${target} HTTP/1.1` });
}

function form(name: string, requestLine: string, statuses: readonly number[] = [400], source = "RFC 9112 3.2"): RequestCase {
  return refuse(name, source, `${requestLine}\r\nHost: a.test\r\n\r\n`, statuses);
}

export const target: readonly RequestCase[] = [
  ...must(refuse("HTTP/1.1 without Host", "RFC 9112 3.2", "GET / HTTP/1.1\r\nX-A: 1\r\n\r\n")),
  ...must(refuse("HTTP/1.1 without any field", "RFC 9112 3.2", "GET / HTTP/1.1\r\n\r\n")),
  ...must(refuse("Host twice, the same", "RFC 9112 3.2", "GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n")),
  ...must(refuse("Host twice, different", "RFC 9112 3.2", "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n")),
  ...must(refuse("Host twice, in different case, apart", "RFC 9112 3.2", "GET / HTTP/1.1\r\nhost: a.test\r\nX-A: 1\r\nHOST: b.test\r\n\r\n")),
  ...must(refuse("Host twice in HTTP/1.0", "RFC 9112 3.2", "GET / HTTP/1.0\r\nHost: a.test\r\nHost: b.test\r\n\r\n")),
  host("with userinfo", "user@a.test"),
  host("with user and password", "user:password@a.test"),
  host("with a path", "a.test/x"),
  host("with a query", "a.test?x"),
  host("with a fragment", "a.test#x"),
  host("with a backslash", "a.test\\x"),
  host("with an inner space", "a.test b.test"),
  host("with a scheme", "http://a.test"),
  host("with two ports", "a.test:80:90"),
  host("with a port that is no number", "a.test:http"),
  host("with a signed port", "a.test:+80"),
  host("with an open bracket", "[::1"),
  host("with text after the bracket", "[::1]x"),
  host("with angle brackets", "<a.test>"),
  host("with a NUL", "a.test\0"),
  host("with a byte above 127", "caf\xe9.test"),
  host("with a quote", '"a.test"'),
  withHost("a.test:8080"),
  withHost("[::1]:8080"),
  withHost("127.0.0.1"),
  withHost("A.Test"),
  either("an empty Host", "RFC 9112 3.2", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
  forward("HTTP/1.0 without Host", "RFC 9112 3.2", "GET /x HTTP/1.0\r\n\r\n", { line: /* sent on as 1.1 */ "GET /x HTTP/1.1" }),

  forward("absolute-form becomes origin-form", "RFC 9112 3.2.2", "GET http://a.test/x?y=z HTTP/1.1\r\nHost: a.test\r\n\r\n", { line: "GET /x?y=z HTTP/1.1", has: { host: "a.test" } }),
  forward("absolute-form without a path", "RFC 9112 3.2.2", "GET http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", { line: "GET / HTTP/1.1", has: { host: "a.test" } }),
  forward("absolute-form with a query and no path", "RFC 9110 4.2.3", "GET http://a.test?x HTTP/1.1\r\nHost: a.test\r\n\r\n", { line: "GET /?x HTTP/1.1" }),
  forward("absolute-form in HTTP/1.0 gives the Host", "RFC 9112 3.2.2", "GET http://a.test/x HTTP/1.0\r\n\r\n", { line: "GET /x HTTP/1.1", has: { host: "a.test" } }),
  refuse("absolute-form with another Host", "RFC 9112 3.2.2", "GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
  refuse("absolute-form with another port than Host", "RFC 9112 3.2.2", "GET http://a.test:81/ HTTP/1.1\r\nHost: a.test:82\r\n\r\n"),
  ...must(refuse("absolute-form without Host in HTTP/1.1", "RFC 9112 3.2", "GET http://a.test/ HTTP/1.1\r\n\r\n")),
  refuse("absolute-form with userinfo", "RFC 9110 4.2.4", "GET http://user@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
  refuse("absolute-form without an authority", "RFC 9110 4.2.1", "GET http:///x HTTP/1.1\r\nHost: a.test\r\n\r\n"),
  refuse("absolute-form with one slash", "RFC 9112 3", "GET http:/a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n"),
  either("absolute-form with the scheme in upper case", "RFC 9110 4.2.3", "GET HTTP://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n", { line: "GET /x HTTP/1.1" }),
  either("absolute-form in another case than Host", "RFC 9110 4.2.3", "GET http://A.TEST/x HTTP/1.1\r\nHost: a.test\r\n\r\n", { line: "GET /x HTTP/1.1" }),
  either("absolute-form with the default port", "RFC 9110 4.2.3", "GET http://a.test:80/x HTTP/1.1\r\nHost: a.test\r\n\r\n", { line: "GET /x HTTP/1.1" }),
  form("absolute-form of another scheme", "GET ftp://a.test/x HTTP/1.1", [400, 404, 421, 501], "RFC 9110 4.2"),

  form("GET *", "GET * HTTP/1.1"),
  form("POST *", "POST * HTTP/1.1"),
  form("OPTIONS *x", "OPTIONS *x HTTP/1.1"),
  forward("OPTIONS *", "RFC 9112 3.2.4", "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", { line: "OPTIONS * HTTP/1.1" }),
  form("GET in authority-form", "GET a.test:80 HTTP/1.1"),
  form("GET with a name only", "GET index.html HTTP/1.1"),
  form("GET with a query only", "GET ?x HTTP/1.1"),
  form("CONNECT", "CONNECT a.test:443 HTTP/1.1", [405], "RFC 9110 9.3.6"),
  form("CONNECT in origin-form", "CONNECT /x HTTP/1.1", [400, 405]),
  form("CONNECT without a port", "CONNECT a.test HTTP/1.1", [400, 405]),

  asCame("/a/../b/./c"),
  ...own(asCame("/../../etc/passwd"), asCame("/%2e%2e/b")),
  asCame("/a%2Fb"),
  asCame("//b.test/x"),
  asCame("/a;p=1?q=/../x&r"),
  asCame("/?"),
  asCame("/a//b///"),
  asCame('/"<>[]^`{|}\\'),
];
