/** One back end that Fairlead has started: its process, its port, and where it stands. */
import type { SupervisedConfig } from "../config/snapshot.ts";
import { tryPort } from "../net/free-port.ts";

/**
 * starting: it runs, and its check has not passed yet; serving: it is a target; waiting: it has ended, and starts again after a pause;
 * leaving: it drains and is stopped; over: it has ended for good.
 */
export type InstanceState = "starting" | "serving" | "waiting" | "leaving" | "over";

export class Instance {
  /** What the keeper calls it; another one with each start. */
  id: number;
  readonly upstream: string;
  config: SupervisedConfig;
  port: number;
  pid = 0;
  state: InstanceState = "starting";
  /** When it was restarted, in clock ms. */
  restarts: number[] = [];
  startedAt = 0;
  /** The target that it is, or was last. */
  target: { readonly slot: number; readonly drainTimeout: number } | undefined = undefined;
  /** Since when its checks fail, in clock ms; undefined: they do not. */
  unhealthySince: number | undefined = undefined;
  /** Calls off whatever it waits for. */
  cancel: () => void = () => {};
  /** Resolves when its process has ended for good. */
  readonly ended: Promise<void>;
  end: () => void = () => {};

  constructor(id: number, upstream: string, config: SupervisedConfig, port: number) {
    this.id = id;
    this.upstream = upstream;
    this.config = config;
    this.port = port;
    this.ended = new Promise((resolve) => (this.end = resolve));
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }
}

/** The next pause before a restart, in ms, and how many restarts there were in the window; undefined: it is given up. */
export function nextPause({ maxRestarts, restartWindow, backoff, backoffMax }: SupervisedConfig, restarts: number[], now: number): number | undefined {
  while (restarts.length > 0 && now - restarts[0]! > restartWindow) restarts.shift();
  if (restarts.length >= maxRestarts) return undefined;
  const pause = Math.min(backoffMax, backoff * 2 ** restarts.length);
  restarts.push(now);
  return pause;
}

/**
 * A port of 127.0.0.1 that nobody has.
 * @param from the first one to try; 0: any
 * @throws Error when there is none
 */
export async function freePort(from: number, taken: ReadonlySet<number>): Promise<number> {
  // Of any port the system's choice is good; nothing that we have is given twice.
  if (from === 0) {
    const any = await tryPort(0);
    if (any !== undefined) return any;
  } else for (let port = from; port <= 65_535; port++) if (!taken.has(port) && (await tryPort(port)) !== undefined) return port;
  throw new Error(from === 0 ? "no free port" : `no free port from ${from} on`);
}
