/** Renames the access log's file when it has grown, so that workers begin another one: path.1 is the newest of those before. */
import { renameSync, rmSync, statSync } from "node:fs";
import type { AccessLogConfig } from "../config/snapshot.ts";
import type { Log } from "./log.ts";

/** Between two looks at its size, in ms. */
const LOOK_EVERY = 500;

export class LogRotation {
  private readonly log: Log;
  private readonly reopen: () => void;
  private timer: Timer | undefined = undefined;
  private complained = false;

  /** @param reopen tells all who write to go on in the file that has the name */
  constructor(log: Log, reopen: () => void) {
    this.log = log;
    this.reopen = reopen;
  }

  apply(config: AccessLogConfig | undefined): void {
    clearInterval(this.timer);
    if (config !== undefined && config.rotateSize > 0) this.timer = setInterval(() => this.look(config), LOOK_EVERY).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private look({ path, rotateSize, keep }: AccessLogConfig): void {
    const stats = statSync(path, { throwIfNoEntry: false });
    // Nothing of a named pipe or a device grows.
    if (stats?.isFile() !== true || stats.size < rotateSize) return;
    try {
      rotate(path, keep);
      this.complained = false;
    } catch (error) {
      if (!this.complained) this.log.error({ path, reason: (error as Error).message }, "The access log cannot be renamed; it goes on growing");
      this.complained = true;
      return;
    }
    // Who writes meanwhile writes into the renamed file: nothing is lost.
    this.reopen();
  }
}

/** path to path.1, that to path.2, and so on. @param keep how many there are then at most */
function rotate(path: string, keep: number): void {
  for (let beyond = keep; statSync(`${path}.${beyond}`, { throwIfNoEntry: false }) !== undefined; beyond++) rmSync(`${path}.${beyond}`);
  for (let number = keep - 1; number >= 1; number--) {
    if (statSync(`${path}.${number}`, { throwIfNoEntry: false }) !== undefined) renameSync(`${path}.${number}`, `${path}.${number + 1}`);
  }
  renameSync(path, `${path}.1`);
}
