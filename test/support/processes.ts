/** Which processes are there (Linux), and which of them are an instance's workers. */
import { readFileSync } from "node:fs";
import type { LogLine } from "./fairlead.ts";

/** A zombie has ended, though nobody has asked for its exit code. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** As the log last named them. */
export function workersOf({ log }: { readonly log: readonly LogLine[] }): number[] {
  return (log.findLast(({ workers }) => Array.isArray(workers))?.["workers"] ?? []) as number[];
}

/** Name of the shared memory that it has mapped. */
export function boardOf(pid: number): string {
  return /\S+\.board/.exec(readFileSync(`/proc/${pid}/maps`, "utf8"))![0];
}

/** The process that started it. */
export function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
}
