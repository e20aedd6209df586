/** What was said of upstreams and targets while the instance runs, and how it is laid over what the file says. */
import type { z } from "zod";
import { policyKeys, type RawUpstream, type targetKeys } from "./schema.ts";

/** As in the file. */
export type TargetKeys = z.input<typeof targetKeys>;
export type PolicyKeys = z.input<typeof policyKeys>;

export interface TargetOverride {
  /** "added": it is a target whatever the file says; "changed": as long as there is such a target; "removed": it is none. */
  readonly how: "added" | "changed" | "removed";
  /** In the place of what the file says; empty when it is removed. */
  readonly keys: TargetKeys;
}

export interface UpstreamOverride {
  /** In the place of all that the file says of how it chooses. */
  readonly policy?: PolicyKeys;
  /** By address. */
  readonly targets: ReadonlyMap<string, TargetOverride>;
}

/** By the upstream's name. */
export type Overrides = ReadonlyMap<string, UpstreamOverride>;

interface Written {
  readonly name: string;
  readonly targets?: readonly (TargetKeys & { readonly address: string })[] | undefined;
}

/** @param upstream checked */
export function overridden(upstream: RawUpstream, said: UpstreamOverride | undefined): RawUpstream {
  if (said === undefined) return upstream;
  const targets = overriddenTargets(upstream, said);
  return said.policy === undefined ? { ...upstream, targets } : { ...withoutPolicy(upstream), ...policyKeys.parse(said.policy), targets };
}

/** The same of an upstream as it is written, to be shown. */
export function overriddenText<T extends Written>(upstream: T, said: UpstreamOverride | undefined): T {
  if (said === undefined) return upstream;
  const targets = overriddenTargets(upstream, said);
  return said.policy === undefined ? { ...upstream, targets } : { ...withoutPolicy(upstream), ...said.policy, targets };
}

function withoutPolicy<T extends object>(upstream: T): T {
  return Object.fromEntries(Object.entries(upstream).filter(([key]) => !(key in policyKeys.shape))) as T;
}

function overriddenTargets<T extends TargetKeys & { readonly address: string }>({ targets: own = [] }: { readonly targets?: readonly T[] | undefined }, { targets: said }: UpstreamOverride): T[] {
  const kept = own.flatMap((target) => {
    const override = said.get(target.address);
    if (override === undefined) return [target];
    return override.how === "removed" ? [] : [merged(target, override.keys)];
  });
  const known = new Set(own.map(({ address }) => address));
  for (const [address, { how, keys }] of said) if (how === "added" && !known.has(address)) kept.push({ address, ...keys } as unknown as T);
  return kept;
}

/** Priority and backup say the same thing: who says one says both. */
function merged<T extends TargetKeys>(target: T, keys: TargetKeys): T {
  if (keys.priority === undefined && keys.backup === undefined) return { ...target, ...keys };
  const { priority: _priority, backup: _backup, ...rest } = target;
  return { ...rest, ...keys } as T;
}
