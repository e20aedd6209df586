/**
 * What comes from a supervisor before this one: handed down by one that upgrades itself, or asked from the workers of one that died.
 * The queues of connections never close, and what was known about targets' health stays known.
 */
import { closeSync, constants, openSync, unlinkSync } from "node:fs";
import type { Snapshot } from "../config/snapshot.ts";
import { requestDescriptors } from "../net/descriptors.ts";
import type { Log } from "../observability/log.ts";
import { Flag, Scoreboard } from "../scoreboard/scoreboard.ts";
import { StartError } from "./errors.ts";
import { type InstanceState, isAlive, RuntimeDirectory, slotName } from "./runtime-directory.ts";
import type { ListeningSocket } from "./sockets.ts";

/** How long a worker may take to hand its sockets over, in ms. */
const HANDOVER_TIMEOUT = 3_000;
/** Descriptors 0 to 2 are the standard ones. */
const FIRST_DESCRIPTOR = 3;
/** Set by an upgrading supervisor for its successor. */
export const UPGRADE_VARIABLE = "FAIRLEAD_UPGRADE";

export interface Inheritance {
  readonly directory: RuntimeDirectory;
  /** By key. */
  readonly sockets: ReadonlyMap<string, ListeningSocket>;
  /** Health by `slotName` of target; undefined: nobody was before us, or it is not known. */
  readonly health: ReadonlyMap<string, boolean> | undefined;
  /** Workers that have no supervisor. */
  readonly orphans: InstanceState["workers"];
  /** Tell those before us to go; called when our own workers serve. */
  release(): Promise<void>;
}

/** What an upgrading supervisor puts into the environment of the next one: its own pid, and what the descriptors from 3 on are: its lock, sockets, its scoreboard. */
interface Handed {
  readonly from: number;
  readonly sockets: InstanceState["sockets"];
  /** Absent: a version before us hands none down. */
  readonly board?: true;
}

/** The descriptors for the successor's standard ones and beyond, and the text for its environment. */
export function handDown(sockets: readonly ListeningSocket[], directory: RuntimeDirectory, board: Scoreboard): { readonly descriptors: readonly number[]; readonly text: string } {
  const handed: Handed = { from: process.pid, sockets: sockets.map(({ fd: _fd, ...socket }) => socket), board: true };
  return { descriptors: [directory.lock, ...sockets.map(({ fd }) => fd), board.file!.descriptor], text: JSON.stringify(handed) };
}

function readHanded(text: string): Handed {
  try {
    return JSON.parse(text) as Handed;
  } catch {
    throw new StartError(`${UPGRADE_VARIABLE} is set in the environment, and not by a Fairlead that upgrades itself: unset it`);
  }
}

function mapOf(sockets: InstanceState["sockets"], fds: readonly number[]): ReadonlyMap<string, ListeningSocket> {
  return new Map(sockets.map((socket, index) => [socket.key, { ...socket, fd: fds[index]! }]));
}

/** @throws StartError when a live instance runs this configuration */
export async function inherit(identity: string, path: string | undefined, log: Log): Promise<Inheritance> {
  const variable = process.env[UPGRADE_VARIABLE];
  if (variable === undefined) return takeOver(new RuntimeDirectory(identity, path, undefined), log);
  delete process.env[UPGRADE_VARIABLE];
  const { from, sockets, board } = readHanded(variable);
  log.info({ from }, "Upgrading: sockets handed down");
  const directory = new RuntimeDirectory(identity, path, FIRST_DESCRIPTOR);
  return {
    directory,
    sockets: mapOf(sockets, sockets.map((_, index) => FIRST_DESCRIPTOR + 1 + index)),
    health: board === true ? healthOn(FIRST_DESCRIPTOR + 1 + sockets.length, directory) : healthOf(directory.read(), directory),
    orphans: [],
    // SIGQUIT to the old supervisor: its successor serves.
    release: async () => void (isAlive(from) && process.kill(from, "SIGQUIT")),
  };
}

async function takeOver(directory: RuntimeDirectory, log: Log): Promise<Inheritance> {
  const state = directory.read();
  const nothing: Inheritance = { directory, sockets: new Map(), health: undefined, orphans: [], release: async () => {} };
  if (state === undefined) return nothing;
  const orphans = state.workers.filter(({ pid }) => isAlive(pid));
  const health = healthOf(state, directory);
  for (const { controlSocket } of orphans) {
    try {
      const fds = requestDescriptors(controlSocket, "send\n", state.sockets.length, HANDOVER_TIMEOUT);
      log.info({ from: state.supervisor, orphans: orphans.map(({ pid }) => pid) }, "Taking over from a supervisor that died");
      const release = async (): Promise<void> => {
        for (const orphan of orphans) await tell(orphan.controlSocket, "drain").catch(() => {});
        forget(state.board);
      };
      return { directory, sockets: mapOf(state.sockets, fds), health, orphans, release };
    } catch (error) {
      log.warn({ worker: controlSocket, reason: String(error) }, "A worker did not hand its sockets over");
    }
  }
  return nothing;
}

/** Only the file's name goes: orphans that still drain keep the memory. */
function forget(board: string): void {
  try {
    unlinkSync(board);
  } catch {
    // Gone already.
  }
}

function healthOf(state: InstanceState | undefined, directory: RuntimeDirectory): ReadonlyMap<string, boolean> | undefined {
  if (state === undefined) return undefined;
  try {
    return healthOn(openSync(state.board, constants.O_RDONLY | constants.O_NOFOLLOW), directory);
  } catch {
    // Gone: health is found out anew.
    return undefined;
  }
}

/** @param file of a scoreboard; it is closed, for who holds it keeps memory, and the lock of those before us */
function healthOn(file: number, directory: RuntimeDirectory): ReadonlyMap<string, boolean> | undefined {
  try {
    const board = Scoreboard.copy(file);
    return new Map(Object.entries(directory.readSlots()).map(([name, slot]) => [name, board.isUp(slot)]));
  } catch {
    // Another version's: health is found out anew.
    return undefined;
  } finally {
    closeSync(file);
  }
}

/** Mark as down who was. @param health as inherited */
export function adoptHealth(board: Scoreboard, { upstreams }: Snapshot, health: Inheritance["health"]): void {
  for (const { name, slot, targets } of upstreams) {
    for (const target of targets) if (health?.get(slotName(name, target.name)) === false) board.setFlags(slot, target.slot, Flag.DOWN);
  }
}

/** Say one line to a worker's control socket; resolves when it is written. */
function tell(path: string, line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    Bun.connect({
      unix: path,
      socket: {
        open(socket) {
          socket.write(`${line}\n`);
          resolve();
        },
        data(socket) {
          socket.end();
        },
        connectError(_socket, error) {
          reject(error);
        },
      },
    }).catch(reject);
  });
}
