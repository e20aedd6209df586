/** What is wrong with a configuration, before its place in the file is known. */
import type { Path } from "./positions.ts";

/** Something wrong at a path of the config; load.ts finds its place in the file. */
export interface Problem {
  readonly path: Path;
  /** Is it the key that is wrong, or its value? */
  readonly about: "key" | "value";
  readonly message: string;
  readonly hint?: string;
}
