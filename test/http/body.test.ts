/** The body reader: what is data, where the message ends, what is broken, in any segments. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Framing } from "../../src/http/h1/head.ts";
import { LIMITS, readBody } from "./read.ts";

const chunked = (text: string): ReturnType<typeof readBody> => readBody([Buffer.from(text, "latin1")], (body) => body.begin(Framing.CHUNKED, -1, LIMITS));

describe("chunked bodies", () => {
  test("data, extensions and trailers are told apart", () => {
    const read = chunked('5;a="x;y\\"z";b\r\nhello\r\n00A \r\n'.replace(" ", ";q") + "0123456789\r\n0;last\r\nX-Sum: 1\r\nY: 2\r\n\r\nNEXT");
    expect(read).toMatchObject({ result: "ok", body: "hello0123456789", trailers: [["X-Sum", "1"], ["Y", "2"]] });
  });

  for (const [what, text] of [
    ["an empty size", "\r\nx"],
    ["0x", "0x5\r\nhello\r\n0\r\n\r\n"],
    ["a sign", "+5\r\nhello\r\n0\r\n\r\n"],
    ["a space before the size", " 5\r\nhello\r\n0\r\n\r\n"],
    ["a space after the size", "5 \r\nhello\r\n0\r\n\r\n"],
    ["a size line that ends in LF", "5\nhello\r\n0\r\n\r\n"],
    ["an extension that ends in LF", "5;a\nhello\r\n0\r\n\r\n"],
    ["a bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"],
    ["too much data", "5\r\nhelloX\r\n0\r\n\r\n"],
    ["data that ends in LF", "5\r\nhello\n0\r\n\r\n"],
    ["a size of 13 digits", "1000000000000\r\n"],
    ["an endless extension", `5;${"a".repeat(2000)}\r\nhello\r\n0\r\n\r\n`],
    ["a trailer without a colon", "0\r\nX\r\n\r\n"],
    ["a trailer section that ends in LF", "0\r\n\n"],
    ["too many trailers", `0\r\n${"X: y\r\n".repeat(101)}\r\n`],
  ] as const)
    test(`${what} is refused`, () => expect(chunked(text).result).toBe("bad-body"));

  test("a flood of extensions is refused", () => {
    expect(chunked(`1;${"a".repeat(900)}\r\nx\r\n`.repeat(30)).problem).toBe("chunk extension too long");
  });

  test("the end of input before the last chunk is incomplete", () => {
    const whole = "5\r\nhello\r\n0\r\nX: y\r\n\r\n";
    for (let end = 0; end < whole.length; end++) expect(chunked(whole.slice(0, end)).result).toBe("incomplete-body");
  });
});

describe("bodies in any segments", () => {
  /** Cut at the given places. */
  function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
    const at = [...new Set([0, ...places.map((place) => place % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
    return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
  }

  test("chunked data, trailers and the end are the same however the bytes arrive", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 6 }), fc.boolean(), fc.array(fc.nat(), { maxLength: 8 }), (chunks, trailer, places) => {
        const data = Buffer.concat(chunks);
        const wire = Buffer.concat([...chunks.flatMap((chunk) => [Buffer.from(`${chunk.length.toString(16)};e=1\r\n`), chunk, Buffer.from("\r\n")]), Buffer.from(trailer ? "0\r\nT: v\r\n\r\n" : "0\r\n\r\n")]);
        const read = readBody(cut(Buffer.concat([wire, Buffer.from("GET /")]), places), (body) => body.begin(Framing.CHUNKED, -1, LIMITS));
        expect(read).toMatchObject({ result: "ok", body: data.toString("latin1"), used: wire.length, trailers: trailer ? [["T", "v"]] : [] });
      }),
    );
  });

  test("split at every byte", () => {
    const wire = Buffer.from("3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: v\r\nU: w\r\n\r\n");
    for (let at = 0; at <= wire.length; at++) {
      const read = readBody([wire.subarray(0, at), wire.subarray(at)], (body) => body.begin(Framing.CHUNKED, -1, LIMITS));
      expect(read).toMatchObject({ result: "ok", body: "abc0123456789", trailers: [["T", "v"], ["U", "w"]], used: wire.length });
    }
    const bytes = readBody([...wire].map((byte) => Buffer.from([byte])), (body) => body.begin(Framing.CHUNKED, -1, LIMITS));
    expect(bytes).toMatchObject({ result: "ok", body: "abc0123456789", used: wire.length });
  });

  test("a length takes exactly its bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), fc.array(fc.nat(), { maxLength: 5 }), (data, places) => {
        const read = readBody(cut(Buffer.concat([data, Buffer.from("beyond")]), places), (body) => body.begin(Framing.LENGTH, data.length, LIMITS));
        expect(read).toMatchObject({ result: "ok", body: Buffer.from(data).toString("latin1"), used: data.length });
      }),
    );
  });
});
