/** What is called how: no two alike, and no reference to what is not there. */
import type { Problem } from "../problem.ts";
import type { RawListener } from "../schema.ts";
import { suggestion } from "../suggestion.ts";
import type { LongForm } from "./short-form.ts";

/** The name of a listener that has none in the file. */
export function listenerName({ name }: RawListener, index: number): string {
  return name ?? `listener-${index + 1}`;
}

export function checkNames(items: readonly { readonly name?: string | undefined }[], what: string, problems: Problem[]): void {
  const seen = new Set<string>();
  for (const [index, { name }] of items.entries()) {
    if (name === undefined) continue;
    if (seen.has(name)) problems.push({ path: [`${what}s`, index, "name"], about: "value", message: `there is already ${what === "upstream" ? "an" : "a"} ${what} "${name}"`, hint: `each ${what} has a name of its own` });
    seen.add(name);
  }
}

export function checkReferences({ listeners, routes, upstreams }: LongForm, problems: Problem[]): void {
  const names = upstreams.map(({ name }) => name);
  const check = (kind: "listeners" | "routes", index: number, name: string | undefined): void => {
    if (name === undefined || names.includes(name)) return;
    problems.push({ path: [kind, index, "upstream"], about: "value", message: `there is no upstream "${name}"`, ...suggestion(name, names) });
  };
  for (const [index, listener] of listeners.entries()) check("listeners", index, listener.upstream);
  for (const [index, route] of routes.entries()) check("routes", index, route.upstream);
}
