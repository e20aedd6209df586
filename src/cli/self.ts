/** How this program starts itself again: for workers, upgrades and the demo's back ends. */

/** In an executable made by `bun build --compile` the sources live under this root. */
const COMPILED = /^(\/\$bunfs\/|[A-Z]:\\~BUN\\)/;

/** The command without arguments: the executable alone, or bun and the entry file. */
export function selfCommand(): string[] {
  return COMPILED.test(Bun.main) ? [process.execPath] : [process.execPath, Bun.main];
}
