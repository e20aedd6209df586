/** Routes: what they say to whom, and what of it does not fit their listeners. */
import { routeLabel } from "../../routing/router.ts";
import type { Problem } from "../problem.ts";
import { listenerName } from "./names.ts";
import type { RawListener, RawRoute } from "../schema.ts";
import type { RouteConfig } from "../snapshot.ts";
import { suggestion } from "../suggestion.ts";

/** Which row of the scoreboard it has is not known yet. */
type Route = Omit<RouteConfig, "slot">;

/** Whom a route is for: lists; an absent one stands for everybody. */
const WHOM_KEYS = ["hosts", "methods", "listeners"] as const;

/** No two of them are called the same: the second of those that match the same is `… #2`. */
export function routesOf(raw: readonly RawRoute[]): Route[] {
  const labels = new Set(raw.map(({ name }) => name));
  return raw.map((entry) => {
    const route = routeOf(entry);
    if (route.name !== undefined) return route;
    const own = routeLabel(route);
    let label = own;
    for (let number = 2; labels.has(label); number++) label = `${own} #${number}`;
    labels.add(label);
    return label === own ? route : { ...route, name: label };
  });
}

function routeOf(raw: RawRoute): Route {
  return {
    ...(raw.name === undefined ? {} : { name: raw.name }),
    listeners: raw.listeners ?? [],
    hosts: (raw.hosts ?? []).map((host) => host.toLowerCase()),
    ...(raw.path_prefix === undefined ? {} : { pathPrefix: raw.path_prefix }),
    methods: raw.methods ?? [],
    headers: Object.entries(raw.headers ?? {}).map(([name, value]) => (value === true ? { name } : { name, value })),
    upstream: raw.upstream,
  };
}

export function isRouteFor(route: RawRoute, listener: string): boolean {
  return route.listeners === undefined || route.listeners.length === 0 || route.listeners.includes(listener);
}

export function checkRoutes(routes: readonly RawRoute[], listeners: readonly RawListener[], problems: Problem[]): void {
  const protocols = new Map(listeners.map((listener, index) => [listenerName(listener, index), listener.protocol ?? "http"]));
  for (const [index, route] of routes.entries()) {
    // As a program writes it that has found none: a route for no host is not one for every host.
    for (const key of WHOM_KEYS) if (route[key]?.length === 0) problems.push({ path: ["routes", index, key], about: "key", message: `${key} names nobody`, hint: "name some, or leave it out, which means all" });
    for (const [at, name] of (route.listeners ?? []).entries()) {
      const path = ["routes", index, "listeners", at];
      const protocol = protocols.get(name);
      if (protocol === undefined) problems.push({ path, about: "value", message: `there is no listener "${name}"`, ...suggestion(name, [...protocols.keys()]) });
      else if (protocol === "tcp" || protocol === "udp") problems.push({ path, about: "value", message: `listener "${name}" is ${protocol}: it knows no hosts, and all of it goes to its upstream`, hint: 'leave it out, or make the listener protocol = "http" or "tls-passthrough"' });
    }
    const sealed = [...protocols].find(([name, protocol]) => protocol === "tls-passthrough" && isRouteFor(route, name))?.[0];
    if (sealed === undefined) continue;
    for (const key of ["path_prefix", "methods", "headers"] as const) {
      if (route[key] === undefined) continue;
      problems.push({ path: ["routes", index, key], about: "key", message: `listener "${sealed}" is tls-passthrough: it sees the name that a client asks for, and nothing of its requests`, hint: 'leave it out, or say which http listeners the route is for: listeners = ["…"]' });
    }
  }
}
