/** What the system tells of one process (Linux, proc(5)), and what its probe does. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { Heap } from "./probe.ts";

/** Bytes. @throws when there is no such process */
export function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))![1]) * 1024;
}

/** @throws when there is no such process */
export function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** How many of each kind, as `socket`, `anon_inode:[eventpoll]` or `file`. */
export function descriptorKinds(pid: number): Record<string, number> {
  const kinds: Record<string, number> = {};
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const kind = readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/^(socket|pipe):.*|^\/.*/, (_, known: string | undefined) => known ?? "file");
      kinds[kind] = (kinds[kind] ?? 0) + 1;
    } catch {
      // Closed meanwhile.
    }
  }
  return kinds;
}

/** Seconds that the main thread could have run and had no core: what the machine, not the process, is late by. */
export function waitedForCore(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, "latin1").split(" ")[1]) / 1e9;
}

/** Undefined: it has not said anything yet. */
export function heapOf(directory: string, pid: number): Heap | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, `heap.${pid}`), "utf8")) as Heap;
  } catch {
    return undefined;
  }
}
