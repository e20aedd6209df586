/**
 * What a client sends stays one value of one line: control characters, quotes, backslashes and everything that is not ASCII are escaped, so that a log is
 * ASCII, and whoever reads it gets every byte back. Texts hold bytes as characters (Latin-1).
 */

/** Everything else goes into a line as it is. */
const UNSAFE = /[^\x20\x21\x23-\x5b\x5d-\x7e]/;
const EACH_UNSAFE = /[^\x20\x21\x23-\x5b\x5d-\x7e]/g;

/** `\x0a`, as nginx writes them; `\u1234` for what is no byte. */
export function escapeText(text: string): string {
  return UNSAFE.test(text) ? text.replaceAll(EACH_UNSAFE, hexadecimal) : text;
}

function hexadecimal(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : fourDigits(code);
}

/** What stands between the quotes of a JSON string (RFC 8259 section 7). */
export function escapeJson(text: string): string {
  return UNSAFE.test(text) ? text.replaceAll(EACH_UNSAFE, forJson) : text;
}

function forJson(character: string): string {
  if (character === '"' || character === "\\") return `\\${character}`;
  return fourDigits(character.charCodeAt(0));
}

function fourDigits(code: number): string {
  return `\\u${code.toString(16).padStart(4, "0")}`;
}
