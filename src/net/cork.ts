/**
 * Output of multiplexed connections: what all events of one turn of the loop produce for a connection leaves in one write.
 *
 * Where many requests share a connection this is what makes them cheap: neither a system call nor a TLS record each.
 */
import type { Network } from "./network.ts";

/** A block of memory that a connection gathers in: seven full frames of HTTP/2, and some. */
export const SLAB = 128 * 1024;
/** Blocks kept for the next who need one. */
const KEPT = 64;

/** Something that has gathered bytes. */
export interface Corked {
  uncork(): void;
  /** Break it off: writing failed. */
  abort(): void;
}

/** One for each worker. */
export class Cork {
  private readonly network: Network;
  private readonly slabs: Buffer[] = [];
  private waiting: Corked[] = [];
  private spare: Corked[] = [];
  private readonly run = (): void => this.uncork();

  constructor(network: Network) {
    this.network = network;
  }

  /** `corked.uncork()` is called once this turn of the loop is over. */
  add(corked: Corked): void {
    if (this.waiting.push(corked) === 1) this.network.soon(this.run);
  }

  private uncork(): void {
    const { waiting } = this;
    this.waiting = this.spare;
    for (const each of waiting) {
      try {
        each.uncork();
      } catch (error) {
        // A bug of ours, as in a socket's handler: one connection pays for it, the others' bytes leave.
        console.error(error);
        each.abort();
      }
    }
    waiting.length = 0;
    this.spare = waiting;
  }

  take(): Buffer {
    return this.slabs.pop() ?? Buffer.allocUnsafeSlow(SLAB);
  }

  give(slab: Buffer): void {
    if (this.slabs.length < KEPT) this.slabs.push(slab);
  }
}
