/** What is wrong now, in sentences, faults that are injected and then the worst first: the first thing that whoever looks wants to see. */
import { clock, count, percent, plural } from "./format.ts";
import { byLevel, certificateLevel, errorLevel, errorShare, inRotation, type Level, outCount, stateLevel } from "./health.ts";
import type { Overview, TargetView, UpstreamView } from "./shapes.ts";

export interface Finding {
  readonly level: Level;
  /** Whom it is about, … */
  readonly subject: string;
  /** … and what. */
  readonly text: string;
  /** Where more is to be seen. */
  readonly upstream?: string;
  readonly target?: string;
  readonly page?: "config" | "events";
}

/** An event loop that came so late in the last seconds, in ms, has let requests wait that anybody feels. */
const LAG = 500;
/** So many of one upstream's are named. */
const NAMED = 3;

export function findingsOf(overview: Overview): Finding[] {
  const { instance, listeners, routes, upstreams } = overview;
  const found: Finding[] = [];
  if (instance.state === "draining") found.push({ level: "warn", subject: "Instance", text: "drains: it is about to stop" });
  if (instance.workers.length === 0) found.push({ level: "bad", subject: "Instance", text: "has no worker" });
  for (const { pid, lag_ms } of instance.workers) if (lag_ms >= LAG) found.push({ level: "warn", subject: `Worker ${pid}`, text: `was ${Math.round(lag_ms)} ms late to its events just now` });
  const { rejected } = instance.config;
  if (rejected !== null) found.push({ level: "bad", subject: "Configuration", text: `of ${clock(rejected.at)} was rejected; generation ${instance.generation} goes on: ${rejected.errors[0] ?? ""}`, page: "config" });
  for (const upstream of upstreams) found.push(...ofUpstream(upstream));
  const troubled = new Set(found.flatMap(({ upstream }) => (upstream === undefined ? [] : [upstream])));
  for (const route of routes) {
    const level = errorLevel(route);
    // An upstream that is known to fail says it already.
    if (level !== "ok" && !troubled.has(route.upstream)) found.push({ level, subject: `Route ${route.label}`, text: `${percent(errorShare(route))} of its requests fail`, upstream: route.upstream });
  }
  for (const { name, certificates } of listeners) {
    for (const { names, days_left: days } of certificates) {
      const level = certificateLevel(days);
      if (level !== "ok") found.push({ level, subject: `Certificate ${names[0] ?? ""}`, text: days < 0 ? `of listener ${name} has expired` : `of listener ${name} expires in ${plural(days, "day")}`, page: "config" });
    }
  }
  // Before the worst: what else is wrong may come of them.
  return [...ofFaults(instance.faults), ...found.toSorted((one, other) => byLevel(one.level, other.level))];
}

function ofFaults(faults: Overview["instance"]["faults"]): Finding[] {
  if (faults.length === 0) return [];
  const ends = faults.map(({ until }) => until);
  const last = ends.includes(null) ? undefined : ends.toSorted().at(-1)!;
  const names = faults.slice(0, NAMED).map(({ name, until }) => `${name}${last === undefined && until !== null ? ` until ${clock(until)}` : ""}`);
  const more = faults.length > NAMED ? ` and ${count(faults.length - NAMED)} more` : "";
  return [{ level: "warn", subject: "Faults", text: `${plural(faults.length, "rule")} ${faults.length === 1 ? "injects" : "inject"}${last === undefined ? "" : `, until ${clock(last)}`}: ${names.join(", ")}${more}`, page: "events" }];
}

function ofUpstream(upstream: UpstreamView): Finding[] {
  const { name, target_count: all, breaker, panic, queued, targets } = upstream;
  const found: Finding[] = [];
  const subject = `Upstream ${name}`;
  const outs = outCount(upstream);
  const out = targets.filter(({ state }) => stateLevel(state) === "bad");
  if (all > 0 && inRotation(upstream) === 0 && !panic) found.push({ level: "bad", subject, text: `has no target in rotation${out.length === 0 ? "" : `: ${named(out, outs)}`}`, upstream: name });
  else if (outs > 0) found.push({ level: panic || outs * 2 >= all ? "bad" : "warn", subject, text: `${count(outs)} of ${plural(all, "target")} out: ${named(out, outs)}`, upstream: name, ...(out.length === 1 ? { target: out[0]!.address } : {}) });
  if (panic) found.push({ level: "bad", subject, text: "too few targets are healthy, so all are used", upstream: name });
  if (breaker !== null && breaker !== "closed") found.push({ level: breaker === "open" ? "bad" : "warn", subject, text: `its circuit breaker is ${breaker}`, upstream: name });
  const errors = errorLevel(upstream);
  if (errors !== "ok") found.push({ level: errors, subject, text: `${percent(errorShare(upstream))} of its requests fail`, upstream: name });
  else {
    const failing = targets.filter((target) => stateLevel(target.state) === "ok" && errorLevel(target) === "bad");
    if (failing.length > 0) found.push({ level: "warn", subject, text: `${plural(failing.length, "target")} with errors: ${failing.slice(0, NAMED).map(({ address }) => address).join(", ")}`, upstream: name, ...(failing.length === 1 ? { target: failing[0]!.address } : {}) });
  }
  if (queued > 0) found.push({ level: "warn", subject, text: `${plural(queued, "request")} wait for a place`, upstream: name });
  const away = targets.filter(({ state }) => stateLevel(state) === "off");
  if (away.length > 0) found.push({ level: "off", subject, text: `${plural(away.length, "target")} taken out on purpose: ${named(away, away.length)}`, upstream: name, ...(away.length === 1 ? { target: away[0]!.address } : {}) });
  return found;
}

/** With the reason, where there is room for one. */
function named(targets: readonly TargetView[], all: number): string {
  const names = targets.slice(0, NAMED).map(({ address, state, check }) => `${address} ${state.replaceAll("+", ", ")}${targets.length === 1 && check !== null && !check.ok ? ` (${check.reason})` : ""}`);
  return `${names.join(", ")}${all > names.length ? ` and ${count(all - names.length)} more` : ""}`;
}
