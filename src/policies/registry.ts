/** The built-in policies by their name in the config. A new one is one file and one line here. */
import type { PolicyFactory } from "./policy.ts";
import { RandomPolicy } from "./random.ts";
import { RoundRobinPolicy } from "./round-robin.ts";
import { SinglePolicy } from "./single.ts";

const BUILTIN: Readonly<Record<string, PolicyFactory>> = {
  "round-robin": (context) => new RoundRobinPolicy(context),
  random: (context) => new RandomPolicy(context),
  single: () => new SinglePolicy(),
};

export const POLICY_NAMES: readonly string[] = Object.keys(BUILTIN);

/** Throws for a name that check should have refused. */
export function builtinPolicy(name: string): PolicyFactory {
  const factory = Object.hasOwn(BUILTIN, name) ? BUILTIN[name] : undefined;
  if (factory === undefined) throw new Error(`unknown policy "${name}"`);
  return factory;
}
