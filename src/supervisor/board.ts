/** Makes the scoreboard of an instance: a sparse file in memory, and room enough that no reload outgrows it. */
import { closeSync, constants, existsSync, fstatSync, openSync, readdirSync, statfsSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tryLock } from "../net/file-lock.ts";
import { Scoreboard, TARGET_CELLS } from "../scoreboard/scoreboard.ts";
import { StartError } from "./errors.ts";

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;

/** Rows that are never used cost address space only. */
export const CAPACITY = { targets: 65_536, upstreams: 4_096 };

/** Others that start at the same time may take our file for a dead one's so often. */
const MAX_TRIES = 100;
const NAME = /^fairlead-.+\.board$/;
/** For what is not counters of targets: in all, and for each worker slot. */
const OTHER_BYTES = 2 * 1024 * 1024;
const OTHER_BYTES_PER_SLOT = 512 * 1024;

export interface HeldBoard {
  /** Its file's descriptor has a shared lock: as long as a process lives that has it, nobody takes the file for a dead one's. */
  readonly board: Scoreboard;
  /** The file opened once more, without that lock: who can lock this one exclusively knows that all of those have gone. */
  readonly watch: number;
}

/**
 * @param workers slots are made for twice as many and two more, so that old and new ones stand side by side
 * @param targets in the configuration; there is memory for twice as many
 */
export function createBoard(workers: number, targets: number): HeldBoard {
  const slots = Math.max(8, workers * 2 + 2);
  const directory = chooseDirectory(slots * (2 * targets * TARGET_CELLS * 8 + OTHER_BYTES_PER_SLOT) + OTHER_BYTES);
  removeStale(directory);
  for (let tries = 1; ; tries++) {
    const path = join(directory, `fairlead-${process.pid}-${crypto.randomUUID().slice(0, 8)}.board`);
    try {
      const file = openSync(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
      // Another start may have seen it before we held it: then it is gone, or about to be.
      if (tryLock(file, "shared") && existsSync(path)) return { watch: openSync(path, O_RDONLY | O_NOFOLLOW), board: Scoreboard.create(file, path, { ...CAPACITY, workers: slots }) };
      closeSync(file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT" && tries < MAX_TRIES) continue;
      throw new StartError(`cannot make the shared memory ${path}: ${(error as Error).message}`);
    }
  }
}

/** Memory where there is enough: containers often have 64 MiB of it, and one that is full kills who writes to it. */
function chooseDirectory(bytes: number): string {
  const memory = "/dev/shm";
  if (!existsSync(memory)) return tmpdir();
  const { bavail, bsize } = statfsSync(memory);
  return bavail * bsize >= bytes ? memory : tmpdir();
}

/** Files that no process holds were left by ones that were killed. */
function removeStale(directory: string): void {
  for (const name of readdirSync(directory)) {
    if (!NAME.test(name)) continue;
    const path = join(directory, name);
    try {
      // Anybody may put anything there: a link, or a pipe that would keep us waiting for who writes to it.
      const file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      if (fstatSync(file).isFile() && tryLock(file, "exclusive")) unlinkSync(path);
      closeSync(file);
    } catch {
      // Another user's, or gone by now.
    }
  }
}
