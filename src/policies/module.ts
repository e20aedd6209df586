/** Loads a policy of the user's own from a TypeScript or JavaScript file, and keeps its faults away from the traffic. */
import type { PolicyFactory, RoutingPolicy } from "./policy.ts";

/**
 * The file's default export: a policy object, a class of one, or a factory.
 * @param version anything that changes with the file, so that a reload sees the new code
 * @throws Error that says what the file should export instead
 */
export async function loadPolicyModule(path: string, version: string): Promise<PolicyFactory> {
  let exported: unknown;
  try {
    exported = ((await import(`${path}?v=${encodeURIComponent(version)}`)) as { default?: unknown }).default;
  } catch (error) {
    throw new Error(`policy ${path} does not load: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  if (isPolicy(exported)) return () => exported as RoutingPolicy;
  if (typeof exported !== "function") throw new Error(`policy ${path}: the default export must be a policy (an object with pick), a class of one, or a function that returns one`);
  const make = exported as unknown as PolicyFactory & (new (...args: Parameters<PolicyFactory>) => RoutingPolicy);
  const isClass = isPolicy((make as { prototype?: unknown }).prototype);
  return (context) => {
    const policy: unknown = isClass ? new make(context) : make(context);
    if (!isPolicy(policy)) throw new Error(`policy ${path}: what the default export returned has no pick(request, targets)`);
    return policy;
  };
}

function isPolicy(value: unknown): value is RoutingPolicy {
  return typeof value === "object" && value !== null && typeof (value as { pick?: unknown }).pick === "function";
}
