/** Published request smuggling against framing: two lengths, hidden codings, odd lines. Each case is the shape of an attack, with a request inside that must never arrive. */
import { type RequestCase, either, forward, get, message, must, post, refuse } from "../cases.ts";

const WATCHFIRE = "Linhart, Klein, Heled, Orrin: HTTP Request Smuggling (2005)";
const REBORN = "Kettle: HTTP Desync Attacks: Request Smuggling Reborn (2019)";
const VARIANTS = "Klein: HTTP Request Smuggling in 2020";
const TREQS = "Jabiyev and others: T-Reqs: HTTP Request Smuggling with Differential Fuzzing (2021)";
const GARDEN = "Kallus and others: The HTTP Garden (2024)";

const EVIL = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
const CHUNKS = "5\r\nhello\r\n0\r\n\r\n";

/** A body that ends at once for who reads chunks, and holds a request for who reads the length. */
function clTe(name: string, source: string, ...lines: readonly string[]): RequestCase {
  const body = `0\r\n\r\n${EVIL}`;
  return refuse(name, source, post([...lines.map((line) => line.replace("LENGTH", String(body.length)))], body), [400, 501]);
}

/** A body that is one chunk with a request inside; who reads the length sees only the chunk's size line. */
function teCl(name: string, source: string, ...lines: readonly string[]): RequestCase {
  const size = EVIL.length.toString(16);
  return refuse(name, source, post([...lines.map((line) => line.replace("LENGTH", String(size.length + 2)))], `${size}\r\n${EVIL}\r\n0\r\n\r\n`), [400, 501]);
}

function hidden(name: string, line: string, source = REBORN): RequestCase {
  return clTe(`CL.TE: ${name}`, source, "Content-Length: LENGTH", line);
}

export const smuggling: readonly RequestCase[] = [
  ...must(
    refuse("two lengths: a proxy takes the last, a server the first", WATCHFIRE, post(["Content-Length: 0", `Content-Length: ${EVIL.length}`], EVIL)),
    refuse("two lengths: a proxy takes the first, a server the last", WATCHFIRE, post([`Content-Length: ${EVIL.length}`, "Content-Length: 0"], EVIL)),
    refuse("two lengths on a GET", WATCHFIRE, message("GET", ["Content-Length: 0", `Content-Length: ${EVIL.length}`], EVIL)),
    refuse("two lengths far apart", WATCHFIRE, post(["Content-Length: 0", ...Array.from({ length: 40 }, (_, i) => `X-${i}: 1`), `Content-Length: ${EVIL.length}`], EVIL)),
    refuse("three lengths of which two agree", WATCHFIRE, post(["Content-Length: 5", "Content-Length: 5", `Content-Length: ${EVIL.length}`], `hello${EVIL}`)),
  ),
  refuse("a space and CR before the colon of the length", WATCHFIRE, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length \r: 5\r\n\r\nhello"),

  clTe("CL.TE: a length and chunks, with a request behind the zero chunk", REBORN, "Content-Length: LENGTH", "Transfer-Encoding: chunked"),
  clTe("CL.TE: chunks and a length", REBORN, "Transfer-Encoding: chunked", "Content-Length: LENGTH"),
  teCl("TE.CL: a length of the size line, with a request inside the chunk", REBORN, "Content-Length: LENGTH", "Transfer-Encoding: chunked"),
  teCl("TE.CL: chunks named twice", REBORN, "Content-Length: LENGTH", "Transfer-Encoding: chunked", "Transfer-encoding: cow"),
  teCl("TE.CL: chunked and identity", REBORN, "Content-Length: LENGTH", "Transfer-Encoding: chunked, identity"),
  hidden("xchunked beside a length", "Transfer-Encoding: xchunked"),
  ...must(hidden("a space before the colon", "Transfer-Encoding : chunked"), hidden("a tab before the colon", "Transfer-Encoding\t: chunked")),
  hidden("a tab before the value", "Transfer-Encoding:\tchunked"),
  hidden("two spaces before the value", "Transfer-Encoding:  chunked"),
  hidden("no space before the value", "Transfer-Encoding:chunked"),
  hidden("a vertical tab before the value", "Transfer-Encoding: \x0bchunked"),
  hidden("the value on the next line", "Transfer-Encoding:\r\n chunked"),
  hidden("the colon on the next line", "Transfer-Encoding\r\n : chunked"),
  hidden("behind a bare LF in another value", "X: X\nTransfer-Encoding: chunked"),
  hidden("behind a bare CR in another value", "X: X\rTransfer-Encoding: chunked"),
  hidden("behind two CR", "X: X\r\r\nTransfer-Encoding: chunked"),
  hidden("a quoted value", 'Transfer-Encoding: "chunked"'),
  hidden("a value behind a colon", "Transfer-Encoding: : chunked"),
  hidden("a value with a comma before it", "Transfer-Encoding: ,chunked"),
  hidden("a value with a comma behind it", "Transfer-Encoding: chunked,"),
  hidden("a value with a semicolon", "Transfer-Encoding: chunked;"),
  hidden("a value with a space inside", "Transfer-Encoding: chu nked"),
  hidden("cow and chunked", "Transfer-Encoding: cow, chunked"),
  hidden("identity and chunked", "Transfer-Encoding: identity, chunked"),
  hidden("chunked and a space and cow", "Transfer-Encoding: chunked cow"),
  hidden("a name in bad upper case", "TRANSFER-ENCODING: CHUNKED"),
  hidden("a name of which a letter is not ASCII", "Tran\x73fer-Encod\xednG: chunked"),
  hidden("a Kelvin sign for the k", "Transfer-Encoding: chun\xe2\x84\xaaed"),
  hidden("a value in Latin-1 blanks", "Transfer-Encoding: \x85chunked\xa0"),
  hidden("a null byte behind the value", "Transfer-Encoding: chunked\0"),
  hidden("a name with a null byte before", "\0Transfer-Encoding: chunked"),
  hidden("a name with a byte order mark before", "\xef\xbb\xbfTransfer-Encoding: chunked"),
  hidden("a name with a backspace", "Transfer-Encodin\x08g: chunked"),
  hidden("Content-Encoding instead, and a true one", "Content-Encoding: chunked\r\nTransfer-Encoding: chunked"),
  hidden("the name in quotes", '"Transfer-Encoding": chunked'),
  hidden("a value as a parameter", "Transfer-Encoding: x;chunked"),
  hidden("a value with a line feed behind it", "Transfer-Encoding: chunked\n"),
  hidden("a first line that is indented", " Transfer-Encoding: chunked"),
  forward("Content-Encoding: chunked says nothing of the length", REBORN, post(["Content-Encoding: chunked", "Content-Length: 5"], "hello"), { body: "hello", has: { "content-encoding": "chunked" } }),

  refuse("junk between the name of the length and the colon", VARIANTS, post([`Content-Length abcde: ${EVIL.length}`, "Content-Length: 0"], EVIL)),
  ...must(refuse("junk between the name of the length and the colon, alone", VARIANTS, post([`Content-Length abcde: ${EVIL.length}`], EVIL))),
  refuse("CR between two fields, the second of which is the length", VARIANTS, post([`X: y\rContent-Length: ${EVIL.length}`, "Content-Length: 0"], EVIL)),
  refuse("a length behind CR at the start of a line", VARIANTS, post([`\rContent-Length: ${EVIL.length}`], EVIL)),
  refuse("HTTP/1.2 with a length and chunks", VARIANTS, `POST / HTTP/1.2\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`, [400, 505]),
  refuse("a length in another script's digits", VARIANTS, post(["Content-Length: \xd9\xa5"], "hello")),
  refuse("a length with a comment", VARIANTS, post(["Content-Length: 5 (five)"], "hello")),
  refuse("a length with a semicolon", VARIANTS, post(["Content-Length: 5;"], "hello")),

  refuse("a version twice", TREQS, "GET / HTTP/1.1 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
  refuse("a version with a zero before it", TREQS, "GET / 0HTTP/1.1\r\nHost: a.test\r\n\r\n"),
  refuse("a version in reverse", TREQS, "GET / 1.1/HTTP\r\nHost: a.test\r\n\r\n"),
  refuse("a version with a minus sign", TREQS, "GET / HTTP/-1.1\r\nHost: a.test\r\n\r\n"),
  refuse("a version with a space inside", TREQS, "GET / HTTP/1. 1\r\nHost: a.test\r\n\r\n"),
  refuse("a version with a letter behind it", TREQS, "GET / HTTP/1.1x\r\nHost: a.test\r\n\r\n"),
  refuse("a version of three numbers", TREQS, "GET / HTTP/1.1.1\r\nHost: a.test\r\n\r\n"),
  refuse("a version with a backslash", TREQS, "GET / HTTP\\1.1\r\nHost: a.test\r\n\r\n"),
  refuse("HTTP/1.0 with chunks and keep-alive", TREQS, `POST / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}${EVIL}`),
  refuse("HTTP/1.0 with a length and chunks", TREQS, `POST / HTTP/1.0\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`),
  forward("a chunked body on a HEAD", TREQS, `HEAD / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`, { line: "HEAD / HTTP/1.1", body: "hello" }),
  forward("a chunked body on an OPTIONS", TREQS, `OPTIONS / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`, { line: "OPTIONS / HTTP/1.1", body: "hello" }),
  forward("a body on a method that nobody knows", TREQS, `FROB / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello`, { line: "FROB / HTTP/1.1", body: "hello" }),
  refuse("a method with a line feed", TREQS, "GE\nT / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
  refuse("a field in the request line's place", TREQS, `Content-Length: 5\r\nPOST / HTTP/1.1\r\nHost: a.test\r\n\r\nhello`),
  refuse("a request line twice", TREQS, "GET / HTTP/1.1\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),

  ...must(
    refuse("a length with an underscore between its digits", GARDEN, post(["Content-Length: 1_0"], "helloworld")),
    refuse("a length in octal as some languages write it", GARDEN, post(["Content-Length: 0o5"], "hello")),
    refuse("a length in binary as some languages write it", GARDEN, post(["Content-Length: 0b101"], "hello")),
    refuse("a length with a plus and a space", GARDEN, post(["Content-Length: + 5"], "hello")),
    refuse("a length with a NUL behind it", GARDEN, post(["Content-Length: 5\0"], "hello")),
    refuse("a length with a next-line byte behind it", GARDEN, post(["Content-Length: 5\x85"], "hello")),
  ),
  refuse("a line with an empty name and nothing else", GARDEN, get(":")),
  refuse("a line with an empty name and framing in it", GARDEN, post([":Content-Length: 5", "Content-Length: 0"], EVIL)),
  refuse("a field name with a tab inside", GARDEN, get("X\tA: 1")),
  refuse("a field name that begins with CR", GARDEN, get("\rX-A: 1")),
  refuse("a bare CR before the last empty line", GARDEN, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\r\n"),
  refuse("an LF CR as a line end", GARDEN, "GET / HTTP/1.1\n\rHost: a.test\r\n\r\n"),
  refuse("a folded line behind the length", GARDEN, post(["Content-Length: 5", " 0"], "hello")),
  refuse("a folded line behind Transfer-Encoding", GARDEN, post(["Transfer-Encoding: chunked", " , identity"], CHUNKS), [400, 501]),
  refuse("a folded line behind Host", GARDEN, "GET / HTTP/1.1\r\nHost: a.test\r\n .evil.test\r\n\r\n"),

  refuse("a length of 2^64", "integer overflow in proxies, RFC 9110 8.6", post(["Content-Length: 18446744073709551616"], "hello")),
  refuse("a name that overflows and ends as the length", "CVE-2021-40346", `POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length0${"a".repeat(255)}:\r\nContent-Length: ${EVIL.length}\r\nContent-Length: 0\r\n\r\n${EVIL}`),
  refuse("an empty field name that ends the head early", "CVE-2023-25725", `POST / HTTP/1.1\r\nHost: a.test\r\n:\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`),
  ...must(refuse("an empty length beside a true one", "CVE-2023-40225", post(["Content-Length:", "Content-Length: 5"], "hello"))),
  refuse("# in the target", "CVE-2023-45539", "GET /index.html#.png HTTP/1.1\r\nHost: a.test\r\n\r\n"),
  refuse("a space before Content-Length", "CVE-2024-27982", post([" Content-Length: 5"], "hello")),
  refuse("CR alone behind a field", "CVE-2023-30589", `POST / HTTP/1.1\r\nHost: a.test\r\nX-Abc:\rxTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`, [400, 501]),
  refuse("Transfer-Encoding on several lines, the last of them not chunked", "CVE-2022-32215", post(["Transfer-Encoding: chunked,", " identity"], CHUNKS), [400, 501]),
  refuse("Transfer-Encoding with what only looks like chunked", "CVE-2022-32213", post(["Transfer-Encoding: chunkedchunked"], CHUNKS), [400, 501]),
  either("blanks of every kind around a valid value", "RFC 9110 5.6.3", post(["Transfer-Encoding: \t \tchunked \t "], CHUNKS), { body: "hello" }),
];
