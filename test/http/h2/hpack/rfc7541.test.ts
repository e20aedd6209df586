/** The examples of RFC 7541 appendix C, decoded and, where the encoder makes the same choices, encoded. */
import { describe, expect, test } from "bun:test";
import { FieldFlag } from "../../../../src/http/h2/hpack/field-rules.ts";
import { Receiver, Sender } from "./codec.ts";
import { EXAMPLES, REQUESTS_WITH_HUFFMAN, SIZE_UPDATES } from "./rfc7541.ts";

describe("decoding the RFC's examples", () => {
  for (const { what, maxTableSize, blocks } of EXAMPLES) {
    test(`${blocks[0]!.section}: ${what}`, () => {
      const receiver = new Receiver(maxTableSize);
      for (const { section, bytes, fields, table, tableSize } of blocks) {
        const decoded = receiver.decode(Buffer.from(bytes, "hex"));
        expect({ section, fault: decoded.fault, malformed: decoded.malformed, fields: decoded.fields }).toEqual({ section, fault: undefined, malformed: undefined, fields: [...fields] });
        expect({ section, size: receiver.decoder.tableSize, table: receiver.table() }).toEqual({ section, size: tableSize, table: [...table] });
      }
    });
  }

  test("C.2.3: a field never indexed says so, others do not", () => {
    const flags = EXAMPLES.flatMap(({ maxTableSize, blocks }) => {
      const receiver = new Receiver(maxTableSize);
      return blocks.filter(({ bytes }) => receiver.decode(Buffer.from(bytes, "hex")).flags.some((bits) => (bits & FieldFlag.NEVER_INDEXED) !== 0));
    });
    expect(flags.map(({ section }) => section)).toEqual(["C.2.3"]);
  });
});

describe("encoding the RFC's examples", () => {
  test("C.4: byte by byte, from bytes", () => {
    const sender = new Sender();
    for (const { section, bytes, fields } of REQUESTS_WITH_HUFFMAN.blocks) expect([section, sender.encode(fields).toString("hex")]).toEqual([section, bytes]);
  });

  test("C.4: byte by byte, from strings", () => {
    const sender = new Sender();
    for (const { section, bytes, fields } of REQUESTS_WITH_HUFFMAN.blocks) {
      const block = sender.block((encoder) => {
        for (const [name, value] of fields) encoder.text(name, value);
      });
      expect([section, block.toString("hex")]).toEqual([section, bytes]);
    }
  });

  for (const { section, bytes, size } of SIZE_UPDATES) {
    test(`${section}: the integer ${size}`, () => {
      const sender = new Sender();
      sender.encoder.setLimit(size);
      expect(sender.encode([]).toString("hex")).toBe(bytes);
      const receiver = new Receiver();
      expect(receiver.decode(Buffer.from(bytes, "hex")).fault).toBeUndefined();
    });
  }
});
