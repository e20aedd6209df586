/** Gives the memory of a large chunk back at once, so that streaming leaves no heaps for the garbage collector to find later. */

/** Below this the collector is quicker. */
const WORTH_IT = 16 * 1024;

/** Nobody may look at `chunk`, or at any part of it, after this. */
export function release(chunk: Buffer): void {
  // Asking a small chunk for its buffer would cost more than it frees.
  if (chunk.length < WORTH_IT) return;
  const { buffer } = chunk;
  // A part of something larger is not ours to free.
  if (buffer.byteLength === chunk.length && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
