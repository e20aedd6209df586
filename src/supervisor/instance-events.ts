/** What happens to the instance as a whole, in the words of the timeline. */
import type { CertificateStatus } from "../admin/certificates.ts";
import type { Snapshot, TargetConfig } from "../config/snapshot.ts";
import type { EventKind } from "../observability/event-kind.ts";
import type { Chronicle, Timeline } from "../observability/timeline.ts";

/** @param how this supervisor came to serve */
export function tellStarted(chronicle: Chronicle, { generation, listeners, upstreams }: Snapshot, workers: number, how: "started" | "taken-over" | "upgraded"): void {
  const words = { "started": "Started", "taken-over": "Took over from a supervisor that died", "upgraded": "Took over from the binary before" }[how];
  const cause = how === "upgraded" ? (chronicle.latest("", "", "upgrade")?.id ?? 0) : 0;
  chronicle.record({ kind: how, summary: `${words}: ${counted(listeners.length, "listener")}, ${counted(upstreams.length, "upstream")}, ${counted(workers, "worker")}, configuration ${generation}`, by: "supervisor", cause });
}

/** What begins with these, and ends with the supervisor that knew of it. */
const ENDINGS: Readonly<Partial<Record<EventKind, EventKind>>> = { "ejected": "ejection-over", "panic": "panic-over", "circuit-open": "circuit-closed", "circuit-half-open": "circuit-closed" };

/** After a restore, and before anything is found out anew: what the supervisor before us did not see the end of. */
export function tellForgotten(timeline: Timeline): void {
  const kinds = [...new Set(Object.entries(ENDINGS).flat())] as EventKind[];
  const seen = new Set<string>();
  for (const { id, upstream, target, kind } of timeline.query({ kinds, limit: Number.POSITIVE_INFINITY })) {
    const ending = ENDINGS[kind];
    const key = `${upstream} ${target} ${ending ?? kind}`;
    if (seen.has(key)) continue;
    seen.add(key);
    if (ending !== undefined) timeline.record({ kind: ending, upstream, target, summary: "Over: the supervisor that knew of it has ended, and this one begins anew", by: "supervisor", cause: id });
  }
}

export function tellUpgradeFailed(chronicle: Chronicle, why: string): void {
  chronicle.record({ kind: "upgrade-failed", summary: `Upgrade failed, this binary serves on: the new one ${why}`, by: "supervisor", cause: chronicle.latest("", "", "upgrade")?.id ?? 0 });
}

export function tellRenewed(chronicle: Chronicle, certificates: readonly CertificateStatus[]): void {
  const good = certificates.map(({ names, notAfter }) => `${names.join(", ")} until ${notAfter}`);
  // What put the file there may have been told of already.
  const cause = chronicle.latest("", "", "certificate-renewed", "certificate-failed")?.id ?? 0;
  chronicle.record({ kind: "certificate-renewed", summary: `Certificates served anew from their files: ${good.join("; ")}`, by: "config", cause });
}

export function tellUnrenewed(chronicle: Chronicle, reasons: readonly string[]): void {
  for (const reason of reasons) chronicle.record({ kind: "certificate-failed", summary: `A certificate cannot be renewed, the one before serves on: ${reason}`, by: "config" });
}

interface Place {
  readonly upstream: string;
  readonly target: TargetConfig;
}

interface Difference {
  readonly joined: readonly Place[];
  readonly left: readonly Place[];
  readonly weighed: readonly (Place & { readonly before: number })[];
}

/** A configuration is in force that somebody brought. @param by who did */
export function tellApplied(chronicle: Chronicle, before: Snapshot, after: Snapshot, by: string): void {
  const difference = between(before, after);
  const { joined, left, weighed } = difference;
  const { generation, listeners, upstreams } = after;
  const moves = [
    [joined.length, "joined"],
    [left.length, "left"],
    [weighed.length, "with another weight"],
  ] as const;
  const told = moves.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  const targets = upstreams.reduce((sum, upstream) => sum + upstream.targets.length, 0);
  const summary = `Configuration ${generation} applied: ${counted(listeners.length, "listener")}, ${counted(upstreams.length, "upstream")}, ${counted(targets, "target")}${told.length === 0 ? "" : ` (${told.join(", ")})`}`;
  const cause = chronicle.record({ kind: "config-applied", summary, by });
  tell(chronicle, difference, () => ({ cause, by }));
}

/** What targets that join or leave by themselves say of it. */
const COMINGS_AND_GOINGS = ["registered", "deregistered", "instance-started", "instance-serving", "instance-ended", "instance-stopped"] as const satisfies readonly EventKind[];

/** Targets have joined or left by themselves: what was told of that last says why. */
export function tellMoved(chronicle: Chronicle, before: Snapshot, after: Snapshot): void {
  tell(chronicle, between(before, after), (upstream, target) => {
    const last = chronicle.latest(upstream, target, ...COMINGS_AND_GOINGS) ?? chronicle.latest(upstream, target);
    return { cause: last?.id ?? 0, by: last?.by ?? "" };
  });
}

/** People have added, removed or weighed targets. @param by who did, and 0 or the event that says so */
export function tellSteered(chronicle: Chronicle, before: Snapshot, after: Snapshot, by: (upstream: string, target: string) => Because): void {
  tell(chronicle, between(before, after), by);
}

/** A configuration was not taken. */
export function tellRejected(chronicle: Chronicle, { generation }: Snapshot, errors: readonly string[], by: string): void {
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : "";
  chronicle.record({ kind: "config-rejected", summary: `Configuration rejected, ${generation} serves on: ${errors[0] ?? "no reason is known"}${more}`, by });
}

interface Because {
  readonly cause: number;
  readonly by: string;
}

function tell(chronicle: Chronicle, { joined, left, weighed }: Difference, why: (upstream: string, target: string) => Because): void {
  const record = (kind: "joined" | "left" | "weight", place: Place, summary: string): void => void chronicle.record({ kind, upstream: place.upstream, target: place.target.name, summary, ...why(place.upstream, place.target.name) });
  for (const place of left) record("left", place, "Left the configuration");
  for (const place of joined) record("joined", place, `Joined with weight ${place.target.weight}`);
  for (const place of weighed) record("weight", place, `Weight ${place.target.weight}, before ${place.before}`);
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function between(before: Snapshot, after: Snapshot): Difference {
  const then = placesOf(before);
  const now = placesOf(after);
  const weighed = [...now].flatMap(([key, place]) => {
    const weight = then.get(key)?.target.weight;
    return weight === undefined || weight === place.target.weight ? [] : [{ ...place, before: weight }];
  });
  return { joined: [...now].filter(([key]) => !then.has(key)).map(([, place]) => place), left: [...then].filter(([key]) => !now.has(key)).map(([, place]) => place), weighed };
}

function placesOf({ upstreams }: Snapshot): Map<string, Place> {
  return new Map(upstreams.flatMap(({ name, targets }) => targets.map((target) => [`${name} ${target.name}`, { upstream: name, target }] as const)));
}
