/** The configuration file on disk: is it what runs, and another text put in its place. */
import { accessSync, closeSync, constants, fchmodSync, fchownSync, fsyncSync, openSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";

export interface ConfigFileState {
  readonly path: string;
  /** It says something else than what runs. */
  readonly changed: boolean;
  /** Since when, ISO 8601: as the disk says. */
  readonly since: string | null;
  /** Why it cannot be read. */
  readonly problem: string | null;
}

export class ConfigFile {
  readonly path: string;
  /** What the file looked like when it was last compared, and what came of it. */
  private last: { readonly stamp: string; readonly text: string } | undefined = undefined;

  constructor(path: string) {
    this.path = resolve(path);
  }

  /** Read only when it has been touched. @param running the text that runs */
  state(running: string | undefined): ConfigFileState {
    const { path } = this;
    try {
      const { ino, size, mtimeMs } = statSync(path);
      const stamp = `${ino} ${size} ${mtimeMs}`;
      if (this.last?.stamp !== stamp) this.last = { stamp, text: readFileSync(path, "utf8") };
      const changed = this.last.text !== running;
      return { path, changed, since: changed ? new Date(mtimeMs).toISOString() : null, problem: null };
    } catch (error) {
      return { path, changed: true, since: null, problem: (error as Error).message };
    }
  }

  /**
   * Ready to be put in the place of the file: only that is left to do.
   * @throws Error when the disk does not take it; then nothing has changed
   */
  prepare(text: string): { readonly commit: () => void; readonly abandon: () => void } {
    // What a link leads to is replaced, not the link.
    const path = realpathSync(this.path);
    const draft = `${path}.${process.pid}.new`;
    const { mode, uid, gid } = statSync(path);
    accessSync(dirname(path), constants.W_OK);
    rmSync(draft, { force: true });
    const file = openSync(draft, "wx", 0o600);
    try {
      writeFileSync(file, text);
      // Who could read or write the one before can the new one, whatever the umask says, and nobody else.
      if (process.getuid?.() === 0) fchownSync(file, uid, gid);
      fchmodSync(file, mode & 0o777);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    return { commit: () => renameSync(draft, path), abandon: () => rmSync(draft, { force: true }) };
  }
}
