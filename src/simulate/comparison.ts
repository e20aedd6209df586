/** Several policies in the same scenario. */
import type { PolicyConfig, Snapshot, UpstreamConfig } from "../config/snapshot.ts";
import type { BalancerContext } from "../policies/balanced.ts";
import { loadPolicyModule } from "../policies/module.ts";
import type { RoutingPolicy } from "../policies/policy.ts";
import { builtinPolicy, POLICY_NAMES } from "../policies/registry.ts";
import type { Arrivals } from "./arrivals.ts";
import { DISTRIBUTIONS } from "./chance.ts";
import { SCENARIOS } from "./scenarios.ts";
import { simulate, type SimulationResult } from "./simulation.ts";

/** As a person names it: a policy, a consistent method, a bound; `hash:maglev:1.25`. */
export interface Candidate {
  readonly label: string;
  readonly policy: PolicyConfig;
  readonly hash: Partial<UpstreamConfig["hash"]>;
}

export interface ComparisonOptions {
  readonly snapshot: Snapshot;
  readonly scenario: string;
  readonly candidates: readonly Candidate[];
  /** The same ones anew for each policy. */
  readonly arrivals: () => Arrivals;
  readonly distribution: string;
  /** Of a target's time for a request, in ms. */
  readonly mean: number;
  readonly places: number;
  readonly seed: number;
}

export interface Compared {
  readonly label: string;
  readonly result: SimulationResult;
}

const METHODS = ["ketama", "maglev", "rendezvous"] as const;

/** What is compared when nobody says what. */
export const CANDIDATES: readonly string[] = ["round-robin", "random", "least-connections", "p2c", "peak-ewma", "hash:ketama", "hash:maglev", "hash:rendezvous", "hash:ketama:1.25"];

/** Undefined: there is no such policy. */
export function candidateOf(label: string): Candidate | undefined {
  const [name = "", ...rest] = label.split(":");
  if (!POLICY_NAMES.includes(name)) return undefined;
  let method: (typeof METHODS)[number] | undefined;
  let boundedLoad: number | undefined;
  for (const part of rest) {
    const known = METHODS.find((each) => each === part);
    if (known !== undefined && method === undefined) method = known;
    else if (boundedLoad === undefined && /^\d+(\.\d+)?$/.test(part) && Number(part) > 1) boundedLoad = Number(part);
    else return undefined;
  }
  if (rest.length > 0 && name !== "hash" && name !== "ip-hash") return undefined;
  return { label, policy: { kind: "builtin", name }, hash: { boundedLoad: boundedLoad ?? 0, ...(method === undefined ? {} : { method }) } };
}

/** A policy file. @param path absolute */
export function fileCandidate(label: string, path: string): Candidate {
  return { label, policy: { kind: "module", path, version: "simulated", timeout: 0 }, hash: {} };
}

/** The policy that an upstream has. */
export function ownCandidate({ policy, hash }: UpstreamConfig): Candidate {
  if (policy.kind === "module") return { label: policy.path.split("/").at(-1)!, policy, hash };
  const hashes = policy.name === "hash" || policy.name === "ip-hash";
  return { label: [policy.name, ...(hashes ? [hash.method, ...(hash.boundedLoad > 0 ? [hash.boundedLoad] : [])] : [])].join(":"), policy, hash };
}

/** One after the other, so that each can be told when it is done. @throws Error when a policy's file does not load */
export async function* compare(options: ComparisonOptions): AsyncGenerator<Compared> {
  const { snapshot, candidates, arrivals, distribution, mean, places, seed } = options;
  const scenario = SCENARIOS[options.scenario]!;
  const draw = DISTRIBUTIONS[distribution]!;
  const upstream = snapshot.upstreams[0]!;
  for (const { label, policy, hash } of candidates) {
    const make = policy.kind === "module" ? await loadPolicyModule(policy.path, policy.version) : (builtinPolicy(policy.name) as unknown as (context: BalancerContext) => RoutingPolicy);
    const own: Snapshot = { ...snapshot, upstreams: [{ ...upstream, policy, hash: { ...upstream.hash, ...hash } }] };
    yield { label, result: simulate({ scenario, snapshot: own, policy: make, arrivals: arrivals(), service: (random) => draw(mean, random), places, seed }) };
  }
}
