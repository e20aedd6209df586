/** Programs that a configuration names. */
import { resolve } from "node:path";

/** A program that is named with ./ or ../ stands beside the config file; one without a slash is found in PATH. */
export function commandOf([program = "", ...args]: readonly string[], directory: string): string[] {
  if (program === "") return [];
  return [/^\.{1,2}\//.test(program) ? resolve(directory, program) : program, ...args];
}
