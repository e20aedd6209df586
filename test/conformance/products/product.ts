/** What conformance cases are sent through: a proxy with many listeners, each with one back end of its own. */

export interface Lane {
  readonly port: number;
  /** `host:port` of the lane's back end. */
  readonly backend: string;
}

/** What is spoken to back ends. */
export type Protocol = "h1" | "h2c";

export interface Running {
  stop(): Promise<void>;
}

export interface Product {
  readonly name: string;
  /** What it speaks to back ends. */
  readonly protocols: readonly Protocol[];
  /** Its version; undefined: not on this machine. */
  version(): string | undefined;
  /** How to get it. */
  readonly install: string;
  /** Resolves when every lane takes connections. @param http2 is spoken to clients too */
  start(lanes: readonly Lane[], protocol: Protocol, http2: boolean): Promise<Running>;
}
