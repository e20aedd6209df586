/**
 * Differential test against nghttp2: what one encodes the other decodes to the same fields and the same table, and both say the same of any bytes.
 * Failures say the seed; FAIRLEAD_SEED replays it, FAIRLEAD_ROUNDS says how many blocks a test has.
 */
import { expect, test } from "bun:test";
import { FieldFlag } from "../../../../src/http/h2/hpack/field-rules.ts";
import { unless } from "../../../support/needs.ts";
import { Dice } from "../../../support/random.ts";
import { Receiver, Sender, integer } from "./codec.ts";
import { Deflater, Inflater, NGHTTP2 } from "./nghttp2.ts";
import { EXAMPLES, type FieldLine } from "./rfc7541.ts";

const seed = Number(process.env["FAIRLEAD_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = Number(process.env["FAIRLEAD_ROUNDS"] ?? 5_000);
/** Blocks of one connection. */
const BLOCKS = 50;

const NAMES = [":method", ":path", ":scheme", ":authority", ":status", "cookie", "content-length", "content-type", "accept-encoding", "authorization", "date", "set-cookie", "x", "x-request-id", "x-custom-name", "accept-charset"];
const VALUES = ["", "GET", "/", "https", "200", "404", "gzip, deflate", "short", "text/html; charset=utf-8", "Fri, 21 Nov 2025 10:15:00 GMT", "a-value-of-more-than-twenty-bytes"];

function randomText(dice: Dice): string {
  const length = dice.chance(0.02) ? dice.below(5_000) : dice.below(40);
  const [first, width] = dice.chance(0.2) ? [0, 256] : [0x21, 0x5e];
  return String.fromCharCode(...Array.from({ length }, () => first + dice.below(width)));
}

/** A pool that fields are drawn from, so that they come again. */
function pool(dice: Dice): FieldLine[] {
  return Array.from({ length: 5 + dice.below(60) }, (): FieldLine => [
    dice.chance(0.7) ? dice.one(NAMES) : randomText(dice).toLowerCase(),
    dice.chance(0.5) ? dice.one(VALUES) : randomText(dice),
  ]);
}

function sameOf(dice: Dice, from: readonly FieldLine[]): FieldLine[] {
  return Array.from({ length: dice.below(15) }, () => dice.one(from));
}

/** Sizes that a peer may set, at the edges too. */
function limit(dice: Dice): number {
  return dice.chance(0.5) ? dice.below(4_200) : dice.one([0, 31, 32, 33, 64, 4_095, 4_096, 65_536]);
}

const encode = (neverIndexed: readonly boolean[]) => (index: number) => neverIndexed[index]!;

unless(NGHTTP2 === undefined ? "not on this machine: libnghttp2" : undefined).describe(`HPACK beside nghttp2 (seed ${seed})`, () => {
  test("nghttp2 reads what we write, and has the same table", () => {
    const dice = new Dice(seed);
    for (let round = 0; round < ROUNDS; round += BLOCKS) {
      const [sender, inflater, from] = [new Sender(), new Inflater(), pool(dice)];
      for (let i = 0; i < BLOCKS; i++) {
        // Its inflater goes by its own SETTINGS, which stay: smaller tables are within them.
        for (let times = dice.chance(0.1) ? dice.below(4) : 0; times > 0; times--) sender.encoder.setLimit(limit(dice));
        const fields = sameOf(dice, from);
        const never = fields.map(() => dice.chance(0.05));
        const theirs = inflater.decode(sender.encode(fields, encode(never)));
        expect({ round, i, fields: theirs?.fields, kept: theirs?.neverIndexed.filter((flag, i) => !flag && never[i]) }).toEqual({ round, i, fields, kept: [] });
        expect(inflater.tableSize).toBe(sender.encoder.tableSize);
      }
      inflater.close();
    }
  });

  test("we read what nghttp2 writes, and have the same table", () => {
    const dice = new Dice(seed + 1);
    for (let round = 0; round < ROUNDS; round += BLOCKS) {
      const [deflater, inflater, receiver, from] = [new Deflater(), new Inflater(), new Receiver(), pool(dice)];
      for (let i = 0; i < BLOCKS; i++) {
        for (let times = dice.chance(0.1) ? dice.below(4) : 0; times > 0; times--) deflater.setLimit(limit(dice));
        const fields = sameOf(dice, from);
        const never = fields.map(() => dice.chance(0.05));
        const block = deflater.encode(fields, encode(never));
        const ours = receiver.decode(block);
        expect({ round, i, fault: ours.fault, fields: ours.fields }).toEqual({ round, i, fault: undefined, fields });
        const theirs = inflater.decode(block)!;
        expect(ours.flags.map((flags) => (flags & FieldFlag.NEVER_INDEXED) !== 0)).toEqual(theirs.neverIndexed);
        expect(receiver.decoder.tableSize).toBe(inflater.tableSize);
      }
      deflater.close();
      inflater.close();
    }
  });

  test("every byte has the code that nghttp2 has for it", () => {
    const inflater = new Inflater();
    for (let byte = 0; byte < 256; byte++) {
      // Among frequent ones a rare one is coded too.
      const value = `${"a".repeat(40)}${String.fromCharCode(byte)}`;
      const block = new Sender().encode([[":path", value]]);
      expect([byte, block[1]! >= 0x80, inflater.decode(block)?.fields]).toEqual([byte, true, [[":path", value]]]);
    }
    inflater.close();
  });

  test("of any bytes both say the same", () => {
    const dice = new Dice(seed + 2);
    let [accepted, refused] = [0, 0];
    for (let round = 0; round < ROUNDS; ) {
      const [sender, inflater, receiver, from] = [new Sender(), new Inflater(), new Receiver(), pool(dice)];
      for (let blocks = 0; ; blocks++) {
        round++;
        const block = anyBlock(dice, sender, from);
        const ours = receiver.decode(block);
        const theirs = inflater.decode(block);
        // It takes a byte more of an integer, and no string of more than 64 KiB: neither is wrong.
        if (ours.fault?.startsWith("an integer of more") === true || ours.fields.some(([name, value]) => name.length + value.length > 65_535)) break;
        const where = `seed ${seed}, round ${round}, block ${block.toString("hex")}: ${ours.fault}`;
        expect([where, ours.fault === undefined]).toEqual([where, theirs !== undefined]);
        if (theirs === undefined) {
          refused++;
          break;
        }
        accepted++;
        expect([where, ours.fields]).toEqual([where, theirs.fields]);
        expect([where, receiver.decoder.tableSize]).toEqual([where, inflater.tableSize]);
        if (blocks === BLOCKS) break;
      }
      inflater.close();
    }
    // Otherwise nothing was compared.
    expect(Math.min(accepted, refused)).toBeGreaterThan(ROUNDS / 20);
  });
});

/** A good block, one with a few bytes changed, or one of random representations. */
function anyBlock(dice: Dice, sender: Sender, from: readonly FieldLine[]): Buffer {
  const kind = dice.random();
  if (kind < 0.3) return sender.encode(sameOf(dice, from));
  if (kind < 0.6) {
    const examples = dice.one(EXAMPLES).blocks;
    const block = kind < 0.4 ? sender.encode(sameOf(dice, from)) : Buffer.from(dice.one(examples).bytes, "hex");
    for (let times = dice.below(3); times > 0 && block.length > 0; times--) block[dice.below(block.length)] = dice.below(256);
    return dice.chance(0.2) ? block.subarray(0, dice.below(block.length + 1)) : block;
  }
  return Buffer.concat(Array.from({ length: dice.below(6) }, () => representation(dice)));
}

function representation(dice: Dice): Buffer {
  const kind = dice.random();
  if (kind < 0.4) return integer(0x80, 7, dice.chance(0.97) ? 1 + dice.below(75) : dice.below(300));
  if (kind < 0.5) return integer(0x20, 5, dice.chance(0.9) ? dice.below(4_097) : dice.below(5_000));
  if (kind < 0.52) return Buffer.from(Array.from({ length: dice.below(6) }, () => dice.below(256)));
  const [first, bits] = dice.one([[0x40, 6], [0, 4], [0x10, 4]] as const);
  const index = dice.chance(0.5) ? 0 : 1 + dice.below(70);
  return Buffer.concat([integer(first, bits, index), ...(index === 0 ? [string(dice)] : []), string(dice)]);
}

/** Plain or Huffman-coded, and then of bytes that often end well. */
function string(dice: Dice): Buffer {
  const bytes = Buffer.from(randomText(dice), "latin1");
  if (dice.chance(0.5)) return Buffer.concat([integer(0, 7, bytes.length), bytes]);
  const coded = dice.chance(0.5) ? Buffer.from(dice.one(["", "1f", "07", "f1e3c2e5f23a6ba0ab90f4ff", "a8eb10649cbf", "ff", "fffffffc", "fffffffa3f"]), "hex") : bytes.subarray(0, 8);
  return Buffer.concat([integer(0x80, 7, coded.length), coded]);
}
