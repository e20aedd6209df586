/** Finds what a call names, or says what there is. */
import type { ListenerConfig, Snapshot, TargetConfig, UpstreamConfig } from "../config/snapshot.ts";
import { nearest } from "../config/suggestion.ts";
import { Problem } from "./problem.ts";

/** Where nothing is nearly right, as many are named. */
const MOST_NAMED = 10;

/** @throws Problem 404 */
export function upstreamOf({ upstreams }: Snapshot, name: string): UpstreamConfig {
  return found(upstreams, name, (near) => `there is no upstream "${name}"${near}`);
}

/** @throws Problem 404 */
export function targetOf(snapshot: Snapshot, upstream: string, address: string): TargetConfig {
  return found(upstreamOf(snapshot, upstream).targets, address, (near) => `${address} is no target of upstream "${upstream}"${near}`);
}

/** @throws Problem 404 */
export function listenerOf({ listeners }: Snapshot, name: string): ListenerConfig {
  return found(listeners, name, (near) => `there is no listener "${name}"${near}`);
}

function found<Kind extends { readonly name: string }>(all: readonly Kind[], name: string, message: (near: string) => string): Kind {
  const exact = all.find((one) => one.name === name);
  if (exact !== undefined) return exact;
  const names = all.map((one) => one.name);
  const near = nearest(name, names);
  if (near !== undefined) throw new Problem(404, message(` (${near})`));
  if (names.length > MOST_NAMED) throw new Problem(404, message(""));
  throw new Problem(404, message(names.length === 0 ? "; there is none" : `; there ${names.length === 1 ? "is" : "are"} ${names.map((known) => `"${known}"`).join(", ")}`));
}
