/** What ends the things that a test has started, in the order in which they must end: the last first. */

/** @param after when: bun's `afterEach` or `afterAll` @returns put there what ends a thing */
export function endings(...after: readonly ((end: () => Promise<void>) => void)[]): (() => unknown)[] {
  const all: (() => unknown)[] = [];
  for (const each of after) {
    each(async () => {
      for (const end of all.splice(0).toReversed()) await end();
    });
  }
  return all;
}
