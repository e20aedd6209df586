/** Starts programs on a core of their own, reads what they cost, and ends exactly those. */
import { spawn, type ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

const started: ChildProcess[] = [];

/** @param core the only core that it may use */
export function startPinned(core: number, command: readonly string[], cwd: string): ChildProcess {
  const child = spawn("taskset", ["-c", String(core), ...command], { cwd, stdio: ["ignore", "pipe", "pipe"] });
  child.stdout!.resume();
  child.stderr!.resume();
  started.push(child);
  return child;
}

/** End what was started here, and wait for it. */
export async function stopAll(): Promise<void> {
  await Promise.all(
    started.splice(0).map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      const force = setTimeout(() => child.kill("SIGKILL"), 3_000);
      await ended;
      clearTimeout(force);
    }),
  );
}

export function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
}

/** Time on a processor so far, user and system, of all threads, in µs. */
export function cpuMicroseconds(pid: number): number {
  let total = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      total += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ", 1)[0]) / 1000;
    } catch {
      // The thread has ended.
    }
  }
  return total;
}

/** Resident and peak memory, in bytes. */
export function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * 1024;
  return { now: field("VmRSS"), peak: field("VmHWM") };
}

export async function waitUntil(what: string, test: () => boolean | Promise<boolean>, patience = 10_000): Promise<void> {
  for (const end = performance.now() + patience; performance.now() < end; await Bun.sleep(20)) if (await test()) return;
  throw new Error(`waited ${patience} ms for ${what}`);
}

export async function accepts(port: number): Promise<boolean> {
  return Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {}, connectError() {} } }).then(
    (socket) => (socket.end(), true),
    () => false,
  );
}
