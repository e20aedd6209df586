/** Mutations that know a little of structure: lines, words, lengths at their boundaries, parts of other inputs. */
import type { Dice } from "../support/random.ts";

/** Longer inputs are cut: what is to be found is found in short ones too. */
const LONGEST = 16 * 1024;

const NUMBERS = ["0", "1", "-1", "+1", "00", "0x1", "255", "256", "65535", "65536", "2147483647", "2147483648", "4294967295", "4294967296", "9007199254740991", "9007199254740992", "18446744073709551615", "18446744073709551616", "99999999999999999999999999", "1e9", "0.5", "f", "ffff", "ffffffff", "FFFFFFFFFFFFFFFF"];
const BYTES = [0, 1, 9, 10, 11, 12, 13, 32, 34, 39, 44, 58, 59, 92, 127, 128, 133, 160, 255];

type Mutation = (bytes: Buffer, dice: Dice, words: readonly string[], other: Buffer) => Buffer;

function replaced(bytes: Buffer, from: number, to: number, by: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, from), by, bytes.subarray(to)]);
}

/** Where a part begins and ends: anywhere, mostly short. */
function part(bytes: Buffer, dice: Dice): readonly [number, number] {
  const from = dice.below(bytes.length + 1);
  const most = dice.chance(0.8) ? 24 : bytes.length;
  return [from, Math.min(bytes.length, from + dice.below(most + 1))];
}

function lineBounds(bytes: Buffer, dice: Dice): readonly [number, number] {
  const ends = [0];
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) ends.push(at + 1);
  if (ends.at(-1) !== bytes.length) ends.push(bytes.length);
  const index = dice.below(Math.max(1, ends.length - 1));
  return [ends[index] ?? 0, ends[index + 1] ?? bytes.length];
}

const MUTATIONS: readonly Mutation[] = [
  // Flip a bit.
  (bytes, dice) => {
    const copy = Buffer.from(bytes);
    if (copy.length > 0) copy[dice.below(copy.length)]! ^= 1 << dice.below(8);
    return copy;
  },
  // Another byte, one that matters more often than not.
  (bytes, dice) => {
    const at = dice.below(bytes.length + 1);
    return replaced(bytes, at, Math.min(bytes.length, at + dice.below(2)), Buffer.of(dice.chance(0.6) ? dice.one(BYTES) : dice.below(256)));
  },
  // Take a part away.
  (bytes, dice) => replaced(bytes, ...part(bytes, dice), Buffer.alloc(0)),
  // A part once more, or many times.
  (bytes, dice) => {
    const [from, to] = part(bytes, dice);
    const times = dice.chance(0.9) ? 1 + dice.below(3) : dice.below(300);
    return replaced(bytes, to, to, Buffer.concat(Array.from({ length: times }, () => bytes.subarray(from, to))));
  },
  // A word.
  (bytes, dice, words) => {
    const at = dice.below(bytes.length + 1);
    return words.length === 0 ? bytes : replaced(bytes, at, dice.chance(0.7) ? at : Math.min(bytes.length, at + dice.below(8)), Buffer.from(dice.one(words), "latin1"));
  },
  // Another number where one is.
  (bytes, dice) => {
    const text = bytes.toString("latin1");
    const found = [...text.matchAll(/[0-9]+/g)];
    if (found.length === 0) return bytes;
    const match = dice.one(found);
    return replaced(bytes, match.index, match.index + match[0].length, Buffer.from(dice.one(NUMBERS)));
  },
  // Two bytes of a length, at a boundary.
  (bytes, dice) => {
    if (bytes.length < 2) return bytes;
    const copy = Buffer.from(bytes);
    copy.writeUInt16BE(dice.one([0, 1, 2, 255, 256, 16_383, 16_384, 16_385, 32_767, 32_768, 65_535, copy.length & 0xffff]), dice.below(copy.length - 1));
    return copy;
  },
  // A line away, twice, or at another place.
  (bytes, dice) => {
    const [from, to] = lineBounds(bytes, dice);
    const line = bytes.subarray(from, to);
    const kind = dice.below(3);
    if (kind === 0) return replaced(bytes, from, to, Buffer.alloc(0));
    if (kind === 1) return replaced(bytes, to, to, line);
    const [at] = lineBounds(bytes, dice);
    return replaced(bytes, at, at, line);
  },
  // The front of one and the rest of another.
  (bytes, dice, _words, other) => Buffer.concat([bytes.subarray(0, dice.below(bytes.length + 1)), other.subarray(dice.below(other.length + 1))]),
  // A part of another.
  (bytes, dice, _words, other) => {
    const [from, to] = part(other, dice);
    const at = dice.below(bytes.length + 1);
    return replaced(bytes, at, at, other.subarray(from, to));
  },
  // An early end.
  (bytes, dice) => bytes.subarray(0, dice.below(bytes.length + 1)),
];

/** A few mutations, one upon the other. */
export function mutated(bytes: Buffer, dice: Dice, words: readonly string[], other: Buffer): Buffer {
  let result = bytes;
  for (let times = 1 + dice.below(4); times > 0; times--) result = dice.one(MUTATIONS)(result, dice, words, other);
  return Buffer.from(result.length > LONGEST ? result.subarray(0, LONGEST) : result);
}
