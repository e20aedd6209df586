/** An explanation as text for people: the way first, then the reasons. */
import type { Explained, ExplainedTarget, ExplainedUpstream, RequestToExplain } from "../admin/explained.ts";
import { clock } from "../view/format.ts";
import type { Paint } from "./paint.ts";

/** Rows of targets that are shown. */
const MOST_ROWS = 20;
/** Names of a list that are shown. */
const MOST_NAMES = 8;
const LABEL = 11;

type Outcome = Explained["outcome"];

/** @param now wall-clock ms since 1970 */
export function explanation(told: Explained, request: RequestToExplain, paint: Paint, now: number): string {
  const { upstream, applies, forwarded } = told;
  const parts = [
    `${paint("dim", told.request.method === "" ? request.url : `${told.request.method} ${request.url}`)}\n\n${way(told, paint)}\n`,
    section("Listener", listenerLines(told), paint),
    section("Routes", routeLines(told, paint), paint),
    section("Faults", faultLines(told, paint), paint),
    ...(upstream === null ? [] : [section("Upstream", upstreamLines(upstream, told.listener.protocol), paint), section("Targets", targetLines(upstream, paint, now), paint), section("If it fails", failureLines(told, upstream), paint)]),
    section("Timeouts", applies === null ? [] : timeoutLines(applies, told.listener.protocol), paint),
    section("Limits", applies === null || told.listener.protocol !== "http" ? [] : limitLines(applies), paint),
    section("Sent", forwarded === null ? [] : sentLines(forwarded, paint), paint),
  ];
  return parts.filter((part) => part !== "").join("\n");
}

function section(label: string, lines: readonly string[], paint: Paint): string {
  if (lines.length === 0) return "";
  const [first, ...rest] = lines;
  const indent = " ".repeat(LABEL + 2);
  return [`${paint("bold", label.padEnd(LABEL))}  ${first}`, ...rest.map((line) => indent + line)].map((line) => `${line}\n`).join("");
}

const STYLES = { forwarded: "green", answered: "green", undecided: "yellow", queued: "yellow", refused: "red" } as const satisfies Record<Outcome["kind"], string>;

function way(told: Explained, paint: Paint): string {
  const { outcome, listener, upstream, routes } = told;
  const { kind, route, target, summary } = outcome;
  const style = STYLES[kind];
  const steps = [listener.name];
  if (upstream !== null) {
    steps.push(route ?? (routes.length === 0 ? "no routes" : "no route matches"), upstream.name);
    if (target !== null) steps.push(target);
    else if (kind === "undecided") steps.push(`one of ${upstream.tiers.reduce((sum, { load, usable }) => sum + (load > 0 ? usable : 0), 0)}`);
  }
  const words: Record<Outcome["kind"], string> = { forwarded: summary, answered: `answered here, ${summary}`, refused: `refused, ${summary}`, queued: summary, undecided: summary };
  const last = steps.pop()!;
  return `${[...steps, paint(style, paint("bold", last))].join(paint("dim", "  →  "))}\n${paint(style, words[kind])}${likelyFaults(told).map((line) => `\n${paint("yellow", line)}`).join("")}`;
}

/** Those that may befall it; where they leave nothing of it, its outcome says so. */
function likelyFaults({ outcome, faults }: Explained): string[] {
  const known = faults.filter(({ name, matched, chance }) => matched && chance !== 0 && !outcome.summary.includes(`fault "${name}"`));
  return known.map((fault) => `${chanceOf(fault)}: fault "${fault.name}", ${fault.does}`);
}

function faultLines({ faults, upstream }: Explained, paint: Paint): string[] {
  const width = widest(faults.map(({ name }) => name));
  return faults.map((fault) => {
    const { name, failed, does, until, targets, chance, side } = fault;
    if (failed !== null) return paint("dim", `✗ ${name.padEnd(width)}  ${missed(failed)}`);
    const rest = `${does}${until === null ? "" : `, until ${clock(until)}`}`;
    if (chance === 0 && fault.percent > 0) return paint("dim", `✗ ${name.padEnd(width)}  ${side === "target" && !targets.includes(upstream?.pick ?? "") && targets.length > 0 ? `not at ${upstream?.pick ?? ""}; at ${named(targets)}` : "those before it leave nothing"}: ${rest}`);
    return `${paint("yellow", "✓")} ${name.padEnd(width)}  ${chanceOf(fault)}: ${rest}`;
  });
}

function chanceOf({ side, chance, percent: most, targets }: Explained["faults"][number]): string {
  const likely = chance ?? most / 100;
  const how = likely === 1 ? "" : `with ${Number((likely * 100).toPrecision(3))} % chance`;
  if (side === "client") return how === "" ? "for certain" : how;
  return `${targets.length === 0 ? "each attempt" : `attempts at ${named(targets)}`}${how === "" ? "" : `, ${how}`}`;
}

function named(names: readonly string[]): string {
  return names.length > MOST_NAMES ? `${names.slice(0, MOST_NAMES).join(", ")} and ${names.length - MOST_NAMES} more` : names.join(", ");
}

/** Why not: what is seen of a condition, and what is wanted. */
function missed({ condition, name, seen, wanted }: { readonly condition: string; readonly name: string; readonly seen: string | null; readonly wanted: string }): string {
  const what = condition === "header" ? `header ${name}` : condition === "call" ? "it" : condition;
  return `${what} ${seen === null ? "is not there" : `is ${quoted(seen)}`}, wanted ${wanted}`;
}

function listenerLines({ listener, request }: Explained): string[] {
  const { name, address, protocol, tls, found_by: by, clients, max_clients: most } = listener;
  const found = { name: "named", port: "found by its port", scheme: "the only one for this scheme; the URL's port is not its own" }[by];
  return [`${name} at ${address}, ${protocol}${tls ? " over TLS" : ""}, ${clients} of ${most} clients (${found})`, `client ${request.client}${request.path_for_routes === "" || request.path_for_routes === request.path.split("?", 1)[0] ? "" : `, path for routes ${request.path_for_routes}`}`];
}

function routeLines({ routes, upstream, outcome }: Explained, paint: Paint): string[] {
  const width = widest(routes.map(({ label }) => label));
  const lines = routes.map(({ label, upstream: to, failed }) => {
    if (failed === null) return `${paint("green", "✓")} ${label.padEnd(width)}  → ${to}`;
    return paint("dim", `✗ ${label.padEnd(width)}  ${missed(failed)}`);
  });
  if (upstream !== null && outcome.route === null) lines.push(`${paint("green", "✓")} ${"the listener's own upstream".padEnd(width)}  → ${upstream.name}`);
  return lines;
}

function upstreamLines(upstream: ExplainedUpstream, spoken: string): string[] {
  const { name, policy, protocol, open_requests: open, queue, breaker, key, sticky, tiers, targets, targets_left_out: leftOut } = upstream;
  const several = tiers.length > 1;
  const lines = [`${name}: ${policy}, ${spoken === "http" ? `${protocol}, ` : ""}${targets.length + leftOut} targets of which ${tiers.reduce((sum, { load, usable }) => sum + (load > 0 ? usable : 0), 0)} may be used, ${open} open`];
  for (const { tier, load, note, policy_note: why, next, healthy, wanted } of tiers) {
    const who = several ? `tier ${tier}: ` : "";
    if (several || note !== "") lines.push(`${who}${percent(load)}, ${healthy} of ${wanted} healthy${note === "" ? "" : `; ${note}`}`);
    if (why !== "") lines.push(`${who}${why}`);
    if (next.length > 1) lines.push(`${who}next ${next.length}: ${next.join(" ")}`);
  }
  if (sticky !== null) lines.push(`sticky cookie ${sticky.cookie}: ${sticky.note}${sticky.target === null ? "" : ` (${sticky.target})`}`);
  if (policy.includes("hash")) lines.push(`hash key: ${key.of}${key.value === null ? ", which the request does not have" : ` = ${quoted(key.value)}`}`);
  if (breaker !== null) lines.push(`circuit breaker ${breaker.state}${breaker.admits === "no" ? `, lets nobody through for ${duration(breaker.retry_after_ms!)}` : breaker.admits === "probe" ? ", would let it through to try" : ""}`);
  if (queue.size > 0 && targets.some(({ limit }) => limit !== null)) lines.push(`queue: ${queue.waiting} of ${queue.size} wait, for at most ${duration(queue.timeout_ms)}`);
  return lines;
}

function targetLines({ targets, targets_left_out: leftOut }: ExplainedUpstream, paint: Paint, now: number): string[] {
  const shown = targets.slice(0, MOST_ROWS);
  const rows = shown.map((target) => [
    target.attempt === 1 ? "▸" : target.usable ? " " : "✗",
    target.address,
    `weight ${brief(target.weight)}${target.share < 1 ? ` of ${brief(target.configured_weight)}` : ""}`,
    `${target.open_requests}${target.limit === null ? "" : `/${target.limit}`} open`,
    target.latency_ms === null ? "-" : duration(target.latency_ms),
    target.probability === null ? "" : percent(target.probability),
  ]);
  const widths = [0, 1, 2, 3, 4, 5].map((column) => widest(rows.map((row) => row[column]!)));
  const lines = rows.map((row, index) => {
    const target = shown[index]!;
    const cells = row.map((cell, column) => (column > 2 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!))).filter((_, column) => widths[column]! > 0);
    const line = `${cells.join("  ")}  ${target.usable ? target.note : whyNot(target, now)}`.trimEnd();
    return target.attempt === 1 ? paint("green", line) : target.usable ? line : paint("dim", line);
  });
  const hidden = targets.length - shown.length + leftOut;
  return hidden > 0 ? [...lines, `… and ${hidden} more${leftOut > 0 ? "" : " (--json has them)"}`] : lines;
}

/** With what checks and ejection say. */
function whyNot({ why_not: why, since, check, ejected, note }: ExplainedTarget, now: number): string {
  return why
    .map((reason) => {
      if (reason === "down") return `down${since === null ? "" : ` for ${duration(now - Date.parse(since))}`}${check === null || check.ok ? "" : `: ${check.reason}`}`;
      if (reason === "ejected" && ejected !== null) return `ejected by ${ejected.detector} for another ${duration(Math.max(0, Date.parse(ejected.until) - now))}${ejected.times > 1 ? ` (${ejected.times} times so far)` : ""}`;
      return reason;
    })
    .concat(note.startsWith("choice ") ? [note.split(":", 1)[0]!] : [])
    .join("; ");
}

function failureLines({ applies, outcome }: Explained, { order, retries_open: open, retries_allowed: allowed }: ExplainedUpstream): string[] {
  if (applies === null || outcome.kind === "refused") return [];
  const { further_attempts: further, connect_attempts: connects, on, note, backoff_ms: pause, backoff_max_ms: most } = applies.retries;
  const then = order.slice(1);
  const lines = then.length > 0 ? [`then ${then.slice(0, MOST_NAMES).join(", ")}${then.length > MOST_NAMES ? `, and ${then.length - MOST_NAMES} more` : ""}`] : [];
  if (connects > 1) lines.push(`where it cannot connect: the next one at once, up to ${connects} in all`);
  if (on.length === 0) lines.push(connects > 1 ? "whatever else happens: not again" : "it is not tried again");
  else lines.push(`${further} further ${further === 1 ? "attempt" : "attempts"} on ${on.join(", ")}; the budget has ${Math.max(0, allowed - open)} of ${allowed} left; pauses up to ${duration(pause)}, later ${duration(most)}`);
  if (note !== "") lines.push(note);
  const { hedge } = applies;
  if (hedge !== null) lines.push(hedge.after_ms === null ? `no hedge: ${hedge.note}` : `a second one beside it when there is no answer after ${duration(hedge.after_ms)} (the time of ${hedge.percentile} % of the requests)`);
  return lines;
}

function timeoutLines({ timeouts }: NonNullable<Explained["applies"]>, protocol: string): string[] {
  const named = [
    ["connect", timeouts.connect_ms],
    ["answer", timeouts.response_ms],
    ["each attempt", timeouts.attempt_ms],
    ["body", timeouts.body_ms],
    [protocol === "http" ? "pooled connection" : "silence", timeouts.idle_ms],
    ["all of it", timeouts.request_ms],
  ] as const;
  return [named.flatMap(([name, value]) => (value === 0 ? [] : [`${name} ${duration(value)}`])).join(", ")];
}

function limitLines({ limits }: NonNullable<Explained["applies"]>): string[] {
  return [`head ${bytes(limits.header_bytes)} and ${limits.header_count} fields, request line ${bytes(limits.request_line_bytes)}, body ${limits.body_bytes === 0 ? "of any size" : bytes(limits.body_bytes)}; head of the reply ${bytes(limits.reply_header_bytes)}`];
}

function sentLines({ request_line: line, host, added, removed, note }: NonNullable<Explained["forwarded"]>, paint: Paint): string[] {
  const lines = [line, `Host: ${host}`, ...removed.map((field) => paint("red", `- ${field}`)), ...added.filter((field) => field !== `Host: ${host}`).map((field) => paint("green", `+ ${field}`))];
  return note === "" ? lines : [...lines, paint("dim", note)];
}

/** Two units at most. */
function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${brief(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${brief(milliseconds / 1000)} s`;
  const minutes = Math.floor(milliseconds / 60_000);
  if (minutes < 60) return `${minutes} min${milliseconds % 60_000 < 1000 ? "" : ` ${Math.floor((milliseconds % 60_000) / 1000)} s`}`;
  return minutes < 2880 ? `${Math.floor(minutes / 60)} h${minutes % 60 === 0 ? "" : ` ${minutes % 60} min`}` : `${Math.floor(minutes / 1440)} days`;
}

function brief(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function percent(share: number): string {
  return `${brief(share * 100)} %`;
}

function bytes(size: number): string {
  if (size >= 1024 ** 2) return `${brief(size / 1024 ** 2)} MiB`;
  return size >= 1024 ? `${brief(size / 1024)} KiB` : `${size} B`;
}

function quoted(text: string): string {
  return text === "" ? '""' : text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function widest(texts: readonly string[]): number {
  return texts.reduce((most, text) => Math.max(most, text.length), 0);
}
