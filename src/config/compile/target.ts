/** `[[upstreams.targets]]`. */
import type { Problem } from "../problem.ts";
import type { RawUpstream } from "../schema.ts";
import type { SlotPlan } from "../slots.ts";
import type { TargetConfig } from "../snapshot.ts";
import { parseAddress } from "../values.ts";

/** What targets are compiled with, beside what the file says of them. */
export interface TargetContext {
  readonly plan: SlotPlan;
  /** Of the short form. */
  readonly healthPaths: ReadonlyMap<string, string> | undefined;
  /** Where this instance runs. */
  readonly zone: string | undefined;
}

export function checkTargets(upstream: RawUpstream, index: number, problems: Problem[]): void {
  const { targets = [], supervised, heartbeat } = upstream;
  if (targets.length === 0 && supervised === undefined && heartbeat?.register === undefined && heartbeat === undefined) {
    const empty = upstream.targets !== undefined;
    problems.push({ path: empty ? ["upstreams", index, "targets"] : ["upstreams", index], about: empty ? "value" : "key", message: empty ? "an upstream needs at least one target" : `[[upstreams]] needs "targets"`, hint: "add [[upstreams.targets]], [upstreams.supervised] or [upstreams.heartbeat]" });
  }
  const seen = new Set<string>();
  for (const [at, { address, backup, priority }] of targets.entries()) {
    const path = ["upstreams", index, "targets", at];
    if (seen.has(address)) problems.push({ path: [...path, "address"], about: "value", message: `${address} is in upstream "${upstream.name}" already`, hint: "give it a weight instead of naming it twice" });
    seen.add(address);
    if (backup === true && priority === 0) problems.push({ path: [...path, "backup"], about: "key", message: "a backup is not of priority 0", hint: "leave one of the two out" });
  }
}

/** Tiers are priorities, and within each those of our own zone before the others; numbered without gaps. */
export function targetsOf(raw: RawUpstream, { plan, healthPaths, zone }: TargetContext): TargetConfig[] {
  const targets = raw.targets ?? [];
  const rankOf = ({ priority, backup, zone: its }: (typeof targets)[number]): number => (priority ?? (backup === true ? 1 : 0)) * 2 + (raw.prefer_zone === true && its !== zone ? 1 : 0);
  const ranks = [...new Set(targets.map(rankOf))].toSorted((a, b) => a - b);
  const tiers = new Map(ranks.map((rank, tier) => [rank, tier]));
  return targets.map((target) => {
    const { address, weight } = target;
    const path = healthPaths?.get(address);
    return {
      address: parseAddress(address, false)!,
      name: address,
      weight: weight ?? 1,
      slot: plan.target(raw.name, address),
      zone: target.zone ?? "",
      tier: tiers.get(rankOf(target))!,
      maxConnections: target.max_connections ?? raw.max_connections ?? 0,
      maxRequests: target.max_requests ?? raw.max_requests ?? 0,
      drain: target.drain ?? false,
      ...(path === undefined ? {} : { healthPath: path }),
    };
  });
}
