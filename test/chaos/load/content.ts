/** What requests and replies carry: each body is made from its request's number, so that another's bytes, or bytes that changed, are seen. */

/** The first bytes of a body: the number in decimal. */
export const NUMBER_BYTES = 16;
/** No body is longer. */
export const MAX_BODY = 256 * 1024;
/** Where in the pattern a body begins depends on its number. */
const STARTS = 65_536;

/** Bytes without a period: xorshift32 (G. Marsaglia, "Xorshift RNGs", 2003). */
const PATTERN = ((): Buffer => {
  const bytes = Buffer.alloc(MAX_BODY + STARTS);
  let state = 0x9e3779b9;
  for (let at = 0; at < bytes.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = state;
  }
  return bytes;
})();

function startOf(number: number): number {
  return (Math.imul(number, 0x9e3779b1) >>> 8) % STARTS;
}

function prefixOf(number: number): string {
  return String(number).padStart(NUMBER_BYTES, "0");
}

/** Writes the body of `number` to `into` from `at` on. @param length NUMBER_BYTES to MAX_BODY */
export function writeBody(into: Buffer, at: number, number: number, length: number): void {
  into.latin1Write(prefixOf(number), at, NUMBER_BYTES);
  const start = startOf(number);
  PATTERN.copy(into, at + NUMBER_BYTES, start, start + length - NUMBER_BYTES);
}

/** Are `chunk`'s bytes from `from` to `to` those of `number`'s body from its byte `offset` on? */
export function isBody(number: number, offset: number, chunk: Buffer, from: number, to: number): boolean {
  let at = from;
  if (offset < NUMBER_BYTES) {
    const end = Math.min(to, from + NUMBER_BYTES - offset);
    if (chunk.latin1Slice(from, end) !== prefixOf(number).slice(offset, offset + end - from)) return false;
    at = end;
  }
  if (at === to) return true;
  const start = startOf(number) + offset + (at - from) - NUMBER_BYTES;
  return chunk.compare(PATTERN, start, start + to - at, at, to) === 0;
}

/** The path that asks for so many bytes. */
export function pathOf(number: number, length: number): string {
  return `/n/${number}/${length}`;
}

/** How long the reply to `number` is, in bytes: most are small, a few need many packets. */
export function lengthOf(number: number): number {
  if (number % 1_024 === 0) return 96 * 1024;
  return number % 32 === 0 ? 4 * 1024 : 64;
}
