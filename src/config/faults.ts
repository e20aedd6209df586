/** `[faults]`: what a rule means, what of it does not fit together, and what it names that is not there. */
import type { Problem } from "./problem.ts";
import type { RawConfig, RawFault } from "./schema.ts";
import { redacted } from "./secret-keys.ts";
import type { FaultDelay, FaultEffect, FaultRule, ListenerConfig, Snapshot } from "./snapshot.ts";
import { suggestion } from "./suggestion.ts";

type RawFaults = RawConfig["faults"];

/** What a rule may name. */
export interface FaultScope {
  readonly listeners: readonly Pick<ListenerConfig, "name" | "protocol">[];
  /** Labels. */
  readonly routes: readonly string[];
  readonly upstreams: readonly FaultScopeUpstream[];
}

interface FaultScopeUpstream {
  readonly name: string;
  /** Addresses. */
  readonly targets: readonly string[];
  /** Further ones may join by themselves. */
  readonly grows: boolean;
}

/** Something wrong with a rule. */
export interface FaultFlaw {
  /** Absent: with the rule as a whole. */
  readonly key?: string;
  /** Of a list. */
  readonly index?: number;
  readonly message: string;
  readonly hint?: string;
}

/** What a rule does to the client's side. */
const CLIENT_KEYS = ["delay", "abort", "grpc_status", "reset", "throttle", "truncate"] as const;
const TARGET_KEYS = ["target_delay", "target_error"] as const;
/** What ends an exchange, so that nothing is left that could be throttled or truncated. */
const ENDS = ["abort", "grpc_status", "reset"] as const;
/** Whom a rule is for: lists; an absent one stands for everybody. */
const WHOM_KEYS = ["routes", "upstreams", "listeners", "hosts", "methods", "targets"] as const;
/** What needs HTTP to mean something. */
const HTTP_KEYS = ["methods", "headers", "by_header", "abort", "grpc_status", "truncate"] as const;
/** No datagram takes longer or is refused for a rule. */
const UNTOUCHED = "udp";

function isSaid(rule: RawFault, key: (typeof CLIENT_KEYS)[number] | (typeof TARGET_KEYS)[number] | (typeof HTTP_KEYS)[number]): boolean {
  return rule[key] !== undefined && rule[key] !== false;
}

export function faultFlaws(rule: RawFault, scope: FaultScope): FaultFlaw[] {
  const own = CLIENT_KEYS.filter((key) => isSaid(rule, key));
  const target = TARGET_KEYS.filter((key) => isSaid(rule, key));
  const flaws: FaultFlaw[] = [...unknownNames(rule, scope)];
  // As a program writes it that has found none: it does not mean everybody.
  for (const key of WHOM_KEYS) if (rule[key]?.length === 0) flaws.push({ key, message: `${key} names nobody`, hint: "name some, or leave it out, which means all" });
  if (rule.by_header === true && own.length + target.length > 0) flaws.push({ key: "by_header", message: `what is injected is said by the client, or by ${[...own, ...target].join(" and ")}`, hint: "leave one of the two out" });
  else if (rule.by_header !== true && own.length + target.length === 0) flaws.push({ message: "it is not said what is injected", hint: `add ${[...CLIENT_KEYS, ...TARGET_KEYS].join(", ")} or by_header` });
  else if (own.length > 0 && target.length > 0) flaws.push({ key: target[0]!, message: `a rule is about the client's side (${own.join(", ")}) or the targets' (${target.join(", ")})`, hint: "make two rules of it" });
  const ends = ENDS.filter((key) => isSaid(rule, key));
  const later = (["throttle", "truncate"] as const).find((key) => isSaid(rule, key));
  if (isSaid(rule, "reset") && ends.length > 1) flaws.push({ key: "reset", message: `a request is reset, or answered by ${ends[0]!}`, hint: "leave one of the two out" });
  else if (ends.length > 0 && later !== undefined) flaws.push({ key: later, message: `${ends[0]!} leaves no reply of a target to ${later}`, hint: "leave one of the two out" });
  if (rule.targets !== undefined && target.length === 0) flaws.push({ key: "targets", message: "targets goes with target_delay or target_error", hint: "add one of these, or leave it out" });
  for (const key of ["delay", "target_delay"] as const) {
    const range = rule[key];
    if (Array.isArray(range) && range[0] > range[1]) flaws.push({ key, message: "a range begins with its shorter delay", hint: "swap the two" });
  }
  return flaws;
}

function* unknownNames(rule: RawFault, { listeners, routes, upstreams }: FaultScope): Generator<FaultFlaw> {
  const protocols = new Map(listeners.map(({ name, protocol }) => [name, protocol]));
  const known = { listeners: [...protocols.keys()], routes, upstreams: upstreams.map(({ name }) => name) };
  for (const key of ["listeners", "routes", "upstreams"] as const) {
    for (const [index, name] of (rule[key] ?? []).entries()) {
      if (!known[key].includes(name)) yield { key, index, message: `there is no ${key.slice(0, -1)} "${name}"`, ...suggestion(name, known[key]) };
      else if (key === "listeners") yield* unfit(rule, name, protocols.get(name)!, index);
    }
  }
  const meant = upstreams.filter(({ name }) => rule.upstreams?.includes(name) !== false);
  if (meant.some(({ grows }) => grows)) return;
  const targets = meant.flatMap((upstream) => upstream.targets);
  // Of an upstream that is not there nothing can be said.
  if (meant.length < (rule.upstreams?.length ?? 0)) return;
  for (const [index, address] of (rule.targets ?? []).entries()) if (!targets.includes(address)) yield { key: "targets", index, message: `there is no target "${address}"`, ...suggestion(address, targets) };
}

/** May targets join it that the file does not name? */
export function grows({ heartbeat, supervised }: { readonly heartbeat?: { readonly register?: boolean | undefined } | undefined; readonly supervised?: object | undefined }): boolean {
  return supervised !== undefined || (heartbeat !== undefined && heartbeat.register !== false);
}

/** Targets that a rule names and that are not there now: it waits for them to join. */
export function missingTargets({ upstreams: names, effect }: FaultRule, upstreams: Snapshot["upstreams"]): string[] {
  const known = new Set(upstreams.filter(({ name }) => names.length === 0 || names.includes(name)).flatMap(({ targets }) => targets.map(({ name }) => name)));
  return effect.side === "target" ? effect.targets.filter((address) => !known.has(address)) : [];
}

function* unfit(rule: RawFault, name: string, protocol: ListenerConfig["protocol"], index: number): Generator<FaultFlaw> {
  const at = { key: "listeners", index };
  if (protocol === UNTOUCHED) yield { ...at, message: `listener "${name}" is udp: no fault is injected there`, hint: "leave it out" };
  const beyond = HTTP_KEYS.find((key) => isSaid(rule, key));
  if (protocol !== "http" && protocol !== UNTOUCHED && beyond !== undefined) yield { ...at, message: `listener "${name}" is ${protocol}, and ${beyond} is about HTTP`, hint: "leave it out, or use delay, reset, throttle, target_delay or target_error" };
}

export function checkFaults(raw: RawFaults, scope: FaultScope, problems: Problem[]): void {
  if (raw === undefined) return;
  const { enabled, rules = [] } = raw;
  // Who has forgotten it would wait for faults that never come; who says false wants them to rest.
  if (enabled === undefined && rules.length > 0) problems.push({ path: ["faults"], about: "key", message: "rules are here, and enabled is not: nothing would be injected", hint: "add enabled = true, or enabled = false to keep the rules for another day" });
  const seen = new Set<string>();
  for (const [index, rule] of rules.entries()) {
    const path = ["faults", "rules", index];
    if (seen.has(rule.name)) problems.push({ path: [...path, "name"], about: "value", message: `there is already a fault "${rule.name}"`, hint: "each has a name of its own" });
    seen.add(rule.name);
    for (const { key, index: at, message, hint } of faultFlaws(rule, scope)) {
      problems.push({ path: [...path, ...(key === undefined ? [] : [key]), ...(at === undefined ? [] : [at])], about: at === undefined ? "key" : "value", message, ...(hint === undefined ? {} : { hint }) });
    }
  }
}

/** Nothing where no fault may be injected. */
export function faultsOf(raw: RawFaults): Pick<Snapshot, "faults"> {
  return raw?.enabled === true ? { faults: (raw.rules ?? []).map(faultOf) } : {};
}

/** @param rule without flaws */
export function faultOf(rule: RawFault): FaultRule {
  return {
    name: rule.name,
    listeners: rule.listeners ?? [],
    routes: rule.routes ?? [],
    upstreams: rule.upstreams ?? [],
    hosts: (rule.hosts ?? []).map((host) => host.toLowerCase()),
    methods: rule.methods ?? [],
    headers: Object.entries(rule.headers ?? {}).map(([name, value]) => (value === true ? { name } : { name, value })),
    percent: rule.percent ?? 100,
    effect: effectOf(rule),
  };
}

function effectOf(rule: RawFault): FaultEffect {
  if (rule.by_header === true) return { side: "chosen" };
  const { target_delay: targetDelay, target_error: error } = rule;
  if (targetDelay !== undefined || error !== undefined) return { side: "target", targets: rule.targets ?? [], ...delayOf(targetDelay), ...(error === undefined ? {} : { error }) };
  const { delay, abort, grpc_status: grpcStatus, reset = false, throttle = 0, truncate } = rule;
  return {
    side: "client",
    ...delayOf(delay),
    ...(abort === undefined ? {} : { abort }),
    ...(grpcStatus === undefined ? {} : { grpcStatus }),
    reset,
    throttle,
    ...(truncate === undefined ? {} : { truncate }),
  };
}

function delayOf(raw: RawFault["delay"]): { readonly delay?: FaultDelay } {
  if (raw === undefined) return {};
  const [from, to] = Array.isArray(raw) ? raw : [raw, raw];
  return { delay: { from, to } };
}

/** A rule as it is written in the file, but for its name. */
export function faultKeysOf({ listeners, routes, upstreams, hosts, methods, headers, percent, effect }: FaultRule): Record<string, unknown> {
  const lists = Object.entries({ listeners, routes, upstreams, hosts, methods }).filter(([, names]) => names.length > 0);
  return {
    ...Object.fromEntries(lists),
    ...(headers.length === 0 ? {} : { headers: Object.fromEntries(headers.map(({ name, value }) => [name, value ?? true])) }),
    percent,
    ...effectKeysOf(effect),
  };
}

/** The same for people: without what its headers must say, which may be a token of whoever it is for. */
export function toldKeysOf(rule: FaultRule): Record<string, unknown> {
  return redacted(faultKeysOf(rule)) as Record<string, unknown>;
}

function effectKeysOf(effect: FaultEffect): Record<string, unknown> {
  switch (effect.side) {
    case "chosen":
      return { by_header: true };
    case "target":
      return { ...(effect.targets.length === 0 ? {} : { targets: effect.targets }), ...said({ target_delay: written(effect.delay), target_error: effect.error }) };
    case "client": {
      const { delay, abort, grpcStatus, reset, throttle, truncate } = effect;
      return said({ delay: written(delay), abort, grpc_status: grpcStatus, reset: reset ? true : undefined, throttle: throttle === 0 ? undefined : throttle, truncate });
    }
  }
}

function said(keys: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined));
}

function written(delay: FaultDelay | undefined): unknown {
  if (delay === undefined) return undefined;
  return delay.from === delay.to ? `${delay.from}ms` : [`${delay.from}ms`, `${delay.to}ms`];
}
