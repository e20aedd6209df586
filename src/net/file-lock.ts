/** Advisory locks on files, flock(2): the system lets go of them when their last holder dies, however it dies. */
import { libc } from "./libc.ts";

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Lock an open file; children that get the descriptor hold the same lock.
 * @returns false when somebody else holds it
 */
export function tryLock(descriptor: number, mode: "shared" | "exclusive"): boolean {
  return libc().flock(descriptor, (mode === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0;
}
