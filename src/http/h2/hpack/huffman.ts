/** The Huffman code of strings (RFC 7541 section 5.2, appendix B): encoder, and a decoder that takes a byte a step. */
import { LOWER } from "../../fields.ts";

const EOS = 256;

/**
 * Symbols by the length of their code in bits. The code is canonical: within a length codes follow the order of symbols, and a length
 * goes on where the one before ended. So lengths say it all. A pair is a range of symbols, both ends included.
 */
const SYMBOLS: Readonly<Record<number, readonly (string | number | readonly [number, number])[]>> = {
  5: ["012aceiost"],
  6: [" %-./3456789=A_bdfghlmnpru"],
  7: [":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"],
  8: ["&*,;XZ"],
  10: ['!"()?'],
  11: ["'+|"],
  12: ["#>"],
  13: ["\0$@[]~"],
  14: ["^}"],
  15: ["<`{"],
  19: ["\\", 195, 208],
  20: [128, 130, 131, 162, 184, 194, 224, 226],
  21: [153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230],
  22: [129, [132, 134], 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, [185, 187], 189, 190, 196, 198, 228, 232, 233],
  23: [1, 135, [137, 141], 143, 147, [149, 152], 155, 157, 158, 165, 166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239],
  24: [9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237],
  25: [199, 207, 234, 235],
  26: [192, 193, [200, 202], 205, 210, 213, 218, 219, 238, 240, 242, 243, 255],
  27: [203, 204, 211, 212, 214, [221, 223], 241, [244, 248], [250, 254]],
  28: [[2, 8], 11, 12, [14, 21], [23, 31], 127, 220, 249],
  30: [10, 13, 22, EOS],
};

/** Codes by symbol, in the low bits, and their lengths. */
export interface HuffmanCode {
  readonly code: Uint32Array;
  readonly bits: Uint8Array;
}

/** For values: every byte as it is. EOS is its last symbol. */
export const AS_IS: HuffmanCode = canonicalCode();

/** For names: capitals get the code of their small letter. */
export const LOWERED: HuffmanCode = {
  code: Uint32Array.from(LOWER, (byte) => AS_IS.code[byte]!),
  bits: Uint8Array.from(LOWER, (byte) => AS_IS.bits[byte]!),
};

function canonicalCode(): HuffmanCode {
  const code = new Uint32Array(EOS + 1);
  const bits = new Uint8Array(EOS + 1);
  let next = 0;
  let length = 0;
  for (const [key, symbols] of Object.entries(SYMBOLS)) {
    next *= 2 ** (Number(key) - length);
    length = Number(key);
    for (const symbol of symbols.flatMap(expand)) {
      code[symbol] = next++;
      bits[symbol] = length;
    }
  }
  return { code, bits };
}

function expand(symbols: string | number | readonly [number, number]): number[] {
  if (typeof symbols === "string") return [...Buffer.from(symbols, "latin1")];
  const [first, last] = typeof symbols === "number" ? [symbols, symbols] : symbols;
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** Bytes that [start, end) takes when encoded. */
export function huffmanLength(source: Buffer, start: number, end: number, { bits }: HuffmanCode): number {
  let sum = 0;
  for (let i = start; i < end; i++) sum += bits[source[i]!]!;
  return (sum + 7) >> 3;
}

/** Encode [start, end) to `out` from `at` on; returns where it ends. There must be room for huffmanLength bytes. */
export function huffmanEncode(source: Buffer, start: number, end: number, { code, bits }: HuffmanCode, out: Buffer, at: number): number {
  // Bits that wait for their byte to fill: less than 8 of them between two symbols.
  let waiting = 0;
  let count = 0;
  for (let i = start; i < end; i++) {
    const byte = source[i]!;
    let value = code[byte]!;
    let length = bits[byte]!;
    if (length > 24) {
      // Together with what waits it might not fit 32 bits.
      waiting = (waiting << (length - 16)) | (value >>> 16);
      count += length - 16;
      while (count >= 8) {
        count -= 8;
        out[at++] = waiting >>> count;
      }
      value &= 0xffff;
      length = 16;
    }
    waiting = (waiting << length) | value;
    count += length;
    while (count >= 8) {
      count -= 8;
      out[at++] = waiting >>> count;
    }
  }
  // The padding is the beginning of EOS: ones.
  if (count > 0) out[at++] = (waiting << (8 - count)) | (0xff >>> count);
  return at;
}

/** What huffmanDecode returns instead of an end. */
export const HAS_EOS = -1;
const BAD_PADDING = -2;

/**
 * The decoder's steps: STEPS[state << 8 | byte] is what a byte does. A state is an inner node of the code's tree, 0 the root: the bits of the
 * symbol that is not yet complete. A byte completes at most two symbols: the one begun, and one of 5 bits or more in the 7 left.
 * Bits 0–7 and 8–15: these symbols; 16–17: how many; from 18: the state that follows.
 */
const STATE_SHIFT = 18;
/** Of a string that has EOS in it; never left. */
const FAILED = 256;
const { steps: STEPS, mayEnd: MAY_END } = decoderSteps();

function decoderSteps(): { steps: Uint32Array; mayEnd: Uint8Array } {
  // The tree: children of inner nodes; a leaf is ~symbol.
  const children = new Int16Array(2 * 256);
  const mayEnd = new Uint8Array(FAILED + 1);
  mayEnd[0] = 1;
  let nodes = 1;
  for (let symbol = 0; symbol <= EOS; symbol++) {
    const length = AS_IS.bits[symbol]!;
    let node = 0;
    for (let bit = length - 1; bit > 0; bit--) {
      const branch = 2 * node + ((AS_IS.code[symbol]! >>> bit) & 1);
      if (children[branch] === 0) children[branch] = nodes++;
      node = children[branch]!;
      // Padding: at most 7 bits of EOS.
      if (symbol === EOS && length - bit < 8) mayEnd[node] = 1;
    }
    children[2 * node + (AS_IS.code[symbol]! & 1)] = ~symbol;
  }
  const steps = new Uint32Array((FAILED + 1) << 8);
  for (let state = 0; state < FAILED; state++) {
    for (let byte = 0; byte < 256; byte++) steps[(state << 8) | byte] = step(children, state, byte);
  }
  steps.fill((FAILED << STATE_SHIFT) >>> 0, FAILED << 8);
  return { steps, mayEnd };
}

function step(children: Int16Array, state: number, byte: number): number {
  let node = state;
  let symbols = 0;
  let count = 0;
  for (let bit = 7; bit >= 0; bit--) {
    const next = children[2 * node + ((byte >>> bit) & 1)]!;
    if (next === ~EOS) return FAILED << STATE_SHIFT;
    if (next >= 0) node = next;
    else {
      symbols |= ~next << (8 * count++);
      node = 0;
    }
  }
  return (node << STATE_SHIFT) | (count << 16) | symbols;
}

/**
 * Decode [start, end) to `out` from `at` on; returns where it ends, HAS_EOS or BAD_PADDING.
 * There must be room for 2 bytes for each byte decoded.
 */
export function huffmanDecode(source: Buffer, start: number, end: number, out: Buffer, at: number): number {
  let state = 0;
  for (let i = start; i < end; i++) {
    const step = STEPS[(state << 8) | source[i]!]!;
    out[at] = step;
    out[at + 1] = step >>> 8;
    at += (step >>> 16) & 3;
    state = step >>> STATE_SHIFT;
  }
  if (MAY_END[state] === 1) return at;
  return state === FAILED ? HAS_EOS : BAD_PADDING;
}
