/** `policy` of an upstream: a built-in one, or a file of one's own. */
import { resolve } from "node:path";
import { POLICY_NAMES } from "../../policies/registry.ts";
import type { Overrides } from "../overrides.ts";
import type { Path } from "../positions.ts";
import type { Problem } from "../problem.ts";
import type { RawUpstream } from "../schema.ts";
import type { PolicyConfig } from "../snapshot.ts";
import { statOf } from "../stat.ts";
import { nearest } from "../suggestion.ts";

/** Where policies come from. */
export interface PolicySources {
  /** Relative policy files start here. */
  readonly directory: string;
  /** Policies that exist beyond the built-in ones; for the library. */
  readonly policies?: readonly string[];
}

export const ROUND_ROBIN: PolicyConfig = { kind: "builtin", name: "round-robin" };

export function policyOf(upstream: RawUpstream, at: Path, options: PolicySources, problems: Problem[]): PolicyConfig {
  const { policy = "round-robin" } = upstream;
  const known = [...POLICY_NAMES, ...(options.policies ?? [])];
  if (known.includes(policy)) return { kind: "builtin", name: policy };
  if (!isPolicyFile(policy)) {
    problems.push({ path: [...at, "policy"], about: "value", message: `there is no policy "${policy}"`, hint: `${nearest(policy, known) ?? `known: ${known.join(", ")}`}; a file of your own starts with "./"` });
    return ROUND_ROBIN;
  }
  const path = resolve(options.directory, policy);
  const file = statOf(path);
  if (typeof file !== "object" || !file.isFile()) problems.push({ path: [...at, "policy"], about: "value", message: `no file ${path}`, hint: "a policy's path is relative to the config file" });
  return { kind: "module", path, version: typeof file !== "object" ? "" : `${file.mtimeMs}-${file.size}`, timeout: upstream.policy_timeout ?? 1_000 };
}

/** Upstreams whose policy somebody who steers has named, as a file that the configuration does not name: that would be code of anybody's. */
export function strangePolicies(upstreams: readonly RawUpstream[], overrides: Overrides | undefined, problems: Problem[]): ReadonlySet<string> {
  const known = new Set(upstreams.map(({ policy }) => policy));
  const strange = upstreams.map(({ name }, index) => ({ name, index, policy: overrides?.get(name)?.policy?.policy ?? "" })).filter(({ policy }) => isPolicyFile(policy) && !known.has(policy));
  for (const { index, policy } of strange) problems.push({ path: ["upstreams", index, "policy"], about: "value", message: `policy file "${policy}" is not named by the configuration`, hint: `built-in ones: ${POLICY_NAMES.join(", ")}` });
  return new Set(strange.map(({ name }) => name));
}

function isPolicyFile(policy: string): boolean {
  return /^\.{0,2}\/|\.[cm]?[jt]s$/.test(policy);
}
