/** Targets that joined while the instance runs, beside those of the file. */
import type { RawUpstream } from "./schema.ts";

/** A target that is not in the file. */
export interface JoinedTarget {
  readonly address: string;
  readonly weight?: number;
  readonly zone?: string;
}

export function withJoined(upstream: RawUpstream, joined: readonly JoinedTarget[]): RawUpstream {
  if (joined.length === 0) return upstream;
  const own = upstream.targets ?? [];
  const known = new Set(own.map(({ address }) => address));
  return { ...upstream, targets: [...own, ...joined.filter(({ address }) => !known.has(address))] };
}
