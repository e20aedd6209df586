/**
 * Files as memory that processes share: mmap(2) of a descriptor. `Bun.mmap` wants a name, and a name can be taken away, or be somebody
 * else's; what is open can be mapped for as long as it is open, whoever this process has become since.
 */
import { toArrayBuffer } from "bun:ffi";
import { libc } from "./libc.ts";

/** The same on Linux and macOS. */
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

/**
 * Stays mapped until this process ends.
 * @param descriptor open for reading and writing
 * @param offset in bytes, a multiple of the system's page
 * @param length in bytes; the file must have them
 * @throws Error when the system refuses
 */
export function mapFile(descriptor: number, offset: number, length: number): ArrayBuffer {
  const at = libc().mmap(null, length, PROT_READ_WRITE, MAP_SHARED, descriptor, offset);
  // MAP_FAILED is -1, which is no address that a number can hold.
  if (typeof at !== "number") throw new Error(`${length} bytes of shared memory cannot be mapped`);
  return toArrayBuffer(at, 0, length);
}
