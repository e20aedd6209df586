/** How this program starts itself again: for workers, upgrades and the demo's back ends. */

/** In an executable made by `bun build --compile` the sources live under this root. */
const COMPILED = /^(\/\$bunfs\/|[A-Z]:\\~BUN\\)/;

/** What the launcher tells bun too: files of the working directory are not for Fairlead, and nothing is fetched at run time. */
const RUNTIME_FLAGS = ["--no-install", "--no-env-file", "--config=/dev/null"];

/** The command without arguments: the executable alone, or bun and the entry file. */
export function selfCommand(): string[] {
  return COMPILED.test(Bun.main) ? [process.execPath] : [process.execPath, ...RUNTIME_FLAGS, Bun.main];
}
