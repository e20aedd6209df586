/** How deep a configuration nests: `a.b.c = 1` is three deep. */
import type { Path } from "./positions.ts";

/** The deepest that is looked at; by far more than any key has. Whoever goes through values calls itself once for each level. */
export const MAX_DEPTH = 32;

/** Where it goes deeper: the path as far as that; undefined: nowhere. */
export function tooDeep(value: unknown, depth = 0): Path | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (depth === MAX_DEPTH) return [];
  for (const [key, each] of Object.entries(value)) {
    const found = tooDeep(each, depth + 1);
    if (found !== undefined) return [key, ...found];
  }
  return undefined;
}
