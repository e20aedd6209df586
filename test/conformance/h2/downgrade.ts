/**
 * What an HTTP/2 request becomes in HTTP/1.1: one well-formed request, or none (rules 55 to 61).
 *
 * HTTP/2 carries lengths, so a field may hold bytes that mean something else once they are written between CRLFs. Sources: RFC 9113
 * sections 8.2, 8.3 and 10.3, and the request smuggling that was published as H2.CL, H2.TE, H2.0 and CRLF injection.
 */
import { data, headers, more } from "../../support/h2-frames.ts";
import type { Field } from "../../support/h2-hpack.ts";
import { either, refusal, reply } from "../../support/h2.ts";
import type { Expected } from "../cases.ts";
import { asks, get, type H2Case, post, posted, type Sees, type Step } from "./cases.ts";

const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n";
const LINE = "GET / HTTP/1.1";
const POST = "POST / HTTP/1.1";

type Fields = readonly Field[];

/** A request by its parts; the usual ones where nothing is said, left out where undefined is said. */
function parts({ method = "GET", scheme = "http", path = "/", ...rest }: { readonly method?: string; readonly scheme?: string; readonly path?: string; readonly authority?: string | undefined }, ...fields: Fields): Fields {
  const authority = "authority" in rest ? rest.authority : "a.test";
  return [[":method", method], [":scheme", scheme], [":path", path], ...(authority === undefined ? [] : [[":authority", authority] as const]), ...fields];
}

function one(name: string, source: string, frames: readonly Buffer[], verdict: Step, sees: Sees): H2Case {
  return { id: "downgrade", name, source, steps: [...frames, verdict], sees };
}

/** Must be refused, and the back end sees nothing. */
function refused(name: string, source: string, fields: Fields): H2Case {
  return one(name, source, [headers(1, fields)], refusal(1), "nothing");
}

/** Must arrive as `expected`. */
function passes(name: string, source: string, fields: Fields, expected: Expected = { line: LINE }): H2Case {
  return one(name, source, [headers(1, fields)], reply(1), [expected]);
}

/** Refused, or it arrives as `expected`. */
function open(name: string, source: string, fields: Fields, expected: Expected = { line: LINE }): H2Case {
  return one(name, source, [headers(1, fields)], either(reply(1), refusal(1)), { atMost: expected });
}

/** A body that must be refused, at its head or at its end: no whole request reaches the back end. */
function refusedBody(name: string, source: string, ...frames: readonly Buffer[]): H2Case {
  return one(name, source, frames, refusal(1), "nothing whole");
}

/** What the length allows may have arrived, and have been answered, before more came; never what is beyond it. */
function early(name: string, body: string, ...frames: readonly Buffer[]): H2Case {
  return one(name, "rule 59, H2.CL", frames, either(refusal(1), reply(1)), { atMost: { line: POST, body } });
}

function passesBody(name: string, source: string, expected: Expected, ...frames: readonly Buffer[]): H2Case {
  return one(name, source, frames, reply(1), [{ line: POST, ...expected }]);
}

function badName(what: string, name: string): H2Case {
  return refused(`a field name with ${what}`, "rule 55, RFC 9113 8.2.1", asks("GET", "/", [name, "1"]));
}

function badValue(what: string, value: string): H2Case {
  return refused(`a field value with ${what}`, "rules 20, 55, RFC 9113 8.2.1", asks("GET", "/", ["x-test", value]));
}

function badPath(what: string, path: string): H2Case {
  return refused(`:path ${what}`, "rule 57, RFC 9113 8.3.1", parts({ path }));
}

function badMethod(what: string, method: string): H2Case {
  return refused(`:method ${what}`, "rule 57, RFC 9113 8.3.1", parts({ method }));
}

function badScheme(what: string, scheme: string): H2Case {
  return refused(`:scheme ${what}`, "rule 57, RFC 9113 8.3.1", parts({ scheme }));
}

function badAuthority(what: string, authority: string): H2Case {
  return refused(`:authority ${what}`, "rules 29, 58, RFC 9113 8.3.1", parts({ authority }));
}

function badLength(what: string, value: string): H2Case {
  return refusedBody(`content-length ${what}`, "rules 3, 59", post(1, "/", ["content-length", value]), data(1, "hello"));
}

function connectionField(name: string, value: string): H2Case {
  return refused(`${name}: ${value}`, "rule 56, RFC 9113 8.2.2", asks("GET", "/", [name, value]));
}

function path(name: string, target: string): H2Case {
  return passes(name, "rules 33, 57", parts({ path: target }), { line: `GET ${target} HTTP/1.1` });
}

function withTrailers(...fields: Fields): readonly Buffer[] {
  return [post(1), data(1, "hello", more), headers(1, fields)];
}

const names: readonly H2Case[] = [
  badName("CRLF and another field behind it", "x-test: 1\r\nx-smuggled"),
  badName("CRLF and a whole request behind it", `x-test: 1\r\n\r\n${SMUGGLED}x`),
  badName("CRLF and Transfer-Encoding behind it", "x-test: 1\r\ntransfer-encoding: chunked\r\nx"),
  badName("LF", "x-test\nx"),
  badName("CR", "x-test\rx"),
  badName("NUL", "x-te\0st"),
  badName("a space inside", "x test"),
  badName("a space behind", "x-test "),
  badName("a space before", " x-test"),
  badName("a tab behind", "x-test\t"),
  badName("a colon inside", "x-test:"),
  badName("a colon and a value", "x-test: 1"),
  badName("a colon before, which makes an unknown pseudo-header", ":x-test"),
  badName("nothing but a colon", ":"),
  badName("nothing", ""),
  badName("DEL", "x-test\x7f"),
  badName("a byte above 127", "x-t\xe9st"),
  badName("a parenthesis", "x(test"),
  badName("a slash", "x/test"),
  badName("an equals sign", "x=test"),
  badName("a comma", "x,test"),
  badName("quotes", '"x-test"'),
  badName("an upper-case letter", "x-Test"),
  badName("upper case, of a field that matters", "Content-Length"),
  badName("an underscore (rule 32)", "x_test"),
  badName("an underscore where a hyphen should be", "transfer_encoding"),
  passes("a field name with every character that a name may have", "RFC 9110 5.6.2", asks("GET", "/", ["x!#$%&'*+-.^`|~09", "1"]), { line: LINE, has: { "x!#$%&'*+-.^`|~09": "1" } }),
  open("a field name of 10,000 letters", "limits", asks("GET", "/", ["x".repeat(10_000), "1"])),
];

const values: readonly H2Case[] = [
  badValue("CRLF and another field behind it", "1\r\nx-smuggled: 1"),
  badValue("CRLF and Transfer-Encoding behind it", "1\r\ntransfer-encoding: chunked"),
  badValue("CRLF and Content-Length behind it", "1\r\ncontent-length: 10"),
  badValue("CRLF and a whole request behind it", `1\r\n\r\n${SMUGGLED}`),
  badValue("CRLF at its end", "1\r\n"),
  badValue("LF and another field behind it", "1\nx-smuggled: 1"),
  badValue("CR and another field behind it", "1\rx-smuggled: 1"),
  badValue("LF alone", "\n"),
  badValue("CR at its end", "1\r"),
  badValue("LF at its start", "\n1"),
  badValue("CRLF and a space, which would be a folded line", "1\r\n 2"),
  badValue("NUL", "1\x002"),
  badValue("NUL alone", "\0"),
  badValue("a space before it", " 1"),
  badValue("a space behind it", "1 "),
  badValue("a tab before it", "\t1"),
  badValue("a tab behind it", "1\t"),
  badValue("nothing but a space", " "),
  badValue("DEL", "1\x7f2"),
  badValue("a control character", "1\x012"),
  badValue("a vertical tab", "1\x0b2"),
  badValue("an escape", "\x1b[31m"),
  passes("a field value with a tab inside", "RFC 9110 5.5", asks("GET", "/", ["x-test", "1\t2"]), { line: LINE, has: { "x-test": "1\t2" } }),
  passes("a field value with bytes above 127", "RFC 9110 5.5", asks("GET", "/", ["x-test", "\x80caf\xe9\xff"]), { line: LINE, has: { "x-test": "\x80caf\xe9\xff" } }),
  passes("an empty field value", "RFC 9110 5.5", asks("GET", "/", ["x-test", ""]), { line: LINE, has: { "x-test": "" } }),
  passes("a field value that looks like a field", "RFC 9110 5.5", asks("GET", "/", ["x-test", "transfer-encoding: chunked"]), { line: LINE, has: { "x-test": "transfer-encoding: chunked" }, lacks: ["transfer-encoding"] }),
  passes("one field on two lines", "RFC 9110 5.3", asks("GET", "/", ["x-test", "1"], ["x-test", "2"]), { line: LINE, has: { "x-test": "1, 2" } }),
  open("a field value of 20,000 bytes", "limits", asks("GET", "/", ["x-test", "v".repeat(16_000)])),
  refused("130 fields", "limits, RFC 6585 5", asks("GET", "/", ...Array.from({ length: 130 }, (_, i): Field => [`x-${i}`, "1"]))),
];

const pseudo: readonly H2Case[] = [
  badPath("with the rest of a head and another request behind it", `/ HTTP/1.1\r\nHost: a.test\r\n\r\n${SMUGGLED}GET /x`),
  badPath("with a version and CRLF", "/ HTTP/1.1\r\nx-smuggled: 1"),
  badPath("with a space", "/a b"),
  badPath("with a version", "/ HTTP/1.1"),
  badPath("with a tab", "/a\tb"),
  badPath("with CR", "/a\rb"),
  badPath("with LF", "/a\nb"),
  badPath("with NUL", "/a\0b"),
  badPath("with DEL", "/a\x7fb"),
  badPath("with a space behind it", "/a "),
  badPath("with a space before it", " /a"),
  badPath("with bytes above 127", "/caf\xe9"),
  badPath("with a fragment", "/a#b"),
  badPath("that is a fragment", "#"),
  badPath("that is empty", ""),
  badPath("that does not begin with a slash", "a"),
  badPath("that is a query alone", "?a=b"),
  badPath("in absolute form", "http://evil.test/"),
  badPath("in absolute form, of the same host", "http://a.test/"),
  badPath("that is an authority", "evil.test:443"),
  badPath("that is * with GET", "*"),
  badPath("that begins with a backslash", "\\evil.test"),
  passes(":path * with OPTIONS", "rule 31, RFC 9113 8.3.1", parts({ method: "OPTIONS", path: "*" }), { line: "OPTIONS * HTTP/1.1", has: { host: "a.test" } }),
  path("two slashes at the start of :path are no authority", "//evil.test/x"),
  path("dot segments in :path go on as they came", "/a/../../b/./c"),
  path("percent-encoded CRLF in :path stays encoded", "/%0d%0aHost:%20evil.test"),
  path("a query in :path", "/a?b=c&d=%20&e=/?"),
  path("a colon and an at sign in :path", "/a:b@c"),
  open(":path with a backslash inside", "rule 26", parts({ path: "/a\\b" }), { line: "GET /a\\b HTTP/1.1" }),
  open(":path of 8,000 bytes", "limits", parts({ path: `/${"p".repeat(8_000)}` }), { line: `GET /${"p".repeat(8_000)} HTTP/1.1` }),
  refused(":path of 12,000 bytes", "limits, RFC 9110 15.5.15", parts({ path: `/${"p".repeat(12_000)}` })),

  badMethod("with a request behind it", `GET / HTTP/1.1\r\nHost: a.test\r\n\r\n${SMUGGLED}GET`),
  badMethod("with a path behind it", "GET /smuggled"),
  badMethod("with a space behind it", "GET "),
  badMethod("with a space before it", " GET"),
  badMethod("with a tab", "GE\tT"),
  badMethod("with CRLF", "GET\r\n"),
  badMethod("with LF before it", "\nGET"),
  badMethod("with NUL", "GET\0"),
  badMethod("with a colon", "GET:"),
  badMethod("with a slash", "GET/"),
  badMethod("with a byte above 127", "G\xc9T"),
  badMethod("that is empty", ""),
  ...["get", "FROB", "M-SEARCH", "QUERY", "PROPFIND", "DELETE", "PATCH"].map((method) => passes(`:method ${method}`, "RFC 9110 9.1", parts({ method }), { line: `${method} / HTTP/1.1` })),
  open(":method PRI", "RFC 9113 11.6", parts({ method: "PRI" }), { line: "PRI / HTTP/1.1" }),
  open(":method of 1,000 letters", "limits", parts({ method: "M".repeat(1_000) }), { line: `${"M".repeat(1_000)} / HTTP/1.1` }),

  badScheme("with CRLF and a field", "http\r\nx-smuggled: 1"),
  badScheme("with a whole URL", "http://evil.test/?"),
  badScheme("with a space", "ht tp"),
  badScheme("with NUL", "http\0"),
  badScheme("with a colon", "http:"),
  badScheme("that is empty", ""),
  badScheme("with a byte above 127", "htt\xfe"),
  open(":scheme https over cleartext: what the back end is told is what was true", "RFC 9113 8.3.1", parts({ scheme: "https" }), { line: LINE, has: { "x-forwarded-proto": "http" } }),
  open(":scheme ftp", "RFC 9113 8.3.1", parts({ scheme: "ftp" }), { line: LINE, has: { "x-forwarded-proto": "http" } }),
  open(":scheme HTTP", "RFC 3986 3.1", parts({ scheme: "HTTP" }), { line: LINE, has: { "x-forwarded-proto": "http" } }),

  ...([":method", ":scheme", ":path", ":authority"] as const).flatMap((name) => {
    const [, value] = asks("GET").find(([key]) => key === name)!;
    const other: Field = [name, name === ":path" ? "/smuggled" : "other"];
    return [
      refused(`${name} twice, with one value`, "rule 57, RFC 9113 8.3.1", [[name, value], ...asks("GET")]),
      refused(`${name} twice, with two values`, "rule 57, RFC 9113 8.3.1", [...asks("GET"), other]),
      refused(`${name} behind a field`, "rule 57, RFC 9113 8.3", [...asks("GET").filter(([key]) => key !== name), ["x-test", "1"], [name, value]]),
    ];
  }),
  passes("pseudo-headers in another order", "RFC 9113 8.3", [[":authority", "a.test"], [":path", "/"], [":method", "GET"], [":scheme", "http"]], { line: LINE, has: { host: "a.test" } }),
];

const authority: readonly H2Case[] = [
  badAuthority("with CRLF and a field", "a.test\r\nx-smuggled: 1"),
  badAuthority("with CRLF and Transfer-Encoding", "a.test\r\ntransfer-encoding: chunked"),
  badAuthority("with LF", "a.test\n"),
  badAuthority("with NUL", "a.test\0"),
  badAuthority("with a space", "a.test evil.test"),
  badAuthority("with a tab behind it", "a.test\t"),
  badAuthority("with userinfo", "user@a.test"),
  badAuthority("with userinfo and a password", "a.test:80@evil.test"),
  badAuthority("with a path", "a.test/path"),
  badAuthority("with a query", "a.test?x"),
  badAuthority("with a fragment", "a.test#x"),
  badAuthority("with a backslash", "a.test\\evil.test"),
  badAuthority("with a port of letters", "a.test:http"),
  badAuthority("with two ports", "a.test:80:81"),
  badAuthority("with half a bracket", "[::1"),
  badAuthority("with a byte above 127", "caf\xe9.test"),
  badAuthority("that is empty", ""),
  passes(":authority with a port", "rule 58", parts({ authority: "a.test:8080" }), { line: LINE, has: { host: "a.test:8080", "x-forwarded-host": "a.test:8080" } }),
  passes(":authority that is an IPv6 address", "rule 58", parts({ authority: "[::1]:8080" }), { line: LINE, has: { host: "[::1]:8080" } }),
  passes(":authority in upper case", "rule 58", parts({ authority: "A.Test" }), { line: LINE, has: { host: /^a\.test$/i } }),
  open(":authority with a port above 65535", "RFC 3986 3.2.3", parts({ authority: "a.test:99999" }), { line: LINE, has: { host: "a.test:99999" } }),
  open(":authority with an empty port", "RFC 3986 3.2.3", parts({ authority: "a.test:" }), { line: LINE, has: { host: /^a\.test:?$/ } }),
  open(":authority with a comma", "RFC 3986 3.2.2", parts({ authority: "a.test,evil.test" }), { line: LINE, has: { host: "a.test,evil.test" } }),
  open(":authority of 2,000 bytes", "limits", parts({ authority: "a".repeat(2_000) }), { line: LINE, has: { host: "a".repeat(2_000) } }),

  passes("Host is made of :authority", "rule 58, RFC 9113 8.3.1", asks("GET"), { line: LINE, has: { host: "a.test" } }),
  passes("host beside the same :authority makes one Host", "rule 58, RFC 9113 8.3.1", asks("GET", "/", ["host", "a.test"]), { line: LINE, has: { host: "a.test" } }),
  passes("host instead of :authority", "RFC 9113 8.3.1", parts({ authority: undefined }, ["host", "b.test"]), { line: LINE, has: { host: "b.test" } }),
  refused("host that differs from :authority", "rule 58, RFC 9113 8.3.1", asks("GET", "/", ["host", "evil.test"])),
  refused("host with another port than :authority", "rule 58", asks("GET", "/", ["host", "a.test:81"])),
  refused("host that is empty beside :authority", "rule 58", asks("GET", "/", ["host", ""])),
  refused("two host, beside :authority", "rules 29, 58", asks("GET", "/", ["host", "a.test"], ["host", "evil.test"])),
  refused("two host that agree, without :authority", "rule 29", parts({ authority: undefined }, ["host", "a.test"], ["host", "a.test"])),
  refused("two host that differ, without :authority", "rule 29", parts({ authority: undefined }, ["host", "a.test"], ["host", "evil.test"])),
  refused("host with userinfo, without :authority", "rule 29", parts({ authority: undefined }, ["host", "user@a.test"])),
  refused("host that is a list", "rule 29", parts({ authority: undefined }, ["host", "a.test, evil.test"])),
  refused("neither :authority nor host", "rule 29, RFC 9113 8.3.1", parts({ authority: undefined })),
  open("host in another case than :authority", "rule 58, RFC 3986 3.2.2", asks("GET", "/", ["host", "A.TEST"]), { line: LINE, has: { host: /^a\.test$/i } }),
];

const framing: readonly H2Case[] = [
  early("H2.CL: content-length: 0 before a body that is a request", "", post(1, "/", ["content-length", "0"]), data(1, SMUGGLED)),
  refusedBody("H2.CL: a content-length that ends where a request begins", "rule 59, H2.CL", post(1, "/", ["content-length", "5"]), data(1, `hello${SMUGGLED}`)),
  refusedBody("H2.CL: a content-length beyond the body", "rule 59, H2.CL", post(1, "/", ["content-length", "500"]), data(1, "hello")),
  refusedBody("content-length without any DATA", "rule 59", headers(1, asks("POST", "/", ["content-length", "5"]))),
  refusedBody("content-length with an empty DATA", "rule 59", post(1, "/", ["content-length", "5"]), data(1, "")),
  refusedBody("content-length of a GET without any DATA", "rule 59", get(1, "/", ["content-length", "5"])),
  refusedBody("content-length above the sum of several DATA", "rule 59", post(1, "/", ["content-length", "11"]), data(1, "hello", more), data(1, "world")),
  refusedBody("content-length above the body, then trailers", "rule 59", post(1, "/", ["content-length", "11"]), data(1, "hello", more), headers(1, [["x-sum", "1"]])),
  early("H2.CL: a content-length below the sum of several DATA", "hello", post(1, "/", ["content-length", "5"]), data(1, "hello", more), data(1, SMUGGLED)),
  refusedBody("two content-length that agree", "rule 2", post(1, "/", ["content-length", "5"], ["content-length", "5"]), data(1, "hello")),
  refusedBody("two content-length that differ", "rule 2", post(1, "/", ["content-length", "5"], ["content-length", "0"]), data(1, "hello")),
  badLength("with a plus sign", "+5"),
  badLength("with a minus sign", "-5"),
  badLength("in hex", "0x5"),
  badLength("as a list", "5, 5"),
  badLength("with a letter behind it", "5a"),
  badLength("with a space inside", "5 5"),
  badLength("that is empty", ""),
  badLength("that is a word", "five"),
  badLength("of 2^64 + 5", "18446744073709551621"),
  badLength("with CRLF and a field", "5\r\nx-smuggled: 1"),
  passesBody("content-length that is true", "rule 59", { body: "hello", has: { "content-length": "5" }, lacks: ["transfer-encoding"] }, posted(1, "hello", "/", ["content-length", "5"])),
  passesBody("content-length that is true over several DATA, one of them padded", "rule 59", { body: "helloworld", has: { "content-length": "10" } }, post(1, "/", ["content-length", "10"]), data(1, "hello", { ...more, pad: 9 }), data(1, "world")),
  passesBody("content-length: 0 without any DATA", "rule 59", { body: "" }, headers(1, asks("POST", "/", ["content-length", "0"]))),
  passesBody("content-length: 0 with an empty DATA", "rule 59", { body: "" }, post(1, "/", ["content-length", "0"]), data(1, "")),

  passesBody("H2.0: a body without content-length that is a request stays a body", "rule 59, H2.0", { body: SMUGGLED }, posted(1, SMUGGLED)),
  passesBody("a body that looks like the end of chunks", "rule 59", { body: `0\r\n\r\n${SMUGGLED}` }, posted(1, `0\r\n\r\n${SMUGGLED}`)),
  passesBody("a body of CRLFs", "rule 59", { body: "\r\n\r\n\r\n" }, posted(1, "\r\n\r\n\r\n")),
  passesBody("a POST without content-length and without DATA", "RFC 9112 6.3", { body: "" }, headers(1, asks("POST"))),
  one("a GET with a body stays one request", "RFC 9110 9.3.1", [headers(1, asks("GET"), more), data(1, SMUGGLED)], reply(1), [{ line: LINE, body: SMUGGLED }]),
  one("a HEAD with a body stays one request", "RFC 9110 9.3.2", [headers(1, asks("HEAD"), more), data(1, SMUGGLED)], reply(1), [{ line: "HEAD / HTTP/1.1", body: SMUGGLED }]),
  one("a GET without a body has none in HTTP/1 either", "RFC 9112 6.3", [get(1)], reply(1), [{ line: LINE, body: "", lacks: ["transfer-encoding", "content-length"] }]),

  refusedBody("H2.TE: transfer-encoding: chunked before the end of chunks and a request", "rule 56, H2.TE", post(1, "/", ["transfer-encoding", "chunked"]), data(1, `0\r\n\r\n${SMUGGLED}`)),
  refusedBody("transfer-encoding: chunked beside content-length", "rule 56, H2.TE", post(1, "/", ["transfer-encoding", "chunked"], ["content-length", "5"]), data(1, "hello")),
  refusedBody("transfer-encoding: identity", "rule 56", post(1, "/", ["transfer-encoding", "identity"]), data(1, "hello")),
  refusedBody("transfer-encoding: gzip", "rule 56", post(1, "/", ["transfer-encoding", "gzip"]), data(1, "hello")),
  refusedBody("transfer-encoding that is empty", "rule 56", post(1, "/", ["transfer-encoding", ""]), data(1, "hello")),
  refusedBody("Transfer-Encoding in upper case", "rule 55", post(1, "/", ["Transfer-Encoding", "chunked"]), data(1, `0\r\n\r\n${SMUGGLED}`)),
  refusedBody("transfer-encoding with a space behind its name", "rule 55", post(1, "/", ["transfer-encoding ", "chunked"]), data(1, `0\r\n\r\n${SMUGGLED}`)),
  refusedBody("transfer-encoding hidden behind CRLF in a value", "rule 55, H2.TE", post(1, "/", ["foo", "b\r\ntransfer-encoding: chunked"]), data(1, `0\r\n\r\n${SMUGGLED}`)),
  refusedBody("transfer-encoding hidden behind CRLF in a name", "rule 55, H2.TE", post(1, "/", ["foo: b\r\ntransfer-encoding", "chunked"]), data(1, `0\r\n\r\n${SMUGGLED}`)),
  refusedBody("transfer-encoding hidden behind CRLF in :authority", "rule 58, H2.TE", headers(1, parts({ method: "POST", authority: "a.test\r\ntransfer-encoding: chunked" }), more), data(1, `0\r\n\r\n${SMUGGLED}`)),
];

const fields: readonly H2Case[] = [
  connectionField("connection", "close"),
  connectionField("connection", "keep-alive"),
  connectionField("connection", "x-forwarded-for, host"),
  connectionField("connection", "content-length"),
  connectionField("connection", ""),
  connectionField("keep-alive", "timeout=5"),
  connectionField("proxy-connection", "keep-alive"),
  connectionField("upgrade", "websocket"),
  connectionField("upgrade", "h2c"),
  connectionField("transfer-encoding", "chunked"),
  connectionField("te", "gzip"),
  connectionField("te", "trailers, gzip"),
  connectionField("te", "trailers;q=0.5"),
  connectionField("te", ""),
  passes("te: trailers", "rule 56, RFC 9113 8.2.2", asks("GET", "/", ["te", "trailers"]), { line: LINE, has: {} }),
  passes("a field that a Connection of the past would have nominated stays", "rule 34", asks("GET", "/", ["x-secret", "1"]), { line: LINE, has: { "x-secret": "1" } }),
  passes("proxy-authorization is for the proxy", "rule 36", asks("GET", "/", ["proxy-authorization", "Basic x"]), { line: LINE, lacks: ["proxy-authorization"] }),
  passes("http2-settings is not passed on", "rule 38", asks("GET", "/", ["http2-settings", "AAMAAABkAAQAAP__"]), { line: LINE, lacks: ["http2-settings"] }),

  passes("cookie crumbs become one field", "rule 60, RFC 9113 8.2.3", asks("GET", "/", ["cookie", "a=1"], ["cookie", "b=2"], ["cookie", "c=3"]), { line: LINE, has: { cookie: "a=1; b=2; c=3" } }),
  passes("cookie crumbs with other fields between them", "rule 60", asks("GET", "/", ["cookie", "a=1"], ["x-test", "1"], ["cookie", "b=2"]), { line: LINE, has: { cookie: "a=1; b=2", "x-test": "1" } }),
  passes("a cookie that is whole stays as it is", "rule 60", asks("GET", "/", ["cookie", "a=1; b=2"]), { line: LINE, has: { cookie: "a=1; b=2" } }),
  passes("cookie crumbs of which one has two", "rule 60", asks("GET", "/", ["cookie", "a=1; b=2"], ["cookie", "c=3"]), { line: LINE, has: { cookie: "a=1; b=2; c=3" } }),
  passes("fifty cookie crumbs", "rule 60", asks("GET", "/", ...Array.from({ length: 50 }, (_, i): Field => ["cookie", `c${i}=${i}`])), { line: LINE, has: { cookie: Array.from({ length: 50 }, (_, i) => `c${i}=${i}`).join("; ") } }),
  refused("a cookie crumb with CRLF", "rule 55", asks("GET", "/", ["cookie", "a=1"], ["cookie", "b=2\r\nx-smuggled: 1"])),

  passes("X-Forwarded-* of a client that is not trusted is overwritten", "rule 41", asks("GET", "/", ["x-forwarded-for", "1.2.3.4"], ["x-forwarded-proto", "https"], ["x-forwarded-host", "evil.test"]), {
    line: LINE,
    has: { "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-host": "a.test" },
  }),
  passes("Via is added and names HTTP/2", "rule 41, RFC 9110 7.6.3", asks("GET", "/", ["via", "1.0 fred"]), { line: LINE, has: { via: /^1\.0 fred, 2(\.0)? \S+$/ } }),
  passes("OPTIONS with max-forwards: 5 counts down", "RFC 9110 7.6.2", asks("OPTIONS", "/", ["max-forwards", "5"]), { line: "OPTIONS / HTTP/1.1", has: { "max-forwards": "4" } }),
];

const trailers: readonly H2Case[] = [
  passesBody("trailers go on as trailers", "rules 13, 61, RFC 9113 8.1", { body: "hello", trailers: ["x-sum: 1", "x-other: 2"], lacks: ["x-sum"] }, ...withTrailers(["x-sum", "1"], ["x-other", "2"])),
  passesBody("host, content-length and authorization in trailers are dropped", "rule 13, RFC 9110 6.5.1", { body: "hello", trailers: ["x-sum: 1"] }, ...withTrailers(["host", "evil.test"], ["content-length", "0"], ["authorization", "Basic x"], ["x-sum", "1"])),
  ...(
    [
      ["transfer-encoding", ["transfer-encoding", "chunked"]],
      ["connection", ["connection", "close"]],
      ["a pseudo-header", [":path", "/smuggled"]],
      ["an upper-case name", ["X-Sum", "1"]],
      ["CRLF in a value", ["x-sum", `1\r\n\r\n${SMUGGLED}`]],
      ["CRLF in a name", [`x-sum: 1\r\n\r\n${SMUGGLED}x`, "1"]],
      ["a space in a name", ["x sum", "1"]],
      ["an empty name", ["", "1"]],
    ] as const
  ).map(([what, field]) => refusedBody(`trailers with ${what}`, "rules 55, 56, 61, RFC 9113 8.1", ...withTrailers(field))),
  one("trailers behind a body of a known length: the body stays what it is", "RFC 9112 6.3", [post(1, "/", ["content-length", "5"]), data(1, "hello", more), headers(1, [["x-sum", "1"]])], reply(1), [{ line: POST, body: "hello" }]),
];

const all = [...names, ...values, ...pseudo, ...authority, ...framing, ...fields, ...trailers];

export const downgrade: readonly H2Case[] = all.map((test, i) => ({ ...test, id: `downgrade/${i + 1}` }));
