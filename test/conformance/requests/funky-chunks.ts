/** Line ends of chunks that two parsers place differently, and what may stand in extensions and trailers. */
import { type RequestCase, chunked, either, forward, must, refuse, room } from "../cases.ts";

const FUNKY = "Weikop: Funky chunks: abusing ambiguous chunk line terminators for request smuggling (2025)";
const ADDENDUM = "Weikop: Funky chunks: addendum (2025)";
const END = "0\r\n\r\n";
const EVIL = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

/** One parser ends the extension at the terminator, another goes on to the next CRLF. */
function terminator(name: string, bytes: string): RequestCase {
  const inner = `${END}${EVIL}`;
  return refuse(`TERM.EXT: ${name} inside an extension`, FUNKY, chunked(`2;${bytes}xx\r\n${inner.length.toString(16)}\r\n${inner}\r\n${END}`));
}

/** The terminator ends the size line for one parser, and is two bytes of data for another. */
function ends(name: string, bytes: string): RequestCase {
  return refuse(`EXT.TERM: ${name} ends a size line with an extension`, FUNKY, chunked(`5;a=b${bytes}hello\r\n${END}${EVIL}`));
}

/** Two bytes behind the data are skipped whatever they are, or one is, or none. */
function spill(name: string, bytes: string, source = FUNKY): RequestCase {
  return refuse(`TERM.SPILL: chunk data followed by ${name}`, source, chunked(`5\r\nhello${bytes}${END}${EVIL}`));
}

function extension(name: string, text: string): RequestCase {
  return either(`extension: ${name}`, "RFC 9112 7.1.1", chunked(`5;${text}\r\nhello\r\n${END}`), { body: "hello" });
}

/** @param kept what the head says under that name all the same */
function dropped(line: string, kept?: string): RequestCase {
  const [name = ""] = line.split(":");
  const head = kept === undefined ? { lacks: [name, "X-Ok"] } : { has: { [name.toLowerCase()]: kept }, lacks: ["X-Ok"] };
  return forward(`trailers: ${name} is not taken for a field of the head`, "RFC 9110 6.5.1", chunked(`5\r\nhello\r\n0\r\n${line}\r\nX-Ok: 1\r\n\r\n`), { body: "hello", trailers: ["X-Ok: 1"], ...head });
}

export const funkyChunks: readonly RequestCase[] = [
  terminator("LF", "\n"),
  terminator("CR", "\r"),
  terminator("CR and a letter", "\rX"),
  terminator("LF CR", "\n\r"),
  terminator("a quoted LF", '"\n"'),
  ...room("RFC 9112 7.1.1: extensions are ignored", terminator("a vertical tab", "\x0b"), terminator("NUL", "\0")),
  ends("LF", "\n"),
  ends("CR", "\r"),
  ends("CR CR LF", "\r\r\n"),
  ends("LF LF", "\n\n"),
  spill("nothing", ""),
  spill("LF", "\n"),
  spill("CR", "\r"),
  spill("LF LF", "\n\n"),
  spill("CR CR", "\r\r"),
  spill("one letter", "X"),
  spill("two letters", "XX"),
  spill("a space and CRLF", " \r\n"),
  spill("CRLF twice", "\r\n\r\n"),
  spill("LF and then CRLF", "\n\r\n", ADDENDUM),
  spill("CR and then CRLF", "\r\r\n", ADDENDUM),
  refuse("zero chunk followed by LF LF", ADDENDUM, chunked(`5\r\nhello\r\n0\n\n${EVIL}`)),
  refuse("zero chunk followed by CR CR", ADDENDUM, chunked(`5\r\nhello\r\n0\r\r${EVIL}`)),
  refuse("last empty line ended by CR and a letter", ADDENDUM, chunked(`5\r\nhello\r\n0\r\n\rX${EVIL}`)),
  refuse("a size line of LF alone before the size", FUNKY, chunked(`\n5\r\nhello\r\n${END}`)),
  refuse("a size line that is empty", FUNKY, chunked(`\r\n5\r\nhello\r\n${END}`)),
  refuse("a bare LF as size line, from Go's chunked reader", "CVE-2025-22871", chunked(`5\nhello\n0\n\n${EVIL}`)),

  refuse("a size of sixteen f", "CVE-2013-2028, RFC 9112 7.1", chunked(`ffffffffffffffff\r\nhello\r\n${END}`)),
  refuse("a size of eight zeros and an overflow", "RFC 9112 7.1", chunked(`100000000000000005\r\nhello\r\n${END}`)),
  refuse("a size with a byte above 127", "RFC 9112 7.1", chunked(`5\xa0\r\nhello\r\n${END}`)),
  refuse("a size with a colon", "RFC 9112 7.1", chunked(`5:\r\nhello\r\n${END}`)),
  refuse("a size with a second one behind a space", "RFC 9112 7.1", chunked(`5 5\r\nhello\r\n${END}`)),
  refuse("a size with an h behind it", "RFC 9112 7.1", chunked(`5h\r\nhello\r\n${END}`)),
  refuse("a zero chunk with a sign", "RFC 9112 7.1", chunked(`5\r\nhello\r\n-0\r\n\r\n`)),
  refuse("a zero chunk of 0x0", "RFC 9112 7.1", chunked(`5\r\nhello\r\n0x0\r\n\r\n`)),
  either("a zero chunk of many zeros", "RFC 9112 7.1", chunked(`5\r\nhello\r\n${"0".repeat(12)}\r\n\r\n`), { body: "hello" }),

  extension("a name alone", "a"),
  extension("a name and a token", "a=b"),
  extension("a quoted value with a semicolon", 'a="b;c"'),
  extension("a quoted value with an escaped quote", 'a="b\\"c"'),
  extension("blanks around the equals sign", "a = b"),
  extension("several", 'a=1;b="2";c'),
  extension("an empty one", ""),
  extension("one that never closes its quote", 'a="b'),
  extension("bytes above 127 in quotes", 'a="\xe9"'),

  // A proxy may know the length by now, and say it.
  forward("trailers: Content-Length is not taken for a field of the head", "RFC 9110 6.5.1", chunked("5\r\nhello\r\n0\r\nContent-Length: 99\r\nX-Ok: 1\r\n\r\n"), { body: "hello", trailers: ["X-Ok: 1"], lacks: ["X-Ok"] }),
  dropped("Host: evil.test", "a.test"),
  dropped("Connection: close"),
  dropped("Cookie: a=b"),
  dropped("Expect: 100-continue"),
  dropped("X-Forwarded-For: 1.2.3.4", "127.0.0.1"),
  dropped("Max-Forwards: 0"),
  ...must(refuse("trailers: a space before the colon of a length", "RFC 9112 5.1", chunked("5\r\nhello\r\n0\r\nContent-Length : 5\r\n\r\n"))),
  refuse("trailers: a request line among them", "CVE-2023-46589", chunked(`5\r\nhello\r\n0\r\nX: y\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n`)),
  refuse("trailers: a bare CR", "RFC 9112 2.2", chunked("5\r\nhello\r\n0\r\nX-A: 1\r2\r\n\r\n")),
  refuse("trailers: an LF as the last line", "RFC 9112 2.2", chunked(`5\r\nhello\r\n0\r\nX-A: 1\r\n\n${EVIL}`)),
  refuse("trailers: a folded one that hides framing", "RFC 9112 5.2", chunked("5\r\nhello\r\n0\r\nX-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n")),
];
