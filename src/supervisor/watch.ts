/** Says when one of some files changed, also when an editor put another file in its place, or a link leads elsewhere now. */
import { type FSWatcher, statSync, watch } from "node:fs";
import { dirname, resolve } from "node:path";

/** Editors write, rename and touch in quick succession: one call for all of it. In ms. */
const SETTLE = 30;
/** Network and container mounts do not always tell of changes: then they are seen after this long at the latest, in ms. */
const POLL_INTERVAL = 2_000;

export class FileWatch {
  private readonly changed: () => void;
  /** What each file looked like last. */
  private stamps = new Map<string, string>();
  private readonly directories = new Map<string, FSWatcher>();
  private timer: Timer | undefined = undefined;
  private readonly poll: Timer;
  private readonly settle: number;

  /** @param settle changes that follow each other within so many ms are one */
  constructor(changed: () => void, settle = SETTLE) {
    this.changed = changed;
    this.settle = settle;
    this.poll = setInterval(() => this.look(), POLL_INTERVAL);
    this.poll.unref();
  }

  /** These, and no others. One that was watched already keeps what is known of it: a change that was not told yet will be. */
  files(paths: readonly string[]): void {
    const files = paths.map((path) => resolve(path));
    this.stamps = new Map(files.map((file) => [file, this.stamps.get(file) ?? stampOf(file)]));
    // The directory, not the file: a watch on a file ends when another file takes its name.
    const wanted = new Set(files.map((file) => dirname(file)));
    for (const directory of this.directories.keys()) if (!wanted.has(directory)) this.forget(directory);
    for (const directory of wanted) if (!this.directories.has(directory)) this.watch(directory);
  }

  /** These too. */
  also(paths: readonly string[]): void {
    this.files([...this.stamps.keys(), ...paths]);
  }

  /** What this file looks like now is known. */
  seen(path: string): void {
    const file = resolve(path);
    if (this.stamps.has(file)) this.stamps.set(file, stampOf(file));
  }

  private watch(directory: string): void {
    try {
      const watcher = watch(directory, () => this.soon());
      // The directory itself went away: there is nothing to see there any more.
      watcher.on("error", () => this.forget(directory));
      this.directories.set(directory, watcher);
    } catch {
      // It does not exist: whoever reads the file says so.
    }
  }

  private forget(directory: string): void {
    this.directories.get(directory)?.close();
    this.directories.delete(directory);
  }

  stop(): void {
    this.files([]);
    clearTimeout(this.timer);
    clearInterval(this.poll);
  }

  private soon(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), this.settle);
  }

  private look(): void {
    let different = false;
    for (const [file, before] of this.stamps) {
      const stamp = stampOf(file);
      // A file that is gone for a moment comes back; a running balancer needs no news of it.
      if (stamp === before || stamp === "") continue;
      this.stamps.set(file, stamp);
      different = true;
    }
    if (different) this.changed();
  }
}

/** Follows links. Empty: there is no such file. */
function stampOf(file: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(file);
    return `${ino} ${size} ${mtimeMs}`;
  } catch {
    return "";
  }
}
