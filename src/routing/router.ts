/** Which way a request goes: the first route in file order that matches, else the listener's default. */
import ipaddr from "ipaddr.js";
import type { RouteConfig } from "../config/snapshot.ts";
import type { RoutingRequest } from "../policies/policy.ts";
import type { Column } from "../scoreboard/scoreboard.ts";
import { normalizePath } from "./path.ts";

/** Where a request goes, and by which route; one object for each route, made with the router. */
export interface Match<Upstream> {
  /** Undefined: no route matched, and the listener's default takes it. */
  readonly route: RouteConfig | undefined;
  /** As `routeLabel`; "": the listener's default. */
  readonly label: string;
  readonly upstream: Upstream;
  /** What this worker counts of the route; undefined for the listener's default, which counts itself. */
  readonly counters: Column | undefined;
}

interface Compiled<Upstream> extends Match<Upstream> {
  readonly route: RouteConfig;
  readonly order: number;
  readonly prefix: string | undefined;
}

/** What a route asks for and the request does not have. */
export interface Mismatch {
  readonly condition: "host" | "path" | "method" | "header";
  /** A header's name; "" for others. */
  readonly name: string;
  readonly wanted: string;
  /** Undefined: it is not there. */
  readonly seen: string | undefined;
}

/** How a request went past a route, or was taken by it. */
export interface RouteExplanation {
  readonly route: RouteConfig;
  readonly label: string;
  /** The first condition that does not hold; undefined: all of them do. */
  readonly failed: Mismatch | undefined;
}

export class Router<Upstream> {
  private readonly fallback: Match<Upstream> | undefined;
  /** Routes by exact host, by suffix of a wildcard (".example.org"), and for every host; each in file order. */
  private readonly exact = new Map<string, Compiled<Upstream>[]>();
  private readonly suffix = new Map<string, Compiled<Upstream>[]>();
  private readonly any: Compiled<Upstream>[] = [];
  private readonly all: Compiled<Upstream>[] = [];
  private readonly empty: boolean;

  /**
   * @param find the running upstream of a name; names were checked with the config
   * @param countersOf absent: nothing is counted
   */
  constructor(routes: readonly RouteConfig[], fallback: Upstream | undefined, find: (name: string) => Upstream, countersOf?: (route: RouteConfig) => Column) {
    this.fallback = fallback === undefined ? undefined : { route: undefined, label: "", upstream: fallback, counters: undefined };
    this.empty = routes.length === 0;
    for (const [order, config] of routes.entries()) {
      const prefix = config.pathPrefix === undefined ? undefined : config.pathPrefix.replace(/\/+$/, "");
      const route = { route: config, label: routeLabel(config), order, prefix, upstream: find(config.upstream), counters: countersOf?.(config) };
      this.all.push(route);
      if (config.hosts.length === 0) this.any.push(route);
      for (const host of config.hosts) {
        if (host === "*") this.any.push(route);
        else if (host.startsWith("*.")) append(this.suffix, host.slice(1), route);
        else append(this.exact, hostOnly(host), route);
      }
    }
  }

  /** Undefined: no route and no default. Costs nothing when there are no routes. */
  route(request: RoutingRequest): Match<Upstream> | undefined {
    if (this.empty) return this.fallback;
    const host = hostOnly(request.host);
    const path = normalizePath(request.path);
    let best = firstMatch(this.any, request, path, undefined);
    best = firstMatch(this.exact.get(host), request, path, best);
    if (this.suffix.size > 0) {
      for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) best = firstMatch(this.suffix.get(host.slice(dot)), request, path, best);
    }
    return best ?? this.fallback;
  }

  /** What `route` looks at, in file order: the routes that do not match, and why, up to the one that does. */
  explain(request: RoutingRequest): RouteExplanation[] {
    const host = hostOnly(request.host);
    const path = normalizePath(request.path);
    const forHost = new Set([...this.any, ...(this.exact.get(host) ?? [])]);
    for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) for (const route of this.suffix.get(host.slice(dot)) ?? []) forHost.add(route);
    const told: RouteExplanation[] = [];
    for (const route of this.all) {
      const failed: Mismatch | undefined = forHost.has(route) ? mismatch(route, request, path, failing(route, request, path)) : { condition: "host", name: "", wanted: route.route.hosts.join(", "), seen: host === "" ? undefined : host };
      told.push({ route: route.route, label: route.label, failed });
      if (failed === undefined) break;
    }
    return told;
  }
}

/** Hosts and methods that a label names; the others are counted. */
const NAMED = 2;

/**
 * How a route is called where people and monitoring see it: its name, else what it matches, as `GET api.example.com/v1 [x-canary]`; `*` matches all.
 * A configuration gives routes that match the same different names.
 */
export function routeLabel({ name, hosts, pathPrefix, methods, headers }: Omit<RouteConfig, "slot">): string {
  if (name !== undefined) return name;
  const where = few(hosts) + (pathPrefix ?? "");
  const said = headers.length === 0 ? "" : `[${few(headers.map((header) => header.name.toLowerCase()))}]`;
  return [few(methods), where === "" ? "*" : where, said].filter((part) => part !== "").join(" ");
}

function few(words: readonly string[]): string {
  return words.length <= NAMED ? words.join(",") : `${words.slice(0, NAMED).join(",")},+${words.length - NAMED}`;
}

/** `Compiled` conditions by number: the first that fails, in this order; a header is its index from here on. */
const HOLDS = -1;
const PATH = 0;
const METHOD = 1;
const HEADERS = 2;

function append<Upstream>(map: Map<string, Compiled<Upstream>[]>, key: string, route: Compiled<Upstream>): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [route]);
  else list.push(route);
}

/** The first of `routes` that matches and stands before `best`; else `best`. */
function firstMatch<Upstream>(routes: readonly Compiled<Upstream>[] | undefined, request: RoutingRequest, path: string, best: Compiled<Upstream> | undefined): Compiled<Upstream> | undefined {
  if (routes === undefined) return best;
  for (const route of routes) {
    if (best !== undefined && route.order >= best.order) return best;
    if (failing(route, request, path) === HOLDS) return route;
  }
  return best;
}

/** The first condition of a route for this host that fails. */
function failing({ prefix, route: config }: Compiled<unknown>, request: RoutingRequest, path: string): number {
  // Whole segments: /v1 matches /v1 and /v1/x, not /v10.
  if (prefix !== undefined && !(path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f))) return PATH;
  if (config.methods.length > 0 && !config.methods.includes(request.method)) return METHOD;
  for (let i = 0; i < config.headers.length; i++) {
    const { name, value } = config.headers[i]!;
    const found = request.header(name);
    if (found === undefined || (value !== undefined && found !== value)) return HEADERS + i;
  }
  return HOLDS;
}

/** In words, for `fairlead explain`. */
function mismatch({ route: config }: Compiled<unknown>, request: RoutingRequest, path: string, failed: number): Mismatch | undefined {
  if (failed === HOLDS) return undefined;
  if (failed === PATH) return { condition: "path", name: "", wanted: `${config.pathPrefix!}, or below it`, seen: path };
  if (failed === METHOD) return { condition: "method", name: "", wanted: config.methods.join(", "), seen: request.method };
  const { name, value } = config.headers[failed - HEADERS]!;
  return { condition: "header", name, wanted: value ?? "any value", seen: request.header(name) };
}

/** Lower case, without port and without the final dot of a fully qualified name; IPv6 addresses in their one short form (RFC 5952). */
function hostOnly(host: string): string {
  if (host.startsWith("[")) return literal(host.slice(0, host.indexOf("]") + 1));
  const end = host.indexOf(":");
  const name = (end > 0 ? host.slice(0, end) : host).toLowerCase();
  return name.endsWith(".") ? name.slice(0, -1) : name;
}

function literal(host: string): string {
  const address = host.slice(1, -1);
  return ipaddr.IPv6.isValid(address) ? `[${ipaddr.IPv6.parse(address).toString()}]` : host.toLowerCase();
}
