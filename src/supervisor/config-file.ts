/** The configuration file on disk: is it what runs, and another text put in its place. */
import { accessSync, closeSync, constants, copyFileSync, fchmodSync, fchownSync, fsyncSync, linkSync, openSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
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

/** Not every file system has hard links, and not everybody may make one of another's file. */
function hold(path: string, before: string): void {
  try {
    linkSync(path, before);
  } catch {
    copyFileSync(path, before, constants.COPYFILE_EXCL);
  }
}

export interface Replaced {
  /** It runs. */
  readonly keep: () => void;
  /** It does not: the file is as it was. */
  readonly takeBack: () => void;
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
   * Put this in the place of the file. It can be taken back, for what is in the file is what runs.
   * @throws Error when the disk does not take it; then nothing has changed
   */
  replace(text: string): Replaced {
    // What a link leads to is replaced, not the link.
    const path = realpathSync(this.path);
    const draft = `${path}.${process.pid}.new`;
    const before = `${path}.${process.pid}.old`;
    const { mode, uid, gid } = statSync(path);
    accessSync(dirname(path), constants.W_OK);
    try {
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
      rmSync(before, { force: true });
      hold(path, before);
      // Only now is it known whether that is possible: it is not where the file itself is mounted.
      renameSync(draft, path);
    } catch (error) {
      for (const left of [draft, before]) rmSync(left, { force: true });
      throw error;
    }
    return { keep: () => rmSync(before, { force: true }), takeBack: () => renameSync(before, path) };
  }
}
