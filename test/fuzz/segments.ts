/** Where an input is cut into pieces: it follows from the input, so that what is found is found again. */
import { Dice } from "../support/random.ts";

export function diceOf(input: Buffer): Dice {
  return new Dice(Bun.hash.crc32(input) | 0);
}

/** Offsets at which pieces begin, the first 0: every byte of short inputs, else at random places. */
export function cuts(input: Buffer, most = 40): number[] {
  if (input.length <= most) return Array.from({ length: Math.max(1, input.length) }, (_, at) => at);
  const dice = diceOf(input);
  const at = new Set([0]);
  for (let count = 1 + dice.below(most / 2); count > 0; count--) at.add(dice.below(input.length));
  return [...at].toSorted((a, b) => a - b);
}

/** The same input in pieces. */
export function pieces(input: Buffer, most = 40): Buffer[] {
  const at = cuts(input, most);
  return at.map((from, i) => input.subarray(from, at[i + 1] ?? input.length));
}
