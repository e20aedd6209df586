/** What the decoder refuses, what it calls malformed, what it says of fields, and when it stops storing them. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Name } from "../../../../src/http/fields.ts";
import { FieldFlag, Pseudo } from "../../../../src/http/h2/hpack/field-rules.ts";
import { NO_LIMIT, Receiver, fieldsOf, integer, literal, plain } from "./codec.ts";
import type { FieldLine } from "./rfc7541.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

const refused: readonly [what: string, block: string, fault: RegExp][] = [
  ["index 0", "80", /^index 0$/],
  ["an index beyond the static table when the dynamic one is empty", "be", /index 62 beyond the last entry's 61/],
  ["an index far beyond the table", "ff 80 01", /index 255 beyond/],
  ["a name's index beyond the table, with indexing", "7e 01 61", /index 62 beyond/],
  ["a name's index beyond the table, without indexing", "0f 2f 01 61", /index 62 beyond/],
  ["a name's index beyond the table, never indexed", "1f 2f 01 61", /index 62 beyond/],
  ["a size update after a field", "82 20", /size changes after a field/],
  ["a size update after a literal", "00 01 61 00 20", /size changes after a field/],
  ["a size update over the limit", "3f e2 1f", /a table of 4097 bytes, over the limit of 4096/],
  ["EOS in a value", "04 84 ff ff ff ff", /EOS/],
  ["EOS in a name", "00 84 ff ff ff ff 00", /EOS/],
  ["EOS after a symbol", "04 86 1f ff ff ff ff 1f", /EOS/],
  ["padding of 8 ones", "04 81 ff", /padding/],
  ["padding of 11 ones after a symbol", "04 82 1f ff", /padding/],
  ["padding that ends in a zero", "04 81 1e", /padding/],
  ["padding of zeros", "04 81 18", /padding/],
  ["an integer of 5 bytes after its prefix", "ff 80 80 80 80 00", /more than 4 bytes/],
  ["an integer over 2^32", "ff ff ff ff ff ff 7f", /more than 4 bytes/],
  ["a string's length that does not end", "04 7f ff ff ff ff ff 01", /more than 4 bytes/],
  ["a size update that does not end", "3f ff ff ff ff ff", /more than 4 bytes/],
  ["a string beyond the block's end", "04 02 2f", /beyond the block's end/],
  ["a Huffman string beyond the block's end", "04 83 1f", /beyond the block's end/],
  ["a string of 2^28 bytes", "04 7f 81 ff ff 7f", /beyond the block's end/],
  ["an index that ends after its prefix", "ff", /within a field/],
  ["an index that ends within its bytes", "ff 80", /within a field/],
  ["a literal without a name", "40", /within a field/],
  ["a literal without a value", "40 01 61", /within a field/],
  ["a literal with an indexed name and no value", "44", /within a field/],
  ["a size update that ends after its prefix", "3f", /within a field/],
];

describe("blocks that are refused", () => {
  for (const [what, block, fault] of refused) {
    test(what, () => {
      const receiver = new Receiver();
      const decoded = receiver.decode(hex(block));
      expect(decoded.fault).toMatch(fault);
      expect(decoded.fields).toEqual([]);
      expect({ after: receiver.decode(hex("82")).fault }).toEqual({ after: decoded.fault });
    });
  }

  test("every proper prefix of a literal", () => {
    const whole = Buffer.concat([hex("40"), integer(0, 7, 300), Buffer.alloc(300, 0x61), hex("8cf1e3c2e5f23a6ba0ab90f4ff")]);
    expect(new Receiver().decode(whole).fields).toEqual([["a".repeat(300), "www.example.com"]]);
    for (let end = 1; end < whole.length; end++) expect([end, new Receiver().decode(whole.subarray(0, end)).fault === undefined]).toEqual([end, false]);
  });
});

const accepted: readonly [what: string, block: string, fields: FieldLine[]][] = [
  ["none at all", "", []],
  ["a size update alone", "20", []],
  ["three size updates at the start", "20 3f 01 3f e1 1f 82", [[":method", "GET"]]],
  ["padding of 7 ones", "04 84 18 c6 31 ff", [[":path", "aaaaa"]]],
  ["an empty Huffman string", "04 80", [[":path", ""]]],
  ["an integer with leading zeros", "0f 80 80 80 00 01 61", [["accept-charset", "a"]]],
];

describe("blocks that are good", () => {
  for (const [what, block, fields] of accepted) {
    test(what, () => {
      const decoded = new Receiver().decode(hex(block));
      expect([decoded.fault, decoded.fields]).toEqual([undefined, fields]);
    });
  }

  test("every byte comes out of Huffman coding as it went in", () => {
    // The codes of RFC 7541 appendix B at the ends of each length, with EOS's ones behind them.
    const codes: readonly [byte: number, code: string][] = [
      [0x30, "07"],
      [0x20, "53"],
      [0x3a, "b9"],
      [0x26, "f8"],
      [0x21, "fe3f"],
      [0x27, "ff5f"],
      [0x23, "ffaf"],
      [0x00, "ffc7"],
      [0x5e, "fff3"],
      [0x3c, "fff9"],
      [0x5c, "fffe1f"],
      [0x80, "fffe6f"],
      [0x99, "fffee7"],
      [0x81, "ffff4b"],
      [0x01, "ffffb1"],
      [0x09, "ffffea"],
      [0xc7, "fffff67f"],
      [0xc0, "fffff83f"],
      [0xcb, "fffffbdf"],
      [0x02, "fffffe2f"],
      [0x0a, "fffffff3"],
      [0x16, "fffffffb"],
    ];
    for (const [byte, code] of codes) {
      const coded = hex(code);
      const { fields } = new Receiver().decode(Buffer.concat([hex("04"), integer(0x80, 7, coded.length), coded]));
      expect([code, fields]).toEqual([code, [[":path", String.fromCharCode(byte)]]]);
    }
  });
});

describe("malformed fields", () => {
  const malformed: readonly [name: string, value: string, why: RegExp][] = [
    ["", "v", /without a name/],
    ["Foo", "v", /capital letter in the field name "Foo"/],
    ["fooZ", "v", /capital letter/],
    [":Path", "v", /capital letter/],
    ...Array.from({ length: 0x21 }, (_, byte): [string, string, RegExp] => [`a${String.fromCharCode(byte)}b`, "v", /not a token/]),
    ...[0x7f, 0x80, 0xc3, 0xff].map((byte): [string, string, RegExp] => [`a${String.fromCharCode(byte)}b`, "v", /not a token/]),
    ["a:b", "v", /the field name "a:b" is not a token/],
    ["a:", "v", /not a token/],
    [":", "v", /not a token/],
    ["::path", "v", /not a token/],
    ["a(b", "v", /not a token/],
    ['a"', "v", /not a token/],
    ...[0, 1, 8, 10, 13, 0x1f, 0x7f].map((byte): [string, string, RegExp] => ["x", `a${String.fromCharCode(byte)}b`, /a control character in the value of "x"/]),
    [":path", "/a\nb", /control character in the value of ":path"/],
    ["x", " a", /a blank at an end of the value of "x"/],
    ["x", "a ", /a blank/],
    ["x", "\ta", /a blank/],
    ["x", "a\t", /a blank/],
    ["x", " ", /a blank/],
    ...["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"].map((name): [string, string, RegExp] => [name, "x", /connection-specific field/]),
    ["te", "gzip", /"te" is not "trailers"/],
    ["te", "trailers, gzip", /"te" is not/],
    ["te", "", /"te" is not/],
  ];
  for (const [name, value, why] of malformed) {
    test(`${JSON.stringify(name)}: ${JSON.stringify(value)}`, () => {
      const receiver = new Receiver();
      // As a literal, as an entry of the table, and with its name from there.
      const blocks = [literal(0x40, name, value), hex("be"), Buffer.concat([hex("7e"), plain(value)]), hex("bf")];
      for (const block of blocks) {
        const decoded = receiver.decode(Buffer.concat([hex("82"), block, hex("84")]));
        expect(decoded.malformed).toMatch(why);
        expect({ fault: decoded.fault, fields: decoded.fields, flagged: decoded.flags.map((flags) => (flags & FieldFlag.MALFORMED) !== 0) }).toEqual({
          fault: undefined,
          fields: [[":method", "GET"], [name, value], [":path", "/"]],
          flagged: [false, true, false],
        });
      }
      expect(receiver.decode(hex("82")).malformed).toBeUndefined();
    });
  }

  test("the first one is told", () => {
    const decoded = new Receiver().decode(Buffer.concat([literal(0, "x", " "), literal(0, "Y", ""), literal(0, "te", "z")]));
    expect(decoded.malformed).toBe('a blank at an end of the value of "x"');
  });

  test("a good value with the name of an entry whose own is bad is good", () => {
    const receiver = new Receiver();
    expect(receiver.decode(Buffer.concat([literal(0x40, "x", " a"), literal(0x40, "te", "b")])).malformed).toContain('"x"');
    expect(receiver.decode(Buffer.concat([hex("0f 30"), plain("a"), hex("0f 2f"), plain("trailers")]))).toMatchObject({
      fields: [["x", "a"], ["te", "trailers"]],
      malformed: undefined,
      flags: [0, FieldFlag.TE],
    });
  });

  test("a bad value with the name of a good entry is bad", () => {
    const receiver = new Receiver();
    expect(receiver.decode(literal(0x40, "te", "trailers")).malformed).toBeUndefined();
    expect(receiver.decode(Buffer.concat([hex("0f 2f"), plain("gzip")])).malformed).toBe('"te" is not "trailers"');
  });

  test("what may look odd is good", () => {
    const odd: FieldLine[] = [["x", ""], ["x", "a b\tc"], ["x", "\x80\xff"], ["te", "Trailers"], ["!#$%&'*+-.^_`|~09az", "v"], [":unknown", "v"]];
    const decoded = new Receiver().decode(Buffer.concat(odd.map(([name, value]) => literal(0, name, value))));
    expect([decoded.malformed, decoded.fields]).toEqual([undefined, odd]);
  });
});

describe("what is said of fields", () => {
  const P = FieldFlag.PSEUDO;
  const fields: readonly [name: string, value: string, flags: number, id: number][] = [
    [":method", "PUT", P, Pseudo.METHOD],
    [":scheme", "x", P, Pseudo.SCHEME],
    [":authority", "a", P, Pseudo.AUTHORITY],
    [":path", "/a", P, Pseudo.PATH],
    [":status", "201", P, Pseudo.STATUS],
    [":protocol", "websocket", P, Pseudo.PROTOCOL],
    [":other", "", P, Pseudo.UNKNOWN],
    ["cookie", "a=b", FieldFlag.COOKIE, Name.COOKIE],
    ["te", "trailers", FieldFlag.TE, Name.TE],
    ["host", "a", FieldFlag.HOST, Name.HOST],
    ["content-length", "1", FieldFlag.CONTENT_LENGTH, Name.CONTENT_LENGTH],
    ["via", "1.1 a", 0, Name.VIA],
    ["x", "y", 0, Name.OTHER],
    ["upgrade", "x", FieldFlag.CONNECTION_SPECIFIC | FieldFlag.MALFORMED, Name.UPGRADE],
  ];
  const said = (receiver: Receiver, block: Buffer) => {
    const { flags, ids } = receiver.decode(block);
    return flags.map((bits, i) => [bits, ids[i]]);
  };
  const expected = fields.map(([, , flags, id]) => [flags, id]);

  test("the same for a literal and for an entry", () => {
    const receiver = new Receiver();
    expect(said(receiver, Buffer.concat(fields.map(([name, value]) => literal(0x40, name, value))))).toEqual(expected);
    expect(said(receiver, Buffer.concat(fields.map((_, i) => integer(0x80, 7, 61 + fields.length - i))))).toEqual(expected);
  });

  test("never indexed: of that field only", () => {
    const receiver = new Receiver();
    const never = Buffer.concat(fields.map(([name, value]) => literal(0x10, name, value)));
    expect(said(receiver, never)).toEqual(fields.map(([, , flags, id]) => [flags | FieldFlag.NEVER_INDEXED, id]));
    expect(said(receiver, Buffer.concat(fields.map(([name, value]) => literal(0, name, value))))).toEqual(expected);
    // By an indexed name: authorization.
    expect(said(receiver, Buffer.concat([hex("1f 08"), plain("x"), hex("0f 08"), plain("x")]))).toEqual([
      [FieldFlag.NEVER_INDEXED, Name.AUTHORIZATION],
      [0, Name.AUTHORIZATION],
    ]);
  });

  test("the static table's pseudo-fields are known as such", () => {
    expect(said(new Receiver(), Buffer.from(Array.from({ length: 14 }, (_, i) => 0x81 + i))).map(([, id]) => id as number)).toEqual([
      Pseudo.AUTHORITY,
      ...[Pseudo.METHOD, Pseudo.METHOD, Pseudo.PATH, Pseudo.PATH, Pseudo.SCHEME, Pseudo.SCHEME],
      ...Array.from({ length: 7 }, () => Pseudo.STATUS),
    ]);
  });

  test("lines lie one behind the other, each with its offsets", () => {
    const receiver = new Receiver();
    receiver.decode(Buffer.concat([literal(0x40, "x", "1"), literal(0x40, "yy", "")]));
    // Static neighbours, the table forwards and backwards, literals between.
    receiver.decode(Buffer.concat([hex("8f 90 91 bf be be bf 82"), literal(0, "zzz", "w"), hex("90 91")]));
    const { block } = receiver;
    const text = "accept-charset: \r\naccept-encoding: gzip, deflate\r\naccept-language: \r\nx: 1\r\nyy: \r\nyy: \r\nx: 1\r\n:method: GET\r\nzzz: w\r\naccept-encoding: gzip, deflate\r\naccept-language: \r\n";
    expect(block.bytes.latin1Slice(0, block.end)).toBe(text);
    let start = 0;
    for (let i = 0; i < block.count; i++) {
      const end = text.indexOf("\r\n", start);
      const colon = text.indexOf(": ", start + 1);
      const offsets = [block.nameStart[i], block.nameEnd[i], block.valueStart[i], block.valueEnd[i], block.lineEnd[i]];
      expect(offsets).toEqual([start, colon, colon + 2, end, end + 2]);
      start = end + 2;
    }
    expect([start, block.count]).toEqual([block.end, 11]);
  });
});

describe("limits", () => {
  const value = "v".repeat(4_096 - 32 - 1);

  test("a list may be as large as its limit, by RFC 9113's count, and no larger", () => {
    const block = Buffer.concat([hex("82"), literal(0, "abc", "defg")]); // 7 + 3 + 32, 3 + 4 + 32
    expect(new Receiver().decode(block, 81)).toMatchObject({ tooLarge: false, fields: [[":method", "GET"], ["abc", "defg"]] });
    expect(new Receiver().decode(block, 80)).toMatchObject({ tooLarge: true, fields: [[":method", "GET"]], fault: undefined });
    expect(new Receiver().decode(hex("82 82"), 83)).toMatchObject({ tooLarge: true, fields: [[":method", "GET"]] });
  });

  test("a list may have as many fields as its limit and no more", () => {
    const block = Buffer.concat([hex("82 84"), literal(0, "a", "")]);
    expect(new Receiver().decode(block, NO_LIMIT, 3)).toMatchObject({ tooLarge: false, fields: [[":method", "GET"], [":path", "/"], ["a", ""]] });
    expect(new Receiver().decode(block, NO_LIMIT, 2)).toMatchObject({ tooLarge: true, fields: [[":method", "GET"], [":path", "/"]] });
    expect(new Receiver().decode(hex("82 84"), NO_LIMIT, 1)).toMatchObject({ tooLarge: true, fields: [[":method", "GET"]] });
  });

  test("nothing is stored after the field that was too much, even if it would fit", () => {
    const block = Buffer.concat([literal(0, "a", "v".repeat(100)), hex("82")]);
    expect(new Receiver().decode(block, 100)).toMatchObject({ tooLarge: true, fields: [] });
  });

  test("beyond the limit the table goes on", () => {
    const receiver = new Receiver();
    const block = Buffer.concat([hex("82"), literal(0x40, "a", "b"), literal(0x40, "c", "d".repeat(3_000)), hex("bf"), literal(0x40, "E", " ")]);
    expect(receiver.decode(block, 50)).toMatchObject({ tooLarge: true, fault: undefined, malformed: undefined, fields: [[":method", "GET"]] });
    expect(receiver.table()).toEqual([["E", " "], ["c", "d".repeat(3_000)], ["a", "b"]]);
  });

  test("beyond the limit wrong blocks are still refused", () => {
    expect(new Receiver().decode(hex("82 82 80"), 50)).toMatchObject({ fault: "index 0" });
    expect(new Receiver().decode(hex("82 82 04 81 ff"), 50).fault).toContain("padding");
  });

  test("4,000 references to an entry of 4 KiB store no more than the limit", () => {
    const receiver = new Receiver();
    expect(receiver.decode(literal(0x40, "x", value)).fault).toBeUndefined();
    expect(receiver.decoder.tableSize).toBe(4_096);
    const decoded = receiver.decode(Buffer.alloc(4_000, 0xbe), 65_536, NO_LIMIT);
    expect({ fault: decoded.fault, tooLarge: decoded.tooLarge, fields: decoded.fields.length }).toEqual({ fault: undefined, tooLarge: true, fields: 16 });
    // Twice the limit: the buffer doubles.
    expect(receiver.block.bytes.length).toBeLessThanOrEqual(2 * 65_536);
  });

  test("4,000 literals with that entry's name store no more either", () => {
    const receiver = new Receiver();
    receiver.decode(literal(0x40, "n".repeat(4_000), ""));
    const decoded = receiver.decode(Buffer.concat(Array.from({ length: 4_000 }, () => hex("0f 2f 00"))), 65_536, NO_LIMIT);
    expect({ fault: decoded.fault, tooLarge: decoded.tooLarge, fields: decoded.fields.length }).toEqual({ fault: undefined, tooLarge: true, fields: 16 });
    expect(receiver.block.bytes.length).toBeLessThanOrEqual(2 * 65_536);
  });
});

describe("the dynamic table", () => {
  test("an entry larger than the table empties it and is decoded", () => {
    const receiver = new Receiver(100);
    receiver.decode(literal(0x40, "a", "b"));
    expect(receiver.table()).toEqual([["a", "b"]]);
    const large: FieldLine = ["c", "d".repeat(68)]; // 101 bytes
    expect(receiver.decode(literal(0x40, ...large)).fields).toEqual([large]);
    expect([receiver.decoder.tableSize, receiver.table()]).toEqual([0, []]);
    const fits: FieldLine = ["c", "d".repeat(67)];
    receiver.decode(literal(0x40, ...fits));
    expect([receiver.decoder.tableSize, receiver.table()]).toEqual([100, [fits]]);
  });

  test("a name may come from the very entry that its field drives out", () => {
    const receiver = new Receiver(100);
    receiver.decode(literal(0x40, "name", "first"));
    const second: FieldLine = ["name", "x".repeat(60)];
    expect(receiver.decode(Buffer.concat([hex("7e"), plain(second[1])])).fields).toEqual([second]);
    expect(receiver.table()).toEqual([second]);
  });

  test("a smaller size drives out the oldest, and a larger one brings nothing back", () => {
    const receiver = new Receiver();
    receiver.decode(Buffer.concat(["a", "b", "c"].map((name) => literal(0x40, name, "")))); // 33 bytes each
    receiver.decode(integer(0x20, 5, 66));
    expect(receiver.table()).toEqual([["c", ""], ["b", ""]]);
    receiver.decode(Buffer.concat([integer(0x20, 5, 65), integer(0x20, 5, 4_096)]));
    expect(receiver.table()).toEqual([["c", ""]]);
    receiver.decode(integer(0x20, 5, 0));
    expect([receiver.decoder.tableCount, receiver.decoder.tableSize]).toEqual([0, 0]);
  });

  test("a table of no bytes holds nothing", () => {
    const receiver = new Receiver(0);
    expect(receiver.decode(literal(0x40, "", "")).fields).toEqual([["", ""]]);
    expect(receiver.decoder.tableCount).toBe(0);
    expect(receiver.decode(hex("be")).fault).toContain("index 62");
  });

  test("128 empty entries fill 4,096 bytes, and each one more drives out one", () => {
    const receiver = new Receiver();
    receiver.decode(Buffer.concat(Array.from({ length: 300 }, () => literal(0x40, "", ""))));
    expect([receiver.decoder.tableCount, receiver.decoder.tableSize]).toEqual([128, 4_096]);
    receiver.decode(literal(0x40, "a", ""));
    expect([receiver.decoder.tableCount, receiver.decoder.tableSize, receiver.table()[0]]).toEqual([127, 4_097 - 32, ["a", ""]]);
  });
});

describe("any bytes", () => {
  test("never throw, and leave no more than the limits", () => {
    const representation = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.integer({ min: 1, max: 140 }).map((index) => integer(0x80, 7, index)),
      fc.integer({ min: 0, max: 4_200 }).map((size) => integer(0x20, 5, size)),
      fc.tuple(fc.constantFrom(0x40, 0, 0x10), fc.string(), fc.uint8Array({ maxLength: 200 })).map(([kind, name, value]) =>
        Buffer.concat([Buffer.from([kind]), plain(name.replaceAll(/[^\0-\xff]/g, "?")), integer(value.length % 2 === 0 ? 0 : 0x80, 7, value.length), value]),
      ),
    );
    fc.assert(
      fc.property(fc.array(fc.array(representation, { maxLength: 30 }), { maxLength: 10 }), fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: 0, max: 20 }), (blocks, maxListSize, maxFields) => {
        const receiver = new Receiver();
        for (const parts of blocks) {
          const decoded = receiver.decode(Buffer.concat(parts), maxListSize, maxFields);
          const { block, decoder } = receiver;
          expect(block.count).toBeLessThanOrEqual(maxFields);
          expect(fieldsOf(block).reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0)).toBeLessThanOrEqual(maxListSize);
          expect(block.end).toBe(block.count === 0 ? 0 : block.lineEnd[block.count - 1]!);
          expect(decoder.tableSize).toBeLessThanOrEqual(4_096);
          if (decoded.fault !== undefined) break;
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
