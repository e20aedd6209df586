/** The table of POSTs: a mapped file with a byte a number, in which back ends note what they have had; it outlives them. */

/** It came more than once; other values are the back end's id, 0 is nobody's. */
export const TWICE = 255;

/** @param posts the mapped file */
export function note(posts: Uint8Array, number: number, id: number): void {
  const at = number % posts.length;
  if (Atomics.compareExchange(posts, at, 0, id) !== 0) Atomics.store(posts, at, TWICE);
}
