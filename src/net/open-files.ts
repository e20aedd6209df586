/**
 * How near a process is to its limit of open files. Each connection is one, on either side; sockets are counted by the network seam,
 * because asking the system takes too long.
 */
import { readFileSync } from "node:fs";
import { libc } from "./libc.ts";

/** For listening sockets, the log, the scoreboard and the runtime itself. */
export const OTHER_FILES = 128;
/** Parts of all places: when clients and a connection to a target for each take so many, nobody is let in, … */
const SHORT = 0.9;
/** … and from here on again. */
const AMPLE = 0.75;
/** The part that flows of udp may have, each of which is one file: their sources can be forged. */
const FLOWS = 0.25;
/** With fewer left, no connection is opened. */
const LAST = 4;

/** Files that this process may open; undefined where the system does not say. Bun has raised it to what is allowed at most. */
export function openFilesLimit(): number | undefined {
  try {
    const limit = process.platform === "linux" ? /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] : Bun.spawnSync(["/bin/sh", "-c", "ulimit -n"]).stdout.toString().trim();
    return limit === undefined || !/^\d+$/.test(limit) ? undefined : Number(limit);
  } catch {
    return undefined;
  }
}

const AF_UNIX = 1;
const SOCK_STREAM = 1;

/** The system gives each file the lowest number that is free: that one. Below 0: there is none. Two calls of the system. */
function lowestFree(): number {
  const socket = libc().socket(AF_UNIX, SOCK_STREAM, 0);
  if (socket >= 0) libc().close(socket);
  return socket;
}

/** One more socket can be opened at this moment: for when something has failed already. */
export function canOpenSocket(): boolean {
  return lowestFree() >= 0;
}

/** Files that can still be opened, at most. */
export function filesLeft(limit: number): number {
  const free = lowestFree();
  return free < 0 ? 0 : limit - free;
}

interface Sockets {
  readonly openSockets: number;
  readonly datagrams: { readonly openSockets: number };
}

export class OpenFiles {
  private readonly network: Sockets;
  private readonly forSockets: number;

  /** @param limit of the process; undefined: not known, then nothing is ever short */
  constructor(network: Sockets, limit: number | undefined) {
    this.network = network;
    this.forSockets = limit === undefined ? Infinity : Math.max(LAST, limit - OTHER_FILES);
  }

  /** Flows of udp that there may be; Infinity where nothing is ever short. */
  get mostFlows(): number {
    return Math.floor(this.forSockets * FLOWS);
  }

  /** No further client should be let in. @param clients connections, each of which may need one to a target too */
  isShort(clients: number): boolean {
    return this.wanted(clients) >= this.forSockets * SHORT || this.isExhausted;
  }

  /** There is room again, and not for one only. */
  isAmple(clients: number): boolean {
    return this.wanted(clients) <= this.forSockets * AMPLE && !this.isExhausted;
  }

  private wanted(clients: number): number {
    return 2 * clients + this.network.datagrams.openSockets;
  }

  /** Not even a connection to a target should be opened. */
  get isExhausted(): boolean {
    const { openSockets, datagrams } = this.network;
    return this.forSockets - openSockets - datagrams.openSockets < LAST;
  }
}
