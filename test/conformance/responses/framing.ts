/** How long a reply is, and replies that lie about it. */
import { type ResponseCase, bad, broken, gives, open } from "../cases.ts";

const OK = "HTTP/1.1 200 OK\r\n";
const END = "0\r\n\r\n";

function withLength(value: string, body = "hello"): string {
  return `${OK}Content-Length: ${value}\r\n\r\n${body}`;
}

function chunked(body: string, ...fields: readonly string[]): string {
  return `${OK}${["Transfer-Encoding: chunked", ...fields].map((line) => `${line}\r\n`).join("")}\r\n${body}`;
}

function badLength(name: string, value: string): ResponseCase {
  return bad(`Content-Length ${name}`, "RFC 9112 6.3", withLength(value));
}

function badCoding(name: string, ...lines: readonly string[]): ResponseCase {
  return bad(`Transfer-Encoding: ${name}`, "RFC 9112 6.1", `${OK}${lines.map((line) => `${line}\r\n`).join("")}\r\n5\r\nhello\r\n${END}`);
}

function badChunk(name: string, body: string): ResponseCase {
  return broken(`chunks: ${name}`, "RFC 9112 7.1", chunked(body));
}

export const framing: readonly ResponseCase[] = [
  gives("Content-Length", "RFC 9112 6.2", withLength("5"), { status: 200, body: "hello", has: { "content-length": "5" } }),
  gives("Content-Length: 0", "RFC 9112 6.2", withLength("0", ""), { status: 200, body: "" }),
  gives("Content-Length with blanks around it", "RFC 9112 5.1", withLength(" \t5\t "), { status: 200, body: "hello" }),
  gives("chunked", "RFC 9112 7.1", chunked(`5\r\nhello\r\n6\r\n world\r\n${END}`), { status: 200, body: "hello world" }),
  gives("chunked in another case", "RFC 9112 7", `${OK}tRANSFER-eNCODING: Chunked\r\n\r\n5\r\nhello\r\n${END}`, { status: 200, body: "hello" }),
  gives("an empty chunked body", "RFC 9112 7.1", chunked(END), { status: 200, body: "" }),
  gives("chunk extensions are stripped", "RFC 9112 7.1.1", chunked(`5;a=b;c="d\\"e"\r\nhello\r\n0;z\r\n\r\n`), { status: 200, body: "hello" }),
  gives("trailers go on as trailers", "RFC 9110 6.5", chunked("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", "Trailer: X-Sum"), { status: 200, body: "hello", trailers: ["X-Sum: 1"], lacks: ["X-Sum"] }),
  gives("Content-Length and Transfer-Encoding in trailers are dropped", "RFC 9110 6.5.1", chunked("5\r\nhello\r\n0\r\nContent-Length: 99\r\nX-Ok: 1\r\nTransfer-Encoding: gzip\r\n\r\n"), {
    status: 200,
    body: "hello",
    trailers: ["X-Ok: 1"],
    lacks: ["Content-Length"],
  }),
  gives("a body that ends with the connection", "RFC 9112 6.3", `${OK}\r\nhello`, { status: 200, body: "hello" }, "end"),
  gives("a body that ends with the connection, HTTP/1.0", "RFC 9112 6.3", "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello", { status: 200, body: "hello" }, "end"),
  gives("HTTP/1.0 with a length", "RFC 9112 6.3", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", { status: 200, body: "hello" }, "end"),
  gives("HTTP/1.0 with keep-alive", "RFC 9112 9.3", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", { status: 200, body: "hello" }),
  gives("Connection: close with a length", "RFC 9112 9.6", `${OK}Connection: close\r\nContent-Length: 5\r\n\r\nhello`, { status: 200, body: "hello" }, "end"),

  gives("HEAD with a Content-Length", "RFC 9112 6.3", `${OK}Content-Length: 500\r\n\r\n`, { status: 200, body: "", has: { "content-length": "500" } }, "stay", "HEAD"),
  gives("HEAD with Transfer-Encoding", "RFC 9112 6.1", chunked(""), { status: 200, body: "" }, "stay", "HEAD"),
  gives("HEAD with a body that came anyway", "RFC 9112 6.3", withLength("5"), { status: 200, body: "" }, "stay", "HEAD"),
  gives("204", "RFC 9112 6.3", "HTTP/1.1 204 No Content\r\n\r\n", { status: 204, body: "", lacks: ["Transfer-Encoding"] }),
  gives("204 with a body that came anyway", "RFC 9112 6.3", "HTTP/1.1 204 No Content\r\n\r\nhello", { status: 204, body: "" }),
  gives("304 with the length of what it is about", "RFC 9110 8.6", "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: x\r\n\r\n", { status: 304, body: "", has: { etag: "x" } }),
  gives("304 with a body that came anyway", "RFC 9112 6.3", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", { status: 304, body: "" }),
  gives("bytes beyond a length", "RFC 9112 6.3", `${withLength("5")}extra`, { status: 200, body: "hello" }),
  gives("a second reply beyond the first", "RFC 9112 9.2", `${withLength("5")}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`, { status: 200, body: "hello" }),
  gives("bytes beyond a chunked reply", "RFC 9112 9.2", `${chunked(`5\r\nhello\r\n${END}`)}extra`, { status: 200, body: "hello" }),
  gives("an empty line beyond a reply", "RFC 9112 9.2", `${withLength("5")}\r\n`, { status: 200, body: "hello" }),

  badLength("with a plus sign", "+5"),
  badLength("with a minus sign", "-5"),
  badLength("in hex", "0x5"),
  badLength("empty", ""),
  badLength("that is a word", "five"),
  badLength("with an inner space", "5 5"),
  badLength("as a list", "5, 5"),
  badLength("above 2^53", "9007199254740993"),
  badLength("of 2^64 + 5, which overflows to 5", "18446744073709551621"),
  bad("two Content-Length that agree", "RFC 9112 6.3", `${OK}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`),
  bad("two Content-Length that differ", "RFC 9112 6.3", `${OK}Content-Length: 5\r\nContent-Length: 9\r\n\r\nhello`),
  bad("Content-Length before Transfer-Encoding", "RFC 9112 6.3", `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n${END}`),
  bad("Transfer-Encoding before Content-Length", "RFC 9112 6.3", `${OK}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n${END}`),
  badCoding("chunked twice", "Transfer-Encoding: chunked, chunked"),
  badCoding("chunked on two lines", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
  badCoding("unknown", "Transfer-Encoding: frob"),
  badCoding("xchunked", "Transfer-Encoding: xchunked"),
  badCoding("a parameter", "Transfer-Encoding: chunked;a=b"),
  badCoding("vertical tab", "Transfer-Encoding: \x0bchunked"),
  badCoding("empty", "Transfer-Encoding:"),
  bad("Transfer-Encoding in HTTP/1.0", "RFC 9112 6.1", `HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n${END}`, "end"),

  badChunk("size with 0x", `0x5\r\nhello\r\n${END}`),
  badChunk("size with a plus sign", `+5\r\nhello\r\n${END}`),
  badChunk("size with a space after", `5 \r\nhello\r\n${END}`),
  badChunk("size with a space before", ` 5\r\nhello\r\n${END}`),
  badChunk("size that is no hex", `g\r\nhello\r\n${END}`),
  badChunk("size that is empty", `\r\nhello\r\n${END}`),
  badChunk("size that overflows", `10000000000000005\r\nhello\r\n${END}`),
  badChunk("LF alone after the size", `5\nhello\r\n${END}`),
  badChunk("LF alone after the data", `5\r\nhello\n${END}`),
  badChunk("data longer than its size", `3\r\nhello\r\n${END}`),
  badChunk("LF alone in an extension", `5;a\nhello\r\n${END}`),
  badChunk("LF alone at the end", "5\r\nhello\r\n0\r\n\n"),
  badChunk("a trailer without a colon", "5\r\nhello\r\n0\r\ngarbage\r\n\r\n"),
  badChunk("a folded trailer", "5\r\nhello\r\n0\r\nX-A: 1\r\n 2\r\n\r\n"),
  broken("the connection ends inside a length", "RFC 9112 8", withLength("50"), "end"),
  broken("the connection is reset inside a length", "RFC 9112 8", withLength("50"), "reset"),
  broken("the connection ends inside a chunk", "RFC 9112 8", chunked("a\r\nhello"), "end"),
  broken("the connection ends after a whole chunk", "RFC 9112 8", chunked("5\r\nhello\r\n"), "end"),
  broken("the connection ends after the zero chunk's line", "RFC 9112 8", chunked("5\r\nhello\r\n0\r\n"), "end"),
  broken("the connection is reset inside a chunk", "RFC 9112 8", chunked("a\r\nhello"), "reset"),
  broken("a body that should end with the connection is reset", "RFC 9112 8", `${OK}\r\nhello`, "reset"),
  open("leading zeros in a length", "RFC 9110 8.6", withLength("005"), "hello"),
];
