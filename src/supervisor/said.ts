/** What people said of upstreams and targets of a running instance, by whom and when; how that is changed, and how it is kept. */
import { z } from "zod";
import type { PolicyKeys, TargetKeys, TargetOverride, UpstreamOverride } from "../config/overrides.ts";
import { policyKeys, targetAddress, targetKeys } from "../config/schema.ts";

export interface Told {
  /** ISO 8601. */
  readonly at: string;
  readonly by: string;
}

export interface SaidTarget extends TargetOverride, Told {}

export interface SaidUpstream extends UpstreamOverride {
  readonly targets: ReadonlyMap<string, SaidTarget>;
  /** When there is a policy. */
  readonly policyTold?: Told;
}

/** By the upstream's name. Never changed in place. */
export type Said = ReadonlyMap<string, SaidUpstream>;

/** A target that takes no part for now. */
export interface SaidState extends Told {
  readonly upstream: string;
  readonly target: string;
  readonly state: "drain" | "maint";
  /** It is removed when nothing is open to it any more. */
  readonly leaving?: boolean | undefined;
}

/** `null`: as the file says. */
export type TargetChange = { readonly [K in keyof TargetKeys]: TargetKeys[K] | null };

const NOBODY: SaidUpstream = { targets: new Map() };

function withUpstream(said: Said, upstream: string, change: SaidUpstream): Said {
  const changed = new Map(said);
  if (change.targets.size === 0 && change.policy === undefined) changed.delete(upstream);
  else changed.set(upstream, change);
  return changed;
}

/** @param own it is a target without anything being said of it */
export function targetSaid(said: Said, upstream: string, target: string, change: TargetChange, own: boolean, told: Told): Said {
  const before = said.get(upstream) ?? NOBODY;
  const known = before.targets.get(target);
  const merged: Record<string, unknown> = { ...(known?.how === "removed" ? {} : known?.keys) };
  // Priority and backup say the same thing: the one that is said now is it.
  if (change.priority !== undefined || change.backup !== undefined) for (const key of ["priority", "backup"]) delete merged[key];
  for (const [key, value] of Object.entries(change)) {
    if (value === null) delete merged[key];
    else if (value !== undefined) merged[key] = value;
  }
  const keys = merged as TargetKeys;
  const how = known?.how === "added" || !own ? "added" : "changed";
  if (known !== undefined && known.how === how && Bun.deepEquals(known.keys, keys)) return said;
  const targets = new Map(before.targets);
  if (known === undefined && how === "changed" && Object.keys(keys).length === 0) return said;
  if (how === "changed" && Object.keys(keys).length === 0) targets.delete(target);
  else targets.set(target, { how, keys, ...told });
  return withUpstream(said, upstream, { ...before, targets });
}

/** @param own it would be a target still if nothing were said of it */
export function targetRemoved(said: Said, upstream: string, target: string, own: boolean, told: Told): Said {
  const before = said.get(upstream) ?? NOBODY;
  const targets = new Map(before.targets);
  if (own) targets.set(target, { how: "removed", keys: {}, ...told });
  else targets.delete(target);
  return withUpstream(said, upstream, { ...before, targets });
}

/** @param policy undefined: as the file says */
export function policySaid(said: Said, upstream: string, policy: PolicyKeys | undefined, told: Told): Said {
  const { targets, policy: before } = said.get(upstream) ?? NOBODY;
  if (Bun.deepEquals(before, policy)) return said;
  return withUpstream(said, upstream, policy === undefined ? { targets } : { targets, policy, policyTold: told });
}

export function forgotten(said: Said, upstream: string | undefined): Said {
  if (upstream === undefined) return said.size === 0 ? said : new Map();
  return said.has(upstream) ? withUpstream(said, upstream, NOBODY) : said;
}

const told = { at: z.iso.datetime({ offset: true }), by: z.string() };
const place = { upstream: z.string(), target: z.string() };

const VERSION = 1;

/** Not damaged: another Fairlead's. */
export class OtherVersion extends Error {
  readonly version: number;

  constructor(version: number) {
    super(`it is of version ${version}, and this Fairlead reads version ${VERSION}`);
    this.version = version;
  }
}

/** As it is kept on disk; keys are as in the configuration file. */
const keptSchema = z.object({
  version: z.literal(VERSION),
  policies: z.array(z.object({ upstream: z.string(), keys: z.json(), ...told })),
  targets: z.array(z.object({ upstream: z.string(), target: targetAddress, how: z.enum(["added", "changed", "removed"]), keys: targetKeys, ...told })),
  states: z.array(z.object({ ...place, state: z.enum(["drain", "maint"]), leaving: z.boolean().optional(), ...told })),
});

export type Kept = z.output<typeof keptSchema>;

export function kept(said: Said, states: Iterable<SaidState>): Kept {
  const upstreams = [...said];
  return {
    version: VERSION,
    policies: upstreams.flatMap(([upstream, { policy, policyTold }]) => (policy === undefined ? [] : [{ upstream, keys: policy as Kept["policies"][number]["keys"], ...policyTold! }])),
    targets: upstreams.flatMap(([upstream, { targets }]) => [...targets].map(([target, { how, keys, at, by }]) => ({ upstream, target, how, keys, at, by }))),
    states: [...states],
  };
}

/** @throws OtherVersion @throws Error that says what is wrong with it */
export function readKept(value: unknown): { readonly said: Said; readonly states: readonly SaidState[] } {
  const { version } = z.looseObject({ version: z.int() }).safeParse(value).data ?? { version: VERSION };
  if (version !== VERSION) throw new OtherVersion(version);
  const { policies, targets, states } = checked(keptSchema, value);
  const said = new Map<string, { targets: Map<string, SaidTarget>; policy?: PolicyKeys; policyTold?: Told }>();
  const of = (name: string): { targets: Map<string, SaidTarget>; policy?: PolicyKeys; policyTold?: Told } => {
    const known = said.get(name) ?? { targets: new Map<string, SaidTarget>() };
    said.set(name, known);
    return known;
  };
  for (const { upstream, keys, at, by } of policies) {
    checked(policyKeys, keys);
    Object.assign(of(upstream), { policy: keys, policyTold: { at, by } });
  }
  for (const { upstream, target, how, keys, at, by } of targets) of(upstream).targets.set(target, { how, keys, at, by });
  return { said, states };
}

function checked<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw new Error(`${path.join(".")}: ${message}`);
}
