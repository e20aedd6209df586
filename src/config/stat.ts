/** What is at a path that a configuration names. */
import { type Stats, statSync } from "node:fs";

/** Undefined: nothing. A code as ENAMETOOLONG: the system does not say, and could not open it either. */
export function statOf(path: string): Stats | string | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

export function isFile(path: string): boolean {
  const stats = statOf(path);
  return typeof stats === "object" && stats.isFile();
}
