/** Which representation the encoder picks, when it tells of its table's size, and what it leaves as it came. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FieldFlag } from "../../../../src/http/h2/hpack/field-rules.ts";
import { STATIC_FIELDS } from "../../../../src/http/h2/hpack/static-table.ts";
import { NO_LIMIT, Receiver, Sender, integer } from "./codec.ts";
import type { FieldLine } from "./rfc7541.ts";

const hexOf = (sender: Sender, ...fields: FieldLine[]): string => sender.encode(fields).toString("hex");

/** By the first byte of a field's representation. */
function kindOf(byte: number): string {
  if (byte >= 0x80) return "indexed";
  if (byte >= 0x40) return "added";
  if (byte >= 0x20) return "size update";
  return byte >= 0x10 ? "never" : "without";
}

const kinds = (sender: Sender, field: FieldLine): string[] => [0, 1].map(() => kindOf(sender.encode([field])[0]!));

describe("fields that the static table has", () => {
  test("are one byte, and enter no other table", () => {
    const sender = new Sender();
    for (const [i, field] of STATIC_FIELDS.entries()) {
      expect([field, hexOf(sender, field)]).toEqual([field, (0x81 + i).toString(16)]);
    }
    expect(sender.encoder.tableSize).toBe(0);
  });

  test("give their name to others", () => {
    expect(hexOf(new Sender(), ["server", "a"])).toBe("760161");
    expect(hexOf(new Sender(), [":path", "/x"])).toBe("04022f78");
    expect(hexOf(new Sender(), ["www-authenticate", ""])).toBe("bd");
  });
});

describe("statuses", () => {
  test("the static table's are one byte", () => {
    for (const [i, code] of [200, 204, 206, 304, 400, 404, 500].entries()) {
      const sender = new Sender();
      expect(sender.block((encoder) => encoder.status(code)).toString("hex")).toBe((0x88 + i).toString(16));
    }
  });

  test("another is one byte from the second time on", () => {
    const sender = new Sender();
    expect(sender.block((encoder) => encoder.status(302)).toString("hex")).toBe("48826402");
    expect(sender.block((encoder) => encoder.status(302)).toString("hex")).toBe("be");
  });

  test("every status arrives", () => {
    const [sender, receiver] = [new Sender(), new Receiver()];
    for (let code = 100; code < 1_000; code++) expect(receiver.decode(sender.block((encoder) => encoder.status(code))).fields).toEqual([[":status", `${code}`]]);
  });
});

describe("what the table takes", () => {
  const added: FieldLine[] = [["server", "a"], ["date", "Fri, 21 Nov 2025 10:15:00 GMT"], [":authority", "a"], [":method", "PUT"], ["x-any", "thing"], ["cookie", "a=0123456789abcdef01"], ["content-type", "text/html"], ["vary", "x"], ["", ""]];
  for (const field of added) test(`${field.join(": ")}: is added, then indexed`, () => expect(kinds(new Sender(), field)).toEqual(["added", "indexed"]));

  const names = [":path", "age", "content-length", "content-range", "etag", "expires", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified", "location", "range", "set-cookie", "x-request-id", "traceparent", "grpc-timeout"];
  for (const name of names) test(`${name} is not added`, () => expect(kinds(new Sender(), [name, "value-that-is-long-enough"])).toEqual(["without", "without"]));

  for (const field of [["authorization", "Basic YTpi"], ["authorization", "x".repeat(100)], ["proxy-authorization", "x"], ["cookie", "a=b"], ["cookie", "a=0123456789abcdef0"]] as FieldLine[]) {
    test(`${field.join(": ")}: nobody may add`, () => expect(kinds(new Sender(), field)).toEqual(["never", "never"]));
  }

  test("a field of more than three quarters of the table is not added", () => {
    const sender = new Sender();
    expect(kinds(sender, ["x", "a".repeat(3_072 - 33)])).toEqual(["added", "indexed"]);
    expect(kinds(sender, ["x", "b".repeat(3_073 - 33)])).toEqual(["without", "without"]);
    expect(sender.encoder.tableSize).toBe(3_072);
  });

  test("capitals in names are small letters", () => {
    const sender = new Sender();
    expect(hexOf(sender, ["X-Some-NAME", "Value"], ["x-some-name", "Value"], ["x-some-name", "value"]).slice(-2 * (1 + 1 + 1 + 4))).toMatch(/^be7e84/);
    expect(new Receiver().decode(new Sender().encode([["X-Some-NAME", "Value"], ["Content-Length", "3"], ["HOST", "A"]])).fields).toEqual([["x-some-name", "Value"], ["content-length", "3"], ["host", "A"]]);
  });

  test("names that differ in one letter's bit only stay apart", () => {
    const [sender, receiver] = [new Sender(), new Receiver()];
    const fields: FieldLine[] = [["a^b", "v"], ["a~b", "v"], ["a^b", "v"], ["a_b", "v"], ["a~b", "v"]];
    expect(receiver.decode(sender.encode(fields)).fields).toEqual(fields);
    expect(sender.encoder.tableSize).toBe(3 * 36);
  });

  test("a name that the table has is not sent again with another value", () => {
    const sender = new Sender();
    hexOf(sender, ["x-some-name", "one"]);
    expect(hexOf(sender, ["x-some-name", "~"])).toBe("7e017e");
    expect(hexOf(sender, ["x-some-name", "^"])).toBe("7e015e");
    expect(hexOf(sender, ["x-some-name", "one"])).toBe("c0");
  });
});

describe("fields never indexed", () => {
  test("go on so, even if a table has them", () => {
    const [sender, receiver] = [new Sender(), new Receiver()];
    const fields: FieldLine[] = [["x", "y"], [":method", "GET"], ["server", "a"]];
    receiver.decode(sender.encode(fields));
    const block = sender.encode(fields, () => true);
    const { fields: arrived, flags } = receiver.decode(block);
    expect(arrived).toEqual(fields);
    expect(flags.every((bits) => (bits & FieldFlag.NEVER_INDEXED) !== 0)).toBe(true);
    expect(sender.encoder.tableSize).toBe(receiver.decoder.tableSize);
  });
});

describe("strings", () => {
  test("are Huffman-coded only where that is shorter", () => {
    const value = (text: string): string => hexOf(new Sender(), [":path", text]).slice(2);
    expect(value("/")).toBe("");
    expect(value("a")).toBe("0161");
    expect(value("aa")).toBe("026161"); // 10 bits: 2 bytes either way
    expect(value("aaa")).toBe("8218c7"); // 15 bits
    expect(value("\xff".repeat(8))).toBe(`08${"ff".repeat(8)}`);
    expect(value("aaaaa")).toBe("8418c631ff");
  });

  test("of every byte arrive as they were", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, small) => {
        // Among letters the rare ones are Huffman-coded too.
        const value = Buffer.concat([bytes, Buffer.alloc(small ? 0 : 6 * bytes.length, 0x61)]).toString("latin1");
        const [sender, receiver] = [new Sender(), new Receiver()];
        expect(receiver.decode(sender.encode([["x", value]])).fields).toEqual([["x", value]]);
      }),
      { numRuns: 500 },
    );
  });

  test("of more characters than any before are put together too", () => {
    const long = "é".repeat(20_000);
    const block = new Sender().block((encoder) => encoder.text("x", long));
    expect(new Receiver().decode(block).fields).toEqual([["x", long]]);
  });
});

describe("the size of the table", () => {
  const update = (size: number): string => integer(0x20, 5, size).toString("hex");
  const after = (...limits: number[]): string => {
    const sender = new Sender();
    for (const limit of limits) sender.encoder.setLimit(limit);
    const first = hexOf(sender, [":method", "GET"]);
    expect(hexOf(sender, [":method", "GET"])).toBe("82");
    return first.slice(0, -2);
  };

  test("is not told when nothing changes", () => {
    expect(after()).toBe("");
    expect(after(4_096)).toBe("");
    expect(after(65_536)).toBe("");
  });

  test("is told once, with the next block", () => {
    expect(after(0)).toBe(update(0));
    expect(after(100)).toBe(update(100));
    expect(after(300, 100)).toBe(update(100));
  });

  test("is told with the smallest one in between", () => {
    expect(after(0, 4_096)).toBe(update(0) + update(4_096));
    expect(after(100, 50, 2_000, 70, 65_536)).toBe(update(50) + update(4_096));
    expect(after(0, 100)).toBe(update(0) + update(100));
  });

  test("drives out what does not fit, exactly", () => {
    const [sender, receiver] = [new Sender(), new Receiver()];
    const fields: FieldLine[] = [["a", "1"], ["b", "2"], ["c", "3"]]; // 34 bytes each
    receiver.decode(sender.encode(fields));
    sender.encoder.setLimit(68);
    sender.encoder.setLimit(4_096);
    expect(hexOf(sender, ["c", "3"], ["b", "2"])).toBe(`${update(68)}${update(4_096)}bebf`);
    expect(hexOf(sender, ["a", "1"])).toBe("4001610131");
    expect(sender.encoder.tableSize).toBe(3 * 34);
  });

  test("0 keeps everything out", () => {
    const [sender, receiver] = [new Sender(), new Receiver()];
    sender.encoder.setLimit(0);
    const fields: FieldLine[] = [["a", "1"], ["a", "1"], [":status", "302"]];
    expect(receiver.decode(sender.encode(fields)).fields).toEqual(fields);
    expect([sender.encoder.tableSize, receiver.decoder.tableCount]).toEqual([0, 0]);
  });
});

describe("encoder and decoder", () => {
  test("agree on the fields and the table over many blocks, with limits that change", () => {
    const name = fc.oneof(fc.constantFrom(":path", ":status", "cookie", "content-type", "Server", "x-a", "X-B", "te", "authorization"), fc.stringMatching(/^[a-z0-9^~_-]{0,60}$/));
    const value = fc.oneof(fc.constantFrom("", "/", "200", "a", "text/html"), fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes).toString("latin1")), fc.nat(3_500).map((length) => "v".repeat(length)));
    const connection = fc
      .array(fc.tuple(name, value), { minLength: 1, maxLength: 30 })
      .chain((pool) =>
        fc.array(
          fc.record({
            limits: fc.oneof({ weight: 4, arbitrary: fc.constant<number[]>([]) }, { weight: 1, arbitrary: fc.array(fc.nat(4_200), { maxLength: 3 }) }),
            fields: fc.array(fc.tuple(fc.nat(pool.length - 1).map((i) => pool[i]!), fc.boolean()), { maxLength: 12 }),
          }),
          { maxLength: 30 },
        ),
      );
    fc.assert(
      fc.property(connection, (blocks) => {
        const [sender, receiver] = [new Sender(), new Receiver()];
        for (const { limits, fields } of blocks) {
          for (const limit of limits) sender.encoder.setLimit(limit);
          const decoded = receiver.decode(sender.encode(fields.map(([field]) => field), (i) => fields[i]![1]), NO_LIMIT, NO_LIMIT);
          expect(decoded.fault).toBeUndefined();
          expect(decoded.fields).toEqual(fields.map(([[name, value]]) => [name.toLowerCase(), value]));
          expect(receiver.decoder.tableSize).toBe(sender.encoder.tableSize);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("a field just sent is one byte while it is among the newest 66, then two", () => {
    const sender = new Sender();
    const fields = Array.from({ length: 100 }, (_, i): FieldLine => ["n", `${i}`]); // 34 or 35 bytes each
    sender.encode(fields);
    expect(fields.map((field) => sender.encode([field]).length).toReversed()).toEqual(fields.map((_, age) => (61 + age + 1 < 127 ? 1 : 2)));
  });
});
