/** Finds what a call names, or says what there is. */
import type { ListenerConfig, Snapshot, TargetConfig, UpstreamConfig } from "../config/snapshot.ts";
import { nearest } from "../config/compile.ts";
import { Problem } from "./problem.ts";

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
  const near = nearest(
    name,
    all.map((one) => one.name),
  );
  throw new Problem(404, message(near === undefined ? "" : ` (${near})`));
}
