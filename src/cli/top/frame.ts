/** What `fairlead top` shows, as lines of text. Knows nothing of terminals but their size. */
import { clock, count, milliseconds, percent, plural, rate, span } from "../../view/format.ts";
import { byLevel, errorShare, targetHealth, upstreamHealth } from "../../view/health.ts";
import type { Overview, TargetView, UpstreamView } from "../../view/shapes.ts";
import { type Column, columns } from "../columns.ts";
import type { Paint } from "../paint.ts";
import { findingLines, STYLES, totalsLine, UPSTREAM_COLUMNS } from "../status.ts";

export const SORTS = ["state", "name", "rate", "errors", "p99", "open"] as const;
export type Sort = (typeof SORTS)[number];

export interface View {
  readonly of: "upstreams" | "targets";
  readonly sort: Sort;
  readonly reversed: boolean;
  /** Rows that are above the screen. */
  readonly scrolled: number;
  readonly paused: boolean;
  /** Why nothing new comes, and since when (wall-clock ms). */
  readonly lost: { readonly why: string; readonly since: number } | undefined;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

type TargetRow = TargetView & { readonly upstream: string };

const TARGET_COLUMNS: readonly Column<TargetRow>[] = [
  { title: "UPSTREAM", text: ({ upstream }) => upstream, least: 6 },
  { title: "TARGET", text: ({ address }) => address, least: 21 },
  { title: "STATE", text: (target) => targetHealth(target).word, style: (target) => STYLES[targetHealth(target).level], least: 6 },
  { title: "REQ/S", text: ({ rate: perSecond }) => rate(perSecond), right: true },
  { title: "ERRORS", text: (target) => percent(errorShare(target)), right: true },
  { title: "P50", text: ({ p50_ms }) => milliseconds(p50_ms), right: true, optional: true },
  { title: "P99", text: ({ p99_ms }) => milliseconds(p99_ms), right: true },
  { title: "OPEN", text: ({ open_requests }) => count(open_requests), right: true, optional: true },
  { title: "WEIGHT", text: ({ weight, share }) => (share === 1 ? String(weight) : `${weight}·${percent(share).replace(" ", "")}`), right: true, optional: true },
];

/** Findings that are shown at most. */
const MOST_FINDINGS = 3;
const KEYS = "q quit  u upstreams  t targets  sort: s n r e p o  i invert  space hold";

/** @param size undefined: all of it, however long */
export function frame(overview: Overview, view: View, size: Size | undefined, paint: Paint): string[] {
  const width = size?.width ?? Number.POSITIVE_INFINITY;
  const { instance } = overview;
  const cut = (text: string): string => (text.length > width ? `${text.slice(0, width - 1)}…` : text);
  const state = view.lost === undefined ? (view.paused ? "held" : clock(Date.now())) : `LOST since ${clock(view.lost.since)}`;
  const findings = findingLines(overview, (_, text) => text);
  const shown = size === undefined ? findings : findings.slice(0, MOST_FINDINGS);
  const head = [
    paint("bold", cut(`Fairlead ${instance.version}  generation ${instance.generation}  up ${span(Date.now() - Date.parse(instance.started_at))}  ${plural(instance.workers.length, "worker")}  ${state}`)),
    cut(totalsLine(overview)),
    ...(view.lost === undefined ? [] : [paint("red", cut(view.lost.why))]),
    ...shown.map((line) => paint(line.startsWith("BROKEN") ? "red" : line.startsWith("look at") ? "yellow" : line.startsWith("nothing") ? "green" : "cyan", cut(line))),
    ...(findings.length > shown.length ? [paint("dim", cut(`and ${findings.length - shown.length} more: fairlead status has them all`))] : []),
    "",
  ];
  const [title, ...rows] = view.of === "upstreams" ? upstreamLines(overview, view, width, paint) : targetLines(overview, view, width, paint);
  if (size === undefined) return [...head, title!, ...rows];
  const room = Math.max(1, size.height - head.length - 2);
  const from = Math.max(0, Math.min(view.scrolled, rows.length - room));
  const body = rows.slice(from, from + room);
  const place = rows.length > room ? `  ${from + 1}–${from + body.length} of ${rows.length}` : "";
  return [...head, title!, ...body, ...Array.from({ length: room - body.length }, () => ""), paint("dim", cut(`${view.sort}${view.reversed ? " inverted" : ""}${place}  ${KEYS}`))];
}

/** How far one can scroll. */
export function rowCount({ upstreams }: Overview, of: View["of"]): number {
  return of === "upstreams" ? upstreams.length : upstreams.reduce((sum, { targets }) => sum + targets.length, 0);
}

function upstreamLines({ upstreams }: Overview, view: View, width: number, paint: Paint): string[] {
  const health = (upstream: UpstreamView) => upstreamHealth(upstream).level;
  return columns(sorted(upstreams, view, ({ name }) => name, health), UPSTREAM_COLUMNS, width, paint);
}

function targetLines({ upstreams }: Overview, view: View, width: number, paint: Paint): string[] {
  const all = upstreams.flatMap(({ name, targets }) => targets.map((target) => ({ ...target, upstream: name })));
  const health = (target: TargetRow) => targetHealth(target).level;
  return columns(sorted(all, view, ({ upstream, address }) => `${upstream} ${address}`, health), TARGET_COLUMNS, width, paint);
}

function sorted<Row extends UpstreamView | TargetRow>(rows: readonly Row[], { sort, reversed }: View, name: (row: Row) => string, level: (row: Row) => ReturnType<typeof targetHealth>["level"]): Row[] {
  const number = { rate: (row: Row) => row.rate, errors: (row: Row) => errorShare(row), p99: (row: Row) => row.p99_ms ?? -1, open: (row: Row) => row.open_requests };
  const byName = (one: Row, other: Row): number => name(one).localeCompare(name(other), "en", { numeric: true });
  const order = (one: Row, other: Row): number => {
    if (sort === "name") return byName(one, other);
    if (sort === "state") return byLevel(level(one), level(other)) || other.rate - one.rate || byName(one, other);
    return number[sort](other) - number[sort](one) || byName(one, other);
  };
  const ordered = rows.toSorted(order);
  return reversed ? ordered.toReversed() : ordered;
}
