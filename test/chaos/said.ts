/** What Fairlead itself says of exchanges that failed: to find out why, not to judge by. */
import type { Failure } from "./load/plan.ts";
import { pathOf, lengthOf } from "./load/content.ts";

interface Told {
  readonly path: string;
  readonly cause: string;
  readonly detail: string;
  readonly tries: readonly { readonly target: string; readonly at_ms: number; readonly connect_ms: number; readonly duration_ms: number; readonly status: number; readonly cause: string; readonly detail: string }[];
}

/** A line for each that it has kept. */
export async function said(admin: number, failures: readonly Failure[]): Promise<string[]> {
  if (failures.length === 0) return [];
  const response = await fetch(`http://127.0.0.1:${admin}/v1/exchanges?why=failed&limit=1000`);
  const { exchanges } = (await response.json()) as { readonly exchanges: readonly Told[] };
  const paths = new Map(failures.map(({ number }) => [pathOf(number, lengthOf(number)), number]));
  return exchanges
    .filter(({ path }) => paths.has(path))
    .map(({ path, cause, detail, tries }) => `Fairlead on ${paths.get(path)}: ${cause} ${detail}; tries: ${tries.map((one) => `${one.target} at ${one.at_ms} ms (connect ${one.connect_ms}, lasted ${one.duration_ms}): ${one.status} ${one.cause} ${one.detail}`).join("; ")}`);
}
