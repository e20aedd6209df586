/** Signals to a process and all that it started, as long as that stays in its group. */

/** @param leader the process that was started with a group of its own; undefined: it was not */
export function signalGroup(leader: number | undefined, signal: "SIGTERM" | "SIGKILL"): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, signal);
  } catch {
    // Nobody is left.
  }
}
