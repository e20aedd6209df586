/** What an instance's workers cost just now (Linux): processor time and memory, from /proc. */
import { readFileSync } from "node:fs";
import { sleep, until } from "./until.ts";

/** USER_HZ, which is 100 wherever Linux has been compiled as people do. */
const TICK = 10;

/** Of one process, since it began, in ms; granular by 10. */
function processorTime(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}

/** Resident memory of one process, in bytes. */
export function residentMemory(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0) * 1024;
}

/** The share of a core that a process takes over so many ms. */
export async function processorShare(pid: number, milliseconds: number): Promise<number> {
  const [before, began] = [processorTime(pid), performance.now()];
  await sleep(milliseconds);
  return (processorTime(pid) - before) / (performance.now() - began);
}

/** Waits until a process takes less than `most` of a core: one that spins never does. */
export async function untilIdle(pid: number, most = 0.2, patience = 3_000): Promise<void> {
  await until(`process ${pid} to take less than ${most * 100} % of a core`, async () => (await processorShare(pid, 60)) < most, patience);
}

/** The most of it above what there was before, in bytes, while something goes on. @param memory of now */
export async function memoryGrowth(memory: () => number, act: () => Promise<unknown>): Promise<number> {
  const before = memory();
  let most = before;
  let going = true;
  const watching = (async () => {
    while (going) {
      most = Math.max(most, memory());
      await sleep(20);
    }
  })();
  try {
    await act();
  } finally {
    going = false;
    await watching;
  }
  return most - before;
}
