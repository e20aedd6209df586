/** Makes the scoreboard of an instance: a sparse file in memory, and room enough that no reload outgrows it. */
import { existsSync, readdirSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Scoreboard } from "../scoreboard/scoreboard.ts";
import { isAlive } from "./runtime-directory.ts";

/** Rows that are never used cost address space only. */
export const CAPACITY = { targets: 65_536, upstreams: 4_096 };

const DIRECTORY = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
const NAME = /^fairlead-(\d+)\.board$/;

/** @param workers slots are made for twice as many and two more, so that old and new ones stand side by side */
export function createBoard(workers: number): Scoreboard {
  removeStale();
  return Scoreboard.create(join(DIRECTORY, `fairlead-${process.pid}.board`), { ...CAPACITY, workers: Math.max(8, workers * 2 + 2) });
}

/** Files of processes that were killed. Workers that still map one keep it: only its name goes. */
function removeStale(): void {
  for (const name of readdirSync(DIRECTORY)) {
    const pid = Number(NAME.exec(name)?.[1] ?? 0);
    if (pid === 0 || (pid !== process.pid && isAlive(pid))) continue;
    try {
      unlinkSync(join(DIRECTORY, name));
    } catch {
      // Another user's.
    }
  }
}
