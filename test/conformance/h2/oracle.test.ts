/** The tests' own HPACK against RFC 7541's examples: what judges Fairlead must be right itself. */
import { describe, expect, test } from "bun:test";
import { block, EOS, HpackDecoder, HpackError, huffman, indexed, literal, sizeUpdate, text } from "../../support/h2-hpack.ts";

const hex = (digits: string): Buffer => Buffer.from(digits, "hex");

describe("examples of RFC 7541", () => {
  test("C.4: requests with Huffman coding", () => {
    const decoder = new HpackDecoder();
    const request = [[":method", "GET"], [":scheme", "http"], [":path", "/"], [":authority", "www.example.com"]] as [string, string][];
    expect(decoder.decode(hex("828684418cf1e3c2e5f23a6ba0ab90f4ff"))).toEqual(request);
    expect(decoder.decode(hex("828684be5886a8eb10649cbf"))).toEqual([...request, ["cache-control", "no-cache"]]);
    expect(decoder.decode(hex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"))).toEqual([[":method", "GET"], [":scheme", "https"], [":path", "/index.html"], [":authority", "www.example.com"], ["custom-key", "custom-value"]]);
  });

  test("C.6: replies with Huffman coding, in a table of 256 bytes that evicts", () => {
    const decoder = new HpackDecoder();
    decoder.decode(sizeUpdate(256));
    const date = ["date", "Mon, 21 Oct 2013 20:13:21 GMT"] as [string, string];
    const location = ["location", "https://www.example.com"] as [string, string];
    expect(decoder.decode(hex("488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3"))).toEqual([[":status", "302"], ["cache-control", "private"], date, location]);
    expect(decoder.decode(hex("4883640effc1c0bf"))).toEqual([[":status", "307"], ["cache-control", "private"], date, location]);
    // :status 302 has gone: 222 bytes are left of 256.
    expect(() => decoder.decode(indexed(62 + 4))).toThrow(HpackError);
  });
});

test("every byte survives Huffman coding", () => {
  const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString("latin1");
  expect(new HpackDecoder().decode(literal("x", all, "plain", true))).toEqual([["x", all]]);
});

test("the static table ends at 61", () => {
  const decoder = new HpackDecoder();
  expect(decoder.decode(Buffer.concat([indexed(1), indexed(15), indexed(16), indexed(61)]))).toEqual([[":authority", ""], ["accept-charset", ""], ["accept-encoding", "gzip, deflate"], ["www-authenticate", ""]]);
});

describe("what is not HPACK is an error", () => {
  const value = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([0]), text("x"), Buffer.from([128 + bytes.length]), bytes]);
  const wrong: Readonly<Record<string, Buffer>> = {
    "index 0": indexed(0),
    "an index beyond the tables": indexed(62),
    "EOS in a string": value(huffman([97, EOS])),
    "padding of zeros": value(huffman("a", "000")),
    "padding of eight bits": value(Buffer.concat([huffman("a"), Buffer.from([255])])),
    "a size update behind a field": Buffer.concat([block([["x", "1"]]), sizeUpdate(1)]),
    "a size update above the limit": sizeUpdate(4097),
    "a block that ends too soon": literal("x", "value").subarray(0, 4),
  };
  for (const [what, bytes] of Object.entries(wrong)) test(what, () => expect(() => new HpackDecoder().decode(bytes)).toThrow(HpackError));

  test("no size update after the limit was lowered", () => {
    const decoder = new HpackDecoder();
    decoder.setLimit(100);
    expect(() => decoder.decode(indexed(2))).toThrow(HpackError);
    expect(decoder.decode(Buffer.concat([sizeUpdate(100), indexed(2)]))).toEqual([[":method", "GET"]]);
  });
});
