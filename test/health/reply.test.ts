import { describe, expect, test } from "bun:test";
import { InvalidReply, MAX_BODY_BYTES, ReplyReader } from "../../src/health/reply.ts";

/** Feed a reply in pieces of `size`, then the end; "error: …" when it is refused. */
function read(reply: string, { text, size = reply.length, end = true, head = false }: { text?: string; size?: number; end?: boolean; head?: boolean } = {}): string {
  const reader = new ReplyReader(head, text === undefined ? undefined : Buffer.from(text));
  const bytes = Buffer.from(reply, "latin1");
  try {
    for (let at = 0; at < bytes.length; at += size) reader.read(bytes.subarray(at, at + size));
    if (end && !reader.searched) reader.end();
  } catch (error) {
    if (error instanceof InvalidReply) return `error: ${error.message}`;
    throw error;
  }
  return `${reader.status} ${reader.found ? "found" : reader.searched ? "searched" : "unfinished"}`;
}

const SIZED = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall is well";
const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nall \r\n7\r\nis well\r\n0\r\nX: y\r\n\r\n";
const TO_CLOSE = "HTTP/1.0 200\r\n\r\nall is well";

describe("a reply to a check", () => {
  test("is found to hold a text however its body is framed and however it is split", () => {
    for (const reply of [SIZED, CHUNKED, TO_CLOSE]) {
      for (let size = 1; size <= reply.length; size++) {
        expect(read(reply, { text: "l is w", size })).toBe("200 found");
        expect(read(reply, { text: "l is bad", size })).toBe("200 searched");
      }
    }
  });

  test("needs no body when none is asked about", () => {
    expect(read("HTTP/1.1 503 Sorry\r\nContent-Length: 100\r\n\r\n")).toBe("503 searched");
    expect(read("HTTP/1.1 204 \r\n\r\n", { text: "x" })).toBe("204 searched");
    expect(read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", { text: "x", head: true })).toBe("200 searched");
  });

  test("may come after interim replies", () => {
    expect(read(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${SIZED}`)).toBe("200 searched");
  });

  test("is searched up to 64 KiB and no further", () => {
    const head = "HTTP/1.1 200 OK\r\n\r\n";
    const before = "x".repeat(MAX_BODY_BYTES - 2);
    expect(read(`${head}${before}ok`, { text: "ok", size: 1000, end: false })).toBe("200 found");
    expect(read(`${head}${before}xok`, { text: "ok", size: 1000, end: false })).toBe("200 searched");
    expect(read(`${head}${"y".repeat(10_000_000)}`, { text: "ok", size: 65_000, end: false })).toBe("200 searched");
  });

  const refused: [string, string, string?][] = [
    ["SSH-2.0-OpenSSH\r\n", "bad status line"],
    ["HTTP/2 200 OK\r\n\r\n", "bad status line"],
    ["HTTP/1.1 20 OK\r\n\r\n", "bad status line"],
    ["HTTP/1.1 200 OK\n\n", "line ends in LF alone"],
    ["HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "bad header line"],
    ["HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "bad header line"],
    ["HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", "bad header line"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", "bad Content-Length"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "bad Content-Length"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "Content-Length with Transfer-Encoding"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "unknown Transfer-Encoding"],
    ["HTTP/1.1 101 Switching Protocols\r\n\r\n", "status 101 without Upgrade"],
    [`HTTP/1.1 200 OK\r\nA: ${"b".repeat(17_000)}\r\n\r\n`, "head over 16384 bytes"],
    ["HTTP/1.1 100 Continue\r\n\r\n".repeat(1000), "head over 16384 bytes"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad chunk size", "x"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", "chunk is longer than its size", "x"],
    [`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;${"x".repeat(2000)}`, "chunk line too long", "x"],
    ["", "closed without a reply"],
    ["HTTP/1.1 200 OK\r\nA:", "closed inside the reply's head"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "closed inside the reply's body", "x"],
  ];
  for (const [reply, message, text] of refused) {
    test(`is refused: ${message} (${JSON.stringify(reply.slice(0, 60))})`, () => {
      const options = text === undefined ? {} : { text };
      expect(read(reply, options)).toBe(`error: ${message}`);
      expect(read(reply, { ...options, size: 1 })).toBe(`error: ${message}`);
    });
  }
});
