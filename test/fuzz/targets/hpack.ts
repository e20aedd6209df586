/** HPACK: any bytes as header blocks of one connection, beside nghttp2 where it is there; and what we write is read as it was. */
import { EXAMPLES } from "../../http/h2/hpack/rfc7541.ts";
import { NO_LIMIT, Receiver, Sender } from "../../http/h2/hpack/codec.ts";
import { Inflater, NGHTTP2 } from "../../http/h2/hpack/nghttp2.ts";
import { type Fuzzer, hold, shown } from "../fuzzer.ts";

/** An input is several blocks: each begins with two bytes that say how long it is. */
function blocksOf(input: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = 0; at + 2 <= input.length && blocks.length < 50; ) {
    const length = input.readUInt16BE(at) % 4_096;
    blocks.push(input.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return blocks;
}

function framed(blocks: readonly Buffer[]): Buffer {
  return Buffer.concat(
    blocks.flatMap((block) => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(block.length);
      return [length, block];
    }),
  );
}

export const hpack: Fuzzer = {
  name: "hpack",
  words: ["\x82", "\x84", "\xbe", "\x40", "\x10", "\x20", "\x3f\xe1\x1f", "\x3f\xe2\x1f", "\x7f\x80", "\xff\xff\xff\xff\x0f", "\xff\x80\x80\x80\x80\x00", "\x80", "\x81", "\x00\x01a\x01b", "\x40\x01a\x01b", "\x84\xff\xff\xff\xff", "\x81\x1f"],
  seeds: () => [...EXAMPLES.map(({ blocks }) => framed(blocks.map(({ bytes }) => Buffer.from(bytes, "hex")))), framed([new Sender().encode([[":method", "GET"], ["x-a", "b".repeat(200)], ["cookie", "c=d"]])])],
  run(input) {
    const [receiver, sender, reader] = [new Receiver(), new Sender(), new Receiver()];
    const inflater = NGHTTP2 === undefined ? undefined : new Inflater();
    let [good, fields] = [0, 0];
    try {
      for (const block of blocksOf(input)) {
        const ours = receiver.decode(block, NO_LIMIT, NO_LIMIT);
        const theirs = inflater?.decode(block);
        // It takes a byte more of an integer, and no string of more than 64 KiB: neither is wrong.
        if (ours.fault?.startsWith("an integer of more") === true) return "a long integer";
        if (inflater !== undefined) {
          hold((ours.fault === undefined) === (theirs !== undefined), `${ours.fault ?? "good"} to us, ${theirs === undefined ? "wrong" : "good"} to nghttp2: ${block.toString("hex")}`);
          if (theirs !== undefined) hold(JSON.stringify(ours.fields) === JSON.stringify(theirs.fields), `${shown(JSON.stringify(ours.fields))} to us, ${shown(JSON.stringify(theirs.fields))} to nghttp2`);
          if (theirs !== undefined) hold(receiver.decoder.tableSize === inflater.tableSize, `a table of ${receiver.decoder.tableSize} to us, of ${inflater.tableSize} to nghttp2`);
        }
        if (ours.fault !== undefined) return `${good} and ${ours.fault}`;
        good++;
        fields += ours.fields.length;
        const size = ours.fields.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
        // What we write of it is read as the same.
        if (size > 200_000) return "too much to write";
        // Names in upper case are refused, and never written.
        if (ours.fields.some(([name]) => name !== name.toLowerCase())) return "upper case";
        const again = reader.decode(sender.encode(ours.fields), NO_LIMIT, NO_LIMIT);
        hold(again.fault === undefined && JSON.stringify(again.fields) === JSON.stringify(ours.fields), `written and read again: ${again.fault ?? shown(JSON.stringify(again.fields))}`);
        // A limit holds while decoding, and says so.
        const limited = new Receiver().decode(block, 200, 5);
        hold(limited.fields.length <= 5 && limited.fields.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0) <= 200, "a limit of the list is not kept");
      }
    } finally {
      inflater?.close();
    }
    return `${Math.min(good, 8)} blocks, ${Math.min(fields, 20)} fields, ${receiver.decoder.tableCount} entries`;
  },
};
