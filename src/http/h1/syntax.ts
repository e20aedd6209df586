/** Bytes of HTTP/1 messages: which may stand where, and the small readers that several heads share. */
import { LOWER, equalsLower } from "../fields.ts";

export const CR = 13;
export const LF = 10;
export const SP = 32;
export const HTAB = 9;
export const COLON = 58;

/** Classes of bytes, as bits. */
export const TOKEN = 1;
export const VALUE = 2;
export const TARGET = 4;
export const DIGIT = 8;
const HOST = 16;
export const CLASS = Uint8Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  let bits = 0;
  if (/^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/.test(character)) bits |= TOKEN; // RFC 9110 section 5.6.2
  if (byte === HTAB || (byte >= SP && byte !== 0x7f)) bits |= VALUE; // RFC 9110 section 5.5
  if (byte > SP && byte < 0x7f && character !== "#") bits |= TARGET;
  if (byte >= 0x30 && byte <= 0x39) bits |= DIGIT;
  if (/^[A-Za-z0-9\-._~!$&'()*+,;=%:[\]]$/.test(character)) bits |= HOST; // RFC 3986 section 3.2.2, no userinfo
  return bits;
});

/** Content-Length beyond it cannot be counted exactly: 2^53 - 1. */
const MAX_DIGITS = 16;

export function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB;
}

export function isToken(buffer: Uint8Array, start: number, end: number, lower: Uint8Array): boolean {
  return end - start === lower.length && equalsLower(buffer, start, lower);
}

/** Digits only, at most 2^53 - 1; -1 for anything else. */
export function parseDigits(buffer: Uint8Array, start: number, end: number): number {
  if (start === end || end - start > MAX_DIGITS) return -1;
  let value = 0;
  for (let i = start; i < end; i++) {
    const byte = buffer[i]!;
    if ((CLASS[byte]! & DIGIT) === 0) return -1;
    value = value * 10 + (byte - 0x30);
  }
  return value <= Number.MAX_SAFE_INTEGER ? value : -1;
}

/** RFC 9110 section 7.2: uri-host [":" port], without userinfo. */
export function isHost(buffer: Uint8Array, start: number, end: number): boolean {
  if (start === end) return false;
  let position = start;
  if (buffer[start] === 0x5b) {
    position++;
    while (position < end && (buffer[position] === COLON || buffer[position] === 0x2e || isHex(buffer[position]!))) position++;
    if (position === start + 1 || buffer[position] !== 0x5d) return false;
    position++;
  } else {
    while (position < end && buffer[position] !== COLON) {
      const byte = buffer[position]!;
      if ((CLASS[byte]! & HOST) === 0 || byte === 0x5b || byte === 0x5d) return false;
      if (byte === 0x25 && !(position + 2 < end && isHex(buffer[position + 1]!) && isHex(buffer[position + 2]!))) return false;
      position++;
    }
    if (position === start) return false;
  }
  if (position === end) return true;
  if (buffer[position] !== COLON || end - position > 6) return false;
  for (let i = position + 1; i < end; i++) if ((CLASS[buffer[i]!]! & DIGIT) === 0) return false;
  return true;
}

function isHex(byte: number): boolean {
  return (CLASS[byte]! & DIGIT) !== 0 || (LOWER[byte]! >= 0x61 && LOWER[byte]! <= 0x66);
}

/** Value of a hex digit; -1 for another byte. */
export function hexValue(byte: number): number {
  if ((CLASS[byte]! & DIGIT) !== 0) return byte - 0x30;
  const lower = LOWER[byte]!;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
