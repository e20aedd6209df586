/** A key of the config, and what its absence stands for. */
import type { z } from "zod";

/** Defaults as people write them, for the JSON Schema; kept apart from zod's own so that tables can inherit. */
const written = new WeakMap<z.core.$ZodType, unknown>();

/** A key that may be absent: then `fallback` applies. */
export function key<T extends z.ZodType>(type: T, description: string, fallback?: unknown): z.ZodOptional<T> {
  const optional = type.optional().meta({ description });
  if (fallback !== undefined) written.set(optional, fallback);
  return optional;
}

/** What an absent key stands for, as people write it; undefined: nothing, or what cannot be said in a word. */
export function defaultOf(type: z.core.$ZodType): unknown {
  return written.get(type);
}
