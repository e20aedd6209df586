/** What somebody may have meant who wrote a word that nobody knows. */
import { distance } from "fastest-levenshtein";

/** `did you mean "x"?` when something known is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.ceil(word.length / 3)) + 1;
  for (const candidate of known) {
    const far = distance(word.toLowerCase(), candidate.toLowerCase());
    if (far < least) {
      least = far;
      best = candidate;
    }
  }
  return best === undefined ? undefined : `did you mean "${best}"?`;
}

/** The hint for a name that is not there: the nearest, else all of them. */
export function suggestion(word: string, known: readonly string[]): { hint?: string } {
  const near = nearest(word, known);
  if (near !== undefined) return { hint: near };
  return known.length === 0 ? {} : { hint: `known: ${known.slice(0, 10).join(", ")}${known.length > 10 ? ", …" : ""}` };
}
