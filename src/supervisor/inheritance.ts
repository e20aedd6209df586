/**
 * Sockets from a supervisor before this one: handed down by one that upgrades itself, or asked from the workers of one that died.
 * Either way the queue of connections never closes.
 */
import { receiveDescriptors } from "../net/descriptors.ts";
import { StartError } from "./errors.ts";
import { isAlive, type InstanceState, type RuntimeDirectory } from "./runtime-directory.ts";
import type { ListeningSocket } from "./sockets.ts";

/** How long a worker may take to hand its sockets over, in ms. */
const HANDOVER_TIMEOUT = 3_000;
/** Set by an upgrading supervisor for its successor; its own pid and the sockets in the order of their descriptors, from 3 on. */
export const UPGRADE_VARIABLE = "FAIRLEAD_UPGRADE";

export interface Inheritance {
  readonly sockets: ReadonlyMap<string, ListeningSocket>;
  /** Tell those before us to go; called when our own workers serve. */
  release(): Promise<void>;
}

const NOTHING: Inheritance = { sockets: new Map(), release: async () => {} };

interface Handed {
  readonly from: number;
  readonly sockets: InstanceState["sockets"];
}

/** What an upgrading supervisor puts into the environment of the next one. */
export function handDown(sockets: readonly ListeningSocket[]): string {
  const handed: Handed = { from: process.pid, sockets: sockets.map(({ name, key, address }) => ({ name, key, address })) };
  return JSON.stringify(handed);
}

function mapOf(sockets: InstanceState["sockets"], fds: readonly number[]): ReadonlyMap<string, ListeningSocket> {
  return new Map(sockets.map((socket, index) => [socket.key, { ...socket, fd: fds[index]! }]));
}

/** @throws StartError when a live instance runs this configuration */
export async function inherit(directory: RuntimeDirectory, log: { info(fields: object, message: string): void; warn(fields: object, message: string): void }): Promise<Inheritance> {
  const variable = process.env[UPGRADE_VARIABLE];
  if (variable !== undefined) {
    delete process.env[UPGRADE_VARIABLE];
    const { from, sockets } = JSON.parse(variable) as Handed;
    log.info({ from }, "Upgrading: sockets handed down");
    // SIGQUIT to the old supervisor: its successor serves.
    const release = async (): Promise<void> => void (isAlive(from) && process.kill(from, "SIGQUIT"));
    return { sockets: mapOf(sockets, sockets.map((_, index) => 3 + index)), release };
  }
  const state = directory.read();
  if (state === undefined || state.supervisor === process.pid) return NOTHING;
  if (isAlive(state.supervisor)) throw new StartError(`this configuration is run already by process ${state.supervisor}; stop it first, or reload it with: kill -HUP ${state.supervisor}`);
  const orphans = state.workers.filter(({ pid }) => isAlive(pid));
  for (const { controlSocket } of orphans) {
    try {
      const fds = await receiveDescriptors(directory.handover, state.sockets.length, HANDOVER_TIMEOUT, () => tell(controlSocket, `send ${directory.handover}`));
      log.info({ from: state.supervisor, orphans: orphans.map(({ pid }) => pid) }, "Taking over from a supervisor that died");
      const release = async (): Promise<void> => {
        for (const orphan of orphans) await tell(orphan.controlSocket, "drain").catch(() => {});
      };
      return { sockets: mapOf(state.sockets, fds), release };
    } catch (error) {
      log.warn({ worker: controlSocket, reason: String(error) }, "A worker did not hand its sockets over");
    }
  }
  return NOTHING;
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
