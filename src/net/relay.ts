/** Bytes from one connection to another, untouched: with backpressure and half-close. What tcp and tunnels have in common. */
import type { Connection } from "./connection.ts";
import { release } from "./release.ts";

/** A chunk arrived at `from`: it goes to `to`, and `from` waits when `to` cannot take it. */
export function relayData(from: Connection, to: Connection, chunk: Buffer): void {
  to.write(chunk, 0, chunk.length);
  release(chunk);
  if (to.congested) from.pause();
}

/** `from` will send no more: `to` hears it after what is queued. */
export function relayEnd(to: Connection, toEnded: boolean, from: Connection): void {
  to.shutdown();
  if (!toEnded) return;
  // Both directions are over: close both as soon as all is written.
  to.end();
  from.end();
}
