/** `[exchanges]`. */
import type { RawConfig } from "../schema.ts";
import type { Snapshot } from "../snapshot.ts";

/** Nobody could look at them without an admin address. */
export function exchangesOf({ admin, exchanges: { keep = 1000, memory = 8 * 1024 * 1024, slow = 1_000, sample = 0.001, query = "drop" } = {} }: RawConfig): Pick<Snapshot, "exchanges"> {
  return admin === undefined || keep === 0 ? {} : { exchanges: { keep, memory, slow, sample, query } };
}
