/** What the benchmark must know of a contestant. */

export interface Ports {
  /** Where clients connect. */
  readonly http: number;
  readonly https: number;
  readonly tcp: number;
  /** HTTP/2 on both sides, in the clear. */
  readonly h2c: number;
  /** The same, in front of a back end that never answers. */
  readonly held: number;
}

/** What all contestants show to TLS clients, in the benchmark's directory: the chain, its key, and both in one. */
export const CERTIFICATE = { certificate: "certificate.pem", key: "certificate.key", both: "both.pem" } as const;

/** The back ends that all contestants balance over. */
export interface Backends {
  readonly ports: readonly number[];
  /** The same, speaking HTTP/2 in the clear. */
  readonly h2c: readonly number[];
  /** Speaks HTTP/2 in the clear, and never answers. */
  readonly silent: number;
}

export interface Peer {
  readonly name: string;
  /** Its version; undefined: not on this machine. */
  version(): string | undefined;
  /** Undefined: it can be in every case. */
  readonly lacks?: readonly (keyof Ports)[];
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
