/** What processes of ours use, as Linux tells it under /proc; elsewhere nothing is known. */
import { readdir, readFile, stat } from "node:fs/promises";

export interface ProcessUsage {
  /** As "supervisor", or "worker-0" by its slot. */
  readonly process: string;
  /** User and system time since its start, in seconds. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly openDescriptors: number;
}

/** USER_HZ, in which the kernel tells times on every platform that Bun runs on: proc(5). */
const TICKS_PER_SECOND = 100;

/** Undefined: there is no such process, or no /proc. */
export async function usageOf(process: string, pid: number): Promise<ProcessUsage | undefined> {
  try {
    const [times, status, openDescriptors] = await Promise.all([readFile(`/proc/${pid}/stat`, "latin1"), readFile(`/proc/${pid}/status`, "latin1"), descriptorsOf(pid)]);
    // Behind the name, which may hold anything but ends with the last parenthesis: fields 14 and 15 of proc(5), utime and stime.
    const fields = times.slice(times.lastIndexOf(")") + 2).split(" ");
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
    if (resident === undefined) return undefined;
    return { process, cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND, residentBytes: Number(resident) * 1024, openDescriptors };
  } catch {
    return undefined;
  }
}

/** Since Linux 6.2 the folder's size says how many there are; counting tens of thousands of names takes long. */
async function descriptorsOf(pid: number): Promise<number> {
  const { size } = await stat(`/proc/${pid}/fd`);
  return size > 0 ? size : (await readdir(`/proc/${pid}/fd`)).length;
}
