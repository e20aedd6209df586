/** Hashes and comparisons of names and values where they lie; names in whatever case. */
import { LOWER } from "../../fields.ts";

const FACTOR = 0x9e3779b1; // 2^32 divided by the golden ratio
/** Sets small letters' bit in four bytes: a hash that takes capitals for small letters may take some others for the same too. */
const SMALL_LETTERS = 0x20202020;

export function hashName(source: Buffer, start: number, end: number): number {
  return hash(source, start, end, SMALL_LETTERS);
}

export function hashValue(source: Buffer, start: number, end: number): number {
  return hash(source, start, end, 0);
}

/** 32 bits, signed. Whoever finds collisions wins little: a table has 128 entries. */
function hash(source: Buffer, start: number, end: number, set: number): number {
  let sum = end - start;
  let i = start;
  for (; i + 4 <= end; i += 4) sum = mix(sum, source[i]! | (source[i + 1]! << 8) | (source[i + 2]! << 16) | (source[i + 3]! << 24) | set);
  if (i < end) {
    let rest = source[i]!;
    if (i + 1 < end) rest |= source[i + 1]! << 8;
    if (i + 2 < end) rest |= source[i + 2]! << 16;
    sum = mix(sum, rest | set);
  }
  return sum;
}

function mix(sum: number, bytes: number): number {
  const product = Math.imul(sum ^ bytes, FACTOR);
  return product ^ (product >>> 15);
}

/** Is the name at `start` in any case the one that `small` has at `at` in small letters? */
export function sameName(source: Buffer, start: number, small: Buffer, at: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (LOWER[source[start + i]!] !== small[at + i]) return false;
  return true;
}

export function sameValue(source: Buffer, start: number, other: Buffer, at: number, length: number): boolean {
  let i = 0;
  // Four a step: what is compared is nearly always the same, and a step is a branch.
  for (; i + 4 <= length; i += 4) {
    const a = start + i;
    const b = at + i;
    if (((source[a]! ^ other[b]!) | (source[a + 1]! ^ other[b + 1]!) | (source[a + 2]! ^ other[b + 2]!) | (source[a + 3]! ^ other[b + 3]!)) !== 0) return false;
  }
  for (; i < length; i++) if (source[start + i] !== other[at + i]) return false;
  return true;
}
