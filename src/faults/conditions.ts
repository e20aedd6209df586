/** Whom a rule is for: its conditions, in the order in which they are looked at, and what of a request one can be injected into. */
import type { ClientFault, FaultRule, TargetFault } from "../config/snapshot.ts";
import type { RoutingRequest } from "../policies/policy.ts";

/** Which way something goes. */
export interface Passage {
  readonly listener: string;
  /** Its label; "": the listener's default. */
  readonly route: string;
  readonly upstream: string;
}

/** Whoever speaks HTTP may say under this name what is to befall it. */
export const FAULT_FIELD = "x-fairlead-fault";

/** What keeps a rule from a request: the first that does not hold. "protocol", "call": what it injects is not for such a one. */
export interface FaultMismatch {
  readonly condition: "protocol" | "upstream" | "listener" | "route" | "method" | "host" | "header" | "call";
  /** Of a header. */
  readonly name: string;
  readonly wanted: string;
  /** Undefined: the request has none. */
  readonly seen: string | undefined;
}

export function matches(rule: FaultRule, passage: Passage, request: RoutingRequest): boolean {
  return failing(rule, passage, request) === undefined;
}

/** The first condition that fails. */
function failing(rule: FaultRule, { listener, route, upstream }: Passage, request: RoutingRequest): FaultMismatch["condition"] | undefined {
  if (!has(rule.upstreams, upstream)) return "upstream";
  if (!has(rule.listeners, listener)) return "listener";
  if (!has(rule.routes, route)) return "route";
  if (rule.methods.length > 0 && !rule.methods.includes(request.method)) return "method";
  if (rule.hosts.length > 0 && !isAmong(rule.hosts, request.host)) return "host";
  return rule.headers.every((header) => isThere(header, request)) ? undefined : "header";
}

/** What cannot be done to it is not done by half. */
export function fits({ abort, grpcStatus, truncate }: ClientFault, { protocol }: RoutingRequest, isCall: boolean): boolean {
  if (protocol !== "http") return abort === undefined && grpcStatus === undefined && truncate === undefined;
  return grpcStatus === undefined || abort !== undefined || isCall;
}

/** Of a connection that nobody looks into only connecting can fail. */
export function reaches({ error }: TargetFault, { protocol }: RoutingRequest): boolean {
  return protocol === "http" || error === undefined || error === "connect-refused" || error === "connect-timeout";
}

/** The same in words, for `fairlead explain`; undefined: chance alone keeps it from the request. */
export function mismatch(rule: FaultRule, passage: Passage, request: RoutingRequest, isCall: boolean): FaultMismatch | undefined {
  const { effect } = rule;
  const { protocol } = request;
  const other = (wanted: string): FaultMismatch => ({ condition: "protocol", name: "", wanted, seen: protocol });
  if (protocol === "udp") return other("http, tcp");
  const condition = failing(rule, passage, request);
  if (condition !== undefined) return told(condition, rule, passage, request);
  switch (effect.side) {
    case "target":
      return reaches(effect, request) ? undefined : other("http");
    case "client":
      if (fits(effect, request, isCall)) return undefined;
      return protocol === "http" ? { condition: "call", name: "", wanted: "a gRPC call", seen: "a request" } : other("http");
    case "chosen":
      if (protocol !== "http") return other("http");
      return request.header(FAULT_FIELD) === undefined ? { condition: "header", name: "X-Fairlead-Fault", wanted: "what is to befall it", seen: undefined } : undefined;
  }
}

function told(condition: FaultMismatch["condition"], { headers, ...rule }: FaultRule, { listener, route, upstream }: Passage, request: RoutingRequest): FaultMismatch {
  const lists = { upstream: rule.upstreams, listener: rule.listeners, route: rule.routes, method: rule.methods, host: rule.hosts };
  const seen = { upstream, listener, route, method: request.method, host: request.host };
  if (condition in seen) {
    const key = condition as keyof typeof seen;
    return { condition, name: "", wanted: lists[key].join(", "), seen: seen[key] === "" ? undefined : seen[key] };
  }
  const { name, value } = headers.find((header) => !isThere(header, request))!;
  // Who knows the value may inject the fault: it is for nobody who only looks.
  return { condition, name, wanted: value === undefined ? "any value" : "the rule's value", seen: request.header(name) };
}

function has(names: readonly string[], name: string): boolean {
  return names.length === 0 || names.includes(name);
}

function isThere({ name, value }: FaultRule["headers"][number], request: RoutingRequest): boolean {
  const found = request.header(name);
  return found !== undefined && (value === undefined || found === value);
}

function isAmong(hosts: readonly string[], host: string): boolean {
  const name = host.toLowerCase().replace(/:\d*$/, "").replace(/\.$/, "");
  return hosts.some((each) => each === "*" || each === name || (each.startsWith("*.") && name.endsWith(each.slice(1))));
}
