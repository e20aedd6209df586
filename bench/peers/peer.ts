/** What the benchmark must know of a contestant. */

export interface Ports {
  /** Where http and tcp clients connect. */
  readonly http: number;
  readonly tcp: number;
}

/** The back ends that all contestants balance over. */
export interface Backends {
  readonly ports: readonly number[];
}

export interface Peer {
  readonly name: string;
  /** Its version; undefined: not on this machine. */
  version(): string | undefined;
  /** How to get it. */
  readonly install: string;
  /** Start it on core 0; resolves with the process that does the work, when it serves. */
  start(directory: string, ports: Ports, backends: Backends): Promise<number>;
}

/** First line of what a command prints; undefined when it does not run. */
export function firstLine(command: readonly string[]): string | undefined {
  try {
    const { stdout, stderr } = Bun.spawnSync([...command]);
    return (stdout.toString() || stderr.toString()).split("\n", 1)[0];
  } catch {
    return undefined;
  }
}
