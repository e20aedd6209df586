/** How long a request is: Content-Length, Transfer-Encoding, and what happens when the two are doubtful. */
import { type RequestCase, cut, either, forward, get, message, must, post, refuse } from "../cases.ts";

const CHUNKS = "5\r\nhello\r\n0\r\n\r\n";
const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

/** A Transfer-Encoding that a lenient peer may take for `chunked` and a strict one for something else. */
function obfuscated(name: string, ...lines: readonly string[]): RequestCase {
  return refuse(`TE.TE: ${name}`, "RFC 9112 6.1", post(lines, CHUNKS), [400, 501]);
}

function badLength(name: string, value: string): RequestCase {
  return { ...refuse(`Content-Length ${name}`, "RFC 9112 6.3", post([`Content-Length: ${value}`], "hello")), must: true };
}

export const framing: readonly RequestCase[] = [
  refuse("CL.TE: Content-Length before Transfer-Encoding", "RFC 9112 6.1", post(["Content-Length: 6", "Transfer-Encoding: chunked"], "0\r\n\r\nX")),
  refuse("TE.CL: Transfer-Encoding before Content-Length", "RFC 9112 6.1", post(["Transfer-Encoding: chunked", "Content-Length: 4"], `29\r\n${SMUGGLED}\r\n0\r\n\r\n`)),
  refuse("Content-Length: 0 with Transfer-Encoding", "RFC 9112 6.3", post(["Content-Length: 0", "Transfer-Encoding: chunked"], CHUNKS)),
  refuse("CL.TE with another coding", "RFC 9112 6.1", post(["Content-Length: 5", "Transfer-Encoding: identity"], "hello"), [400, 501]),
  refuse("CL.TE on a GET, with a smuggled request", "RFC 9112 6.3", `${get("Content-Length: 3", "Transfer-Encoding: chunked")}0\r\n\r\n${SMUGGLED}`),

  refuse("two Content-Length that agree", "RFC 9112 6.3", post(["Content-Length: 5", "Content-Length: 5"], "hello")),
  ...must(refuse("two Content-Length that differ", "RFC 9112 6.3", post(["Content-Length: 5", "Content-Length: 0"], "hello"))),
  ...must(refuse("two Content-Length in different case", "RFC 9112 6.3", post(["Content-Length: 5", "CONTENT-LENGTH: 6"], "hello!"))),
  refuse("Content-Length list that agrees", "RFC 9110 8.6", post(["Content-Length: 5, 5"], "hello")),
  ...must(refuse("Content-Length list that differs", "RFC 9110 8.6", post(["Content-Length: 5, 0"], "hello"))),
  refuse("Content-Length list with an empty element", "RFC 9110 8.6", post(["Content-Length: 5,"], "hello")),

  badLength("with a plus sign", "+5"),
  badLength("with a minus sign", "-5"),
  badLength("minus zero", "-0"),
  badLength("in hex", "0x5"),
  badLength("with an inner space", "5 5"),
  badLength("empty", ""),
  badLength("of spaces only", "   "),
  badLength("with letters after it", "5a"),
  badLength("that is a word", "five"),
  badLength("with a fraction", "5.0"),
  badLength("with an exponent", "5e0"),
  badLength("in quotes", '"5"'),
  badLength("with a vertical tab", "\x0b5"),
  badLength("with a form feed after it", "5\x0c"),
  badLength("with an underscore between digits", "0_5"),
  badLength("with a no-break space", "\xa05"),
  badLength("above 2^53", "9007199254740993"),
  badLength("of 2^64 + 5, which overflows to 5", "18446744073709551621"),
  badLength("above 2^53 behind zeros", "000000000000099999999999999999"),
  forward("Content-Length with blanks around it", "RFC 9112 5.1", post(["Content-Length: \t 5 \t"], "hello"), { body: "hello" }),
  forward("Content-Length with leading zeros", "RFC 9110 8.6 (1*DIGIT)", post(["Content-Length: 005"], "hello"), { body: "hello" }),
  forward("content-length in any case", "RFC 9110 5.1", post(["cOnTeNt-LeNgTh: 5"], "hello"), { body: "hello" }),
  forward("Content-Length: 0", "RFC 9110 8.6", post(["Content-Length: 0"], ""), { line: "POST / HTTP/1.1", body: "", has: { "content-length": "0" } }),
  forward("a GET with a body", "RFC 9110 9.3.1", message("GET", ["Content-Length: 5"], "hello"), { line: "GET / HTTP/1.1", body: "hello" }),
  forward("a DELETE with a chunked body", "RFC 9110 9.3.5", message("DELETE", ["Transfer-Encoding: chunked"], CHUNKS), { line: "DELETE / HTTP/1.1", body: "hello" }),
  forward("a POST without a body", "RFC 9112 6.3", post([], ""), { line: "POST / HTTP/1.1", body: "" }),

  ...must(refuse("Transfer-Encoding that does not end in chunked", "RFC 9112 6.3", post(["Transfer-Encoding: chunked, gzip"], CHUNKS), [400, 501])),
  ...must(refuse("Transfer-Encoding gzip alone", "RFC 9112 6.3", post(["Transfer-Encoding: gzip"], "hello"), [400, 501])),
  refuse("an unknown transfer coding", "RFC 9112 6.1", post(["Transfer-Encoding: frob, chunked"], CHUNKS), [501]),
  refuse("an unknown transfer coding alone", "RFC 9112 6.1", post(["Transfer-Encoding: frob"], "hello"), [400, 501]),
  refuse("Transfer-Encoding identity", "RFC 9112 7", post(["Transfer-Encoding: identity"], "hello"), [400, 501]),
  refuse("an empty Transfer-Encoding", "RFC 9112 7", post(["Transfer-Encoding:"], CHUNKS), [400, 501]),

  obfuscated("chunked twice in a list", "Transfer-Encoding: chunked, chunked"),
  obfuscated("chunked twice on two lines", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
  ...must(obfuscated("chunked, then identity on another line", "Transfer-Encoding: chunked", "Transfer-Encoding: identity")),
  obfuscated("identity, then chunked on another line", "Transfer-Encoding: identity", "Transfer-Encoding: chunked"),
  obfuscated("x-line first", "Transfer-Encoding: x", "Transfer-encoding: chunked"),
  obfuscated("a parameter", "Transfer-Encoding: chunked;q=1"),
  obfuscated("a parameter without value", "Transfer-Encoding: chunked;"),
  obfuscated("quoted", 'Transfer-Encoding: "chunked"'),
  obfuscated("single-quoted", "Transfer-Encoding: 'chunked'"),
  obfuscated("xchunked", "Transfer-Encoding: xchunked"),
  obfuscated("chunkedx", "Transfer-Encoding: chunkedx"),
  obfuscated("vertical tab before", "Transfer-Encoding: \x0bchunked"),
  obfuscated("vertical tab after", "Transfer-Encoding: chunked\x0b"),
  obfuscated("form feed after", "Transfer-Encoding: chunked\x0c"),
  obfuscated("no-break space before", "Transfer-Encoding: \xa0chunked"),
  obfuscated("NUL after", "Transfer-Encoding: chunked\0"),
  obfuscated("bare CR before", "Transfer-Encoding:\rchunked"),
  obfuscated("bare LF before", "Transfer-Encoding:\nchunked"),
  obfuscated("folded", "Transfer-Encoding:\r\n chunked"),
  ...must(obfuscated("space before the colon", "Transfer-Encoding : chunked")),
  ...must(obfuscated("tab before the colon", "Transfer-Encoding\t: chunked")),
  obfuscated("hidden behind a bare LF", "X: y\nTransfer-Encoding: chunked"),
  obfuscated("hidden behind a bare CR", "X: y\rTransfer-Encoding: chunked"),
  obfuscated("indented line", "X: y", " Transfer-Encoding: chunked"),
  obfuscated("underscore name", "Transfer_Encoding: chunked"),
  obfuscated("spelt with a space", "Transfer Encoding: chunked"),
  obfuscated("spelt with a NUL", "Transfer-Encoding\0: chunked"),
  either("an empty list element before chunked", "RFC 9110 5.6.1", post(["Transfer-Encoding: , chunked"], CHUNKS), { body: "hello" }),
  either("gzip, chunked", "RFC 9112 7.2", post(["Transfer-Encoding: gzip, chunked"], CHUNKS), { body: "hello" }),
  refuse("underscore Content_Length beside a true one", "RFC 3875 4.1.18", post(["Content_Length: 0", "Content-Length: 5"], "hello")),
  forward("chunked in upper case", "RFC 9112 7", post(["Transfer-Encoding: CHUNKED"], CHUNKS), { body: "hello" }),
  forward("chunked with blanks around it", "RFC 9112 5.1", post(["Transfer-Encoding:\t chunked \t"], CHUNKS), { body: "hello" }),

  refuse("Transfer-Encoding in HTTP/1.0", "RFC 9112 6.1", `POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`),
  refuse("Transfer-Encoding in HTTP/1.0 with keep-alive and a length", "RFC 9112 6.1", `POST / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`),

  cut("the input ends inside a length", "RFC 9112 8", post(["Content-Length: 10"], "hello")),
  cut("the input ends before a length's first byte", "RFC 9112 8", post(["Content-Length: 10"], "")),
  cut("the input ends inside a chunk", "RFC 9112 8", post(["Transfer-Encoding: chunked"], "a\r\nhello")),
  cut("the input ends after a whole chunk", "RFC 9112 8", post(["Transfer-Encoding: chunked"], "5\r\nhello\r\n")),
  cut("the input ends after the zero chunk's line", "RFC 9112 8", post(["Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n")),
  cut("the input ends inside the trailers", "RFC 9112 8", post(["Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\nX-A: 1\r\n")),
  cut("the input ends inside the head", "RFC 9112 8", "GET / HTTP/1.1\r\nHost: a.test\r\n"),

  forward("three pipelined GETs", "RFC 9112 9.3.2", ["/1", "/2", "/3"].map((path) => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`).join(""), { line: "GET /1 HTTP/1.1" }, { line: "GET /2 HTTP/1.1" }, { line: "GET /3 HTTP/1.1" }),
  forward("a GET pipelined behind a POST with a length", "RFC 9112 9.3.2", post(["Content-Length: 5"], `hello${get()}`), { line: "POST / HTTP/1.1", body: "hello" }, { line: "GET / HTTP/1.1", body: "" }),
  forward("a GET pipelined behind a chunked POST", "RFC 9112 9.3.2", post(["Transfer-Encoding: chunked"], `${CHUNKS}${get()}`), { body: "hello" }, { line: "GET / HTTP/1.1" }),
  forward("what looks like a request inside a body stays body", "RFC 9112 6.2", post([`Content-Length: ${SMUGGLED.length}`], SMUGGLED), { body: SMUGGLED }),
  refuse("a good request, then a bad one", "RFC 9112 9.3.2", `${get()}GET / HTTP/1.1\r\nHost : a.test\r\n\r\n`, [400], 1),
  refuse("a good request, then bytes beyond its length that are no request", "RFC 9112 6.3", post(["Content-Length: 5"], "hello, world\r\n\r\n"), [400], 1),
];
