/** Which connections a process holds, and stopping it to read them at rest (Linux: /proc). */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { until } from "../support/until.ts";

export interface HeldConnection {
  readonly localPort: number;
  readonly remotePort: number;
}

/** Of /proc/net/tcp. */
const ESTABLISHED = "01";
const CLOSE_WAIT = "08";

function inodesOf(pid: number): Set<string> {
  const inodes = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode !== undefined) inodes.add(inode);
    } catch {
      // Closed meanwhile: not of a process that is stopped.
    }
  }
  return inodes;
}

function portOf(address: string): number {
  return Number.parseInt(address.slice(address.indexOf(":") + 1), 16);
}

/** Connections over IPv4 that it has accepted or opened, and whose other end may still want something. @param among only those with these local ports; absent: all */
export function connectionsOf(pid: number, among?: readonly number[]): HeldConnection[] {
  const inodes = inodesOf(pid);
  const held: HeldConnection[] = [];
  for (const line of readFileSync("/proc/net/tcp", "latin1").split("\n").slice(1)) {
    const [, local, remote, state, , , , , , inode] = line.trim().split(/\s+/);
    if (inode === undefined || !inodes.has(inode) || (state !== ESTABLISHED && state !== CLOSE_WAIT)) continue;
    const localPort = portOf(local!);
    if (among === undefined || among.includes(localPort)) held.push({ localPort, remotePort: portOf(remote!) });
  }
  return held;
}

function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return stat.charAt(stat.lastIndexOf(")") + 2);
}

/** SIGSTOP; resolves when it stands still. */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await until(`process ${pid} to stand still`, () => "TZX".includes(stateOf(pid)));
}

/** Now, as failures tell it: ms since 1970. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
