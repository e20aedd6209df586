/** Colours on a terminal, and plain text everywhere else (https://no-color.org). */

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

export type Paint = (style: keyof typeof CODES, text: string) => string;

export const plain: Paint = (_style, text) => text;

const coloured: Paint = (style, text) => (text === "" ? "" : `\u001B[${CODES[style]}m${text}\u001B[0m`);

export function paintFor(stream: { readonly isTTY?: boolean }): Paint {
  const { NO_COLOR } = process.env;
  return stream.isTTY === true && (NO_COLOR === undefined || NO_COLOR === "") ? coloured : plain;
}
