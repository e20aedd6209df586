/** Bytes both ways with backpressure: what a connection and a stream of a multiplexed connection have in common. */
export interface Duplex {
  /** It takes no more for now: stop the source until it says so. */
  readonly congested: boolean;
  /** Write, or keep a copy of what cannot go yet: the caller keeps `bytes`. */
  write(bytes: Buffer, offset: number, length: number): void;
  /** Let no more arrive; at most what is under way still does. */
  pause(): void;
  resume(): void;
  /** No more will be written; reading goes on. */
  shutdown(): void;
  /** The same, and nobody reads any more. */
  end(): void;
  /** Break it off at once. */
  abort(): void;
}
