/** Bytes from one side to another, untouched: with backpressure and half-close. What tcp and tunnels have in common. */
import type { Duplex } from "./duplex.ts";
import { release } from "./release.ts";

/** A chunk arrived at `from`: it goes to `to`, and `from` waits when `to` cannot take it. */
export function relayData(from: Duplex, to: Duplex, chunk: Buffer): void {
  to.write(chunk, 0, chunk.length);
  release(chunk);
  if (to.congested) from.pause();
}

/** `from` will send no more: `to` hears it after what is queued. */
export function relayEnd(to: Duplex, toEnded: boolean, from: Duplex): void {
  to.shutdown();
  if (!toEnded) return;
  // Both directions are over: close both as soon as all is written.
  to.end();
  from.end();
}
