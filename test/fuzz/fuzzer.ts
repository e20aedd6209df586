/** What a fuzzer is: seeds, words that its inputs are made of, and a run that throws when something is wrong. */

export interface Fuzzer {
  readonly name: string;
  seeds(): readonly Buffer[];
  /** Words and bytes that matter here; mutations put them in. */
  readonly words: readonly string[];
  /**
   * Everything that must hold of this input. Depends on nothing but the input.
   * @returns what came of it, in a word or two: an input with a new outcome is kept to be mutated further
   * @throws when something does not hold
   */
  run(input: Buffer): string;
}

/** Thrown by fuzzers: what must hold, and does not. */
export class Broken extends Error {}

export function hold(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Broken(what);
}

/** The same text for the same bytes, short enough for a message. */
export function shown(bytes: Buffer | string): string {
  // eslint-disable-next-line no-control-regex
  const text = JSON.stringify(typeof bytes === "string" ? bytes : bytes.toString("latin1")).replaceAll(/[\x7f-\xff]/g, (byte) => `\\u00${byte.charCodeAt(0).toString(16)}`);
  return text.length > 2_000 ? `${text.slice(0, 2_000)}…` : text;
}
