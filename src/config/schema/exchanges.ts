/** `[exchanges]`. */
import { z } from "zod";
import { key } from "./key.ts";
import { optionalDuration, someSize, whole } from "./types.ts";

export const exchanges = z.strictObject({
  keep: key(whole(0, 100_000), "So many exchanges that failed, were tried again or took long are kept for GET /v1/exchanges; 0: none.", 1000),
  memory: key(someSize, "What they may take in all.", "8MiB"),
  slow: key(optionalDuration, "Exchanges that take so long are kept.", "1s"),
  sample: key(z.number().min(0).max(1), "The part of all others that is kept, to compare with; 0: none.", 0.001),
  query: key(z.enum(["keep", "drop"]), "What follows the ? of paths: it may hold secrets.", "drop"),
});
