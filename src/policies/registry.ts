/** The built-in policies by their name in the config. A new one is one file and one line here. */
import type { BalancerFactory } from "./balanced.ts";
import { FirstPolicy } from "./first.ts";
import { HashPolicy } from "./hash.ts";
import { LeastConnectionsPolicy } from "./least-connections.ts";
import { P2cPolicy } from "./p2c.ts";
import { PeakEwmaPolicy } from "./peak-ewma.ts";
import { RandomPolicy } from "./random.ts";
import { RoundRobinPolicy } from "./round-robin.ts";
import { SinglePolicy } from "./single.ts";
import { WeightedRandomPolicy } from "./weighted-random.ts";

const BUILTIN: Readonly<Record<string, BalancerFactory>> = {
  "round-robin": (context) => new RoundRobinPolicy(context),
  random: (context) => new RandomPolicy(context),
  "weighted-random": (context) => new WeightedRandomPolicy(context),
  p2c: (context) => new P2cPolicy(context),
  "least-connections": (context) => new LeastConnectionsPolicy(context),
  "least-time": (context) => new PeakEwmaPolicy(context),
  "peak-ewma": (context) => new PeakEwmaPolicy(context),
  hash: (context) => new HashPolicy(context),
  "ip-hash": (context) => new HashPolicy(context),
  first: (context) => new FirstPolicy(context),
  single: () => new SinglePolicy(),
};

export const POLICY_NAMES: readonly string[] = Object.keys(BUILTIN);

/** Throws for a name that check should have refused. */
export function builtinPolicy(name: string): BalancerFactory {
  const factory = Object.hasOwn(BUILTIN, name) ? BUILTIN[name] : undefined;
  if (factory === undefined) throw new Error(`unknown policy "${name}"`);
  return factory;
}
