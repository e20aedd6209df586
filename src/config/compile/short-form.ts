/** The short form, written out: what the rest is compiled from is always the long one. */
import type { Problem } from "../problem.ts";
import type { RawConfig, RawListener, RawRoute, RawUpstream } from "../schema.ts";

export interface LongForm {
  readonly listeners: readonly RawListener[];
  readonly routes: readonly RawRoute[];
  readonly upstreams: readonly RawUpstream[];
  /** Short form: own check paths by target address. */
  readonly healthPaths?: ReadonlyMap<string, string>;
}

/** The short form is one listener and one upstream, checked every 5 s: out after one failure, back after one success. */
export function expandShortForm(raw: RawConfig, problems: Problem[]): LongForm {
  if (raw.targets === undefined) {
    for (const key of ["address", "protocol"] as const) {
      if (raw[key] !== undefined) problems.push({ path: [key], about: "key", message: `"${key}" at the top belongs to the short form, which has [[targets]]`, hint: `write it in [[listeners]], or add [[targets]]` });
    }
    if (raw.listeners === undefined || raw.listeners.length === 0) problems.push({ path: [], about: "key", message: "nothing to listen on", hint: "add [[listeners]] and [[upstreams]], or just [[targets]]" });
    return { listeners: raw.listeners ?? [], routes: raw.routes ?? [], upstreams: raw.upstreams ?? [] };
  }
  for (const key of ["listeners", "routes", "upstreams"] as const) {
    if (raw[key] !== undefined) problems.push({ path: [key], about: "key", message: `[[${key}]] cannot stand beside the short form's top-level [[targets]]`, hint: "move the targets into [[upstreams.targets]], or leave the rest out" });
  }
  const healthPaths = new Map(raw.targets.flatMap(({ address, health_check_endpoint: path }) => (path === undefined ? [] : [[address, path] as const])));
  return {
    listeners: [{ name: "default", address: raw.address ?? { kind: "tcp", host: "0.0.0.0", port: 80 }, protocol: raw.protocol ?? "http", upstream: "default", tcp_unavailable: "http-503" }],
    routes: [],
    upstreams: [
      {
        name: "default",
        targets: raw.targets.map(({ address, weight }) => ({ address, weight })),
        health_check: { type: healthPaths.size > 0 ? "http" : "tcp", interval: 5_000, rise: 1, fall: 1 },
      },
    ],
    healthPaths,
  };
}
