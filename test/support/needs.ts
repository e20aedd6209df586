/** Tests of what not every machine has: without it they are skipped, and their names say why. */
import { describe, test } from "bun:test";

interface Declarations {
  readonly describe: (name: string, body: () => void) => void;
  readonly test: (name: string, body: () => void | Promise<void>, timeout?: number) => void;
}

/** @param reason why they cannot run here; undefined: they can */
export function unless(reason: string | undefined): Declarations {
  const skipped = reason !== undefined;
  const named = (name: string): string => (skipped ? `${name} (${reason})` : name);
  return {
    describe: (name, body) => describe.skipIf(skipped)(named(name), body),
    test: (name, body, timeout) => test.skipIf(skipped)(named(name), body, timeout),
  };
}

/** Why programs of others cannot be used, if one of them is not on the PATH. */
function lacking(...programs: readonly string[]): string | undefined {
  const missing = programs.filter((program) => Bun.which(program) === null);
  return missing.length === 0 ? undefined : `not on this machine: ${missing.join(", ")}`;
}

/** Tests that drive Fairlead with programs of others, all of which must be on the PATH. */
export function needs(...programs: readonly string[]): Declarations {
  return unless(lacking(...programs));
}
