/** The file that tells other programs the supervisor's process id. */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { StartError } from "../supervisor/errors.ts";

/** @throws StartError when it cannot be written */
export function writePidFile(path: string): void {
  try {
    // Readers see the old id or the new one, never half of it.
    // Whoever could write another number would have root signal what it is.
    rmSync(`${path}.${process.pid}`, { force: true });
    writeFileSync(`${path}.${process.pid}`, `${process.pid}\n`, { mode: 0o644, flag: "wx" });
    renameSync(`${path}.${process.pid}`, path);
  } catch (error) {
    throw new StartError(`cannot write the pid file ${path}: ${(error as Error).message}`);
  }
}

/** Unless another process has written its id meanwhile: after an upgrade the file is the new one's. */
export function removePidFile(path: string): void {
  try {
    if (Number(readFileSync(path, "utf8")) === process.pid) rmSync(path);
  } catch {
    // It is gone already.
  }
}
