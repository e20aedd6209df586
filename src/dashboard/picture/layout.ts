/** Where the picture's parts stand: four columns of nodes and the lines between them. Knows nothing of the browser. */
import { plural } from "../../view/format.ts";
import { byLevel, type Health, inRotation, type Level, routeHealth, targetHealth, upstreamHealth, worse } from "../../view/health.ts";
import type { Overview, Rates, RouteView, TargetView, UpstreamView } from "../../view/shapes.ts";
import type { Route } from "../route.ts";

export interface PictureNode {
  readonly id: string;
  readonly title: string;
  /** Beside the word, as "2 of 3 up". */
  readonly note: string;
  readonly health: Health;
  /** Undefined: not known of its kind. */
  readonly rates: Rates | undefined;
  readonly link: Route | undefined;
  /** Stands for others that are not drawn. */
  readonly more: boolean;
  readonly tall: boolean;
  /** Begins a group of this name, where groups are not seen by where they stand. */
  readonly group: string | undefined;
  readonly y: number;
}

export interface PictureEdge {
  readonly id: string;
  /** Of the column that it begins in. */
  readonly column: number;
  readonly from: number;
  readonly to: number;
  readonly level: Level;
  /** Per second; it is drawn as wide as that. */
  readonly rate: number;
}

export interface Picture {
  readonly columns: readonly { readonly name: string; readonly count: number; readonly nodes: readonly PictureNode[] }[];
  readonly edges: readonly PictureEdge[];
  readonly height: number;
  /** A search that finds nothing. */
  readonly empty: boolean;
}

export const TALL = 46;
export const LOW = 26;
const GAP = 8;
const LOW_GAP = 3;
const GROUP_GAP = 14;
/** So many targets are drawn in all, at least so many of each upstream; so many of everything else. */
const MOST_TARGETS = 40;
const LEAST_TARGETS = 4;
const MOST_NODES = 24;

export interface PictureOptions {
  readonly query: string;
  /** Upstreams and columns of which all is to be drawn. */
  readonly unfolded: ReadonlySet<string>;
}

interface Draft extends Omit<PictureNode, "y"> {
  readonly to: readonly string[];
}

export function pictureOf(overview: Overview, { query, unfolded }: PictureOptions): Picture {
  const words = query.trim().toLowerCase();
  const has = (...texts: readonly string[]): boolean => words === "" || texts.some((text) => text.toLowerCase().includes(words));
  const { listeners, routes, upstreams } = overview;

  const directs = listeners.flatMap(({ name, upstream, protocol }) => (upstream === null ? [] : [{ listener: name, upstream, http: protocol === "http" }]));
  const matchingRoutes = routes.filter((route) => has(route.label, route.upstream, ...route.listeners));
  const matchingDirects = directs.filter(({ listener, upstream }) => has(listener, upstream));
  const wanted = (upstream: UpstreamView): boolean =>
    has(upstream.name) || upstream.targets.some(({ address }) => has(address)) || matchingRoutes.some((route) => route.upstream === upstream.name && has(route.label, ...route.listeners)) || matchingDirects.some((direct) => direct.upstream === upstream.name);
  const shownUpstreams = upstreams.filter(wanted);
  const names = new Set(shownUpstreams.map(({ name }) => name));

  const targetsOf = new Map(
    shownUpstreams.map((upstream) => {
      const byName = words === "" ? [] : upstream.targets.filter(({ address }) => has(address));
      return [upstream.name, byName.length > 0 && !has(upstream.name) ? byName : upstream.targets] as const;
    }),
  );
  const each = Math.max(LEAST_TARGETS, Math.floor(MOST_TARGETS / Math.max(1, shownUpstreams.length)));

  const upstreamDrafts = shownUpstreams.map((upstream): Draft => {
    const { name, target_count: all } = upstream;
    return { id: `upstream:${name}`, title: name, note: `${inRotation(upstream)} of ${all} up`, health: upstreamHealth(upstream), rates: upstream, link: { page: "upstream", upstream: name }, more: false, tall: true, group: undefined, to: [] };
  });
  const routeDrafts: Draft[] = routes
    .filter(({ upstream }) => names.has(upstream))
    .map((route) => ({ id: `route:${route.label}`, ...routeTitle(route), health: routeHealth(route), rates: route, link: { page: "upstream", upstream: route.upstream }, more: false, tall: true, group: undefined, to: [`upstream:${route.upstream}`] }));
  // What matches no route goes past the routes: a node of its own, one for each upstream.
  const passing = [...new Set(directs.map(({ upstream }) => upstream))].filter((name) => names.has(name));
  const routed = new Set(routes.flatMap(({ listeners: on }) => (on.length === 0 ? listeners.filter(({ protocol }) => protocol === "http").map(({ name }) => name) : on)));
  for (const upstream of passing) {
    const rest = directs.some((direct) => direct.upstream === upstream && routed.has(direct.listener));
    routeDrafts.push({ id: `direct:${upstream}`, title: rest ? "everything else" : "everything", note: `to ${upstream}`, health: { level: "ok", word: "" }, rates: undefined, link: { page: "upstream", upstream }, more: false, tall: false, group: undefined, to: [`upstream:${upstream}`] });
  }
  const drawnRoutes = new Set(routeDrafts.map(({ id }) => id));
  const listenerDrafts = listeners.flatMap((listener): Draft[] => {
    const to = [
      ...routes.filter(({ listeners: on }) => listener.protocol === "http" && (on.length === 0 || on.includes(listener.name))).map(({ label }) => `route:${label}`),
      ...(listener.upstream === null ? [] : [`direct:${listener.upstream}`]),
    ].filter((id) => drawnRoutes.has(id));
    if (words !== "" && to.length === 0) return [];
    return [{ id: `listener:${listener.name}`, title: listener.name, note: `${listener.address} ${listener.tls ? `${listener.protocol}, tls` : listener.protocol}`, health: routeHealth(listener), rates: listener, link: undefined, more: false, tall: true, group: undefined, to }];
  });

  // The targets stand first; each of the others stands beside the middle of what it leads to.
  const at = new Map<string, number>();
  const edges: PictureEdge[] = [];
  const targetNodes: PictureNode[] = [];
  const upstreamNodes: PictureNode[] = [];
  const upstreamMore = fold(upstreamDrafts, "upstreams", unfolded);
  let y = 0;
  for (const draft of upstreamMore) {
    const upstream = shownUpstreams.find(({ name }) => draft.id === `upstream:${name}`);
    const rows = upstream === undefined ? [] : rowsOf(upstream, targetsOf.get(upstream.name)!, words === "" ? upstream.target_count : targetsOf.get(upstream.name)!.length, unfolded.has(draft.id) ? Number.POSITIVE_INFINITY : each);
    const inner = rows.length * LOW + Math.max(0, rows.length - 1) * LOW_GAP;
    const height = Math.max(inner, TALL);
    const middle = y + height / 2;
    for (const [index, row] of rows.entries()) {
      const top = middle - inner / 2 + index * (LOW + LOW_GAP);
      targetNodes.push({ ...row, group: index === 0 ? upstream!.name : undefined, y: top });
      edges.push({ id: `${draft.id}>${row.id}`, column: 2, from: middle, to: top + LOW / 2, level: row.health.level, rate: row.rates?.rate ?? 0 });
    }
    upstreamNodes.push({ ...draft, y: middle - TALL / 2 });
    at.set(draft.id, middle);
    y += height + GROUP_GAP;
  }
  const dead = new Set(upstreamDrafts.filter(({ health }) => health.level === "bad").map(({ id }) => id));
  const middleNodes = place(fold(routeDrafts, "routes", unfolded), at, edges, 1, dead);
  const firstNodes = place(fold(listenerDrafts, "listeners", unfolded), at, edges, 0, dead);
  const columns = [
    { name: "Listeners", count: listeners.length, nodes: firstNodes },
    { name: "Routes", count: routes.length, nodes: middleNodes },
    { name: "Upstreams", count: upstreams.length, nodes: upstreamNodes },
    { name: "Targets", count: upstreams.reduce((sum, { target_count }) => sum + target_count, 0), nodes: targetNodes },
  ];
  const height = Math.max(TALL, ...columns.flatMap(({ nodes }) => nodes.map((node) => node.y + heightOf(node))));
  return { columns, edges, height, empty: columns.every(({ nodes }) => nodes.length === 0) };
}

/** What tells routes apart first; the rest is beside it. */
function routeTitle({ hosts, path_prefix: path, methods, headers }: RouteView): { readonly title: string; readonly note: string } {
  const [host = "*", ...others] = hosts;
  const notes = [methods.join(", "), others.length === 0 ? "" : `and ${others.join(", ")}`, headers.length === 0 ? "" : `with ${headers.map(({ name }) => name).join(", ")}`];
  return { title: `${host}${path ?? ""}`, note: notes.filter((note) => note !== "").join("; ") };
}

function heightOf({ tall }: { readonly tall: boolean }): number {
  return tall ? TALL : LOW;
}

/** An upstream's targets as rows: those in trouble first, and how many more there are. */
function rowsOf(upstream: UpstreamView, targets: readonly TargetView[], all: number, most: number): Omit<PictureNode, "y">[] {
  const rows = targets
    .map((target): Omit<PictureNode, "y"> => {
      const health = targetHealth(target);
      return { id: `target:${upstream.name}:${target.address}`, title: target.address, note: health.level === "ok" && target.share < 1 ? `${Math.round(target.share * 100)} % of its weight` : "", health, rates: target, link: { page: "target", upstream: upstream.name, target: target.address }, more: false, tall: false, group: undefined };
    })
    // Calm ones stay where the file has them: a row that jumps each second cannot be read.
    .toSorted((one, other) => (targets.length > most ? byLevel(one.health.level, other.health.level) : 0));
  if (rows.length <= most && all <= rows.length) return rows;
  const shown = rows.slice(0, Math.min(most, rows.length));
  const rest = rows.slice(shown.length);
  const level = rest.reduce<Level>((sum, { health }) => worse(sum, health.level), "ok");
  // Of those that are not told either, how many are not up is known all the same.
  const trouble = targets.length < upstream.target_count && all === upstream.target_count ? all - inRotation(upstream) - shown.filter(({ health }) => health.level !== "ok").length : rest.filter(({ health }) => health.level !== "ok").length;
  return [
    ...shown,
    {
      id: `more:upstream:${upstream.name}`,
      title: `and ${plural(all - shown.length, "more", "more")}`,
      note: trouble === 0 ? "all up" : `${trouble} not up`,
      health: { level, word: "" },
      rates: undefined,
      link: { page: "upstream", upstream: upstream.name },
      more: true,
      tall: false,
      group: undefined,
    },
  ];
}

/** The first so many: trouble first, then the busiest, each where it was; one node stands for the rest. */
function fold(drafts: readonly Draft[], name: string, unfolded: ReadonlySet<string>): Draft[] {
  if (drafts.length <= MOST_NODES || unfolded.has(name)) return [...drafts];
  const kept = new Set(drafts.toSorted((one, other) => byLevel(one.health.level, other.health.level) || (other.rates?.rate ?? 0) - (one.rates?.rate ?? 0)).slice(0, MOST_NODES));
  const rest = drafts.filter((draft) => !kept.has(draft));
  const level = rest.reduce<Level>((sum, { health }) => worse(sum, health.level), "ok");
  return [...drafts.filter((draft) => kept.has(draft)), { id: `more:${name}`, title: `and ${rest.length} more ${name}`, note: "", health: { level, word: "" }, rates: undefined, link: undefined, more: true, tall: false, group: undefined, to: [] }];
}

/** Beside what they lead to, in that order, none over another. @param dead what it is no use to lead to */
function place(drafts: readonly Draft[], at: Map<string, number>, edges: PictureEdge[], column: number, dead: ReadonlySet<string>): PictureNode[] {
  const wish = (draft: Draft): number => {
    const ends = draft.to.flatMap((id) => at.get(id) ?? []);
    return ends.length === 0 ? Number.POSITIVE_INFINITY : ends.reduce((sum, end) => sum + end, 0) / ends.length;
  };
  const ordered = drafts.map((draft, index) => ({ draft, index, middle: wish(draft) })).toSorted((one, other) => (one.middle === other.middle ? one.index - other.index : one.middle - other.middle));
  // Several with one wish stand around it.
  let free = 0;
  const nodes: PictureNode[] = [];
  for (let first = 0; first < ordered.length; ) {
    let last = first;
    while (last + 1 < ordered.length && ordered[last + 1]!.middle === ordered[first]!.middle) last++;
    const group = ordered.slice(first, last + 1);
    const room = group.reduce((sum, { draft }) => sum + heightOf(draft) + GAP, -GAP);
    const { middle } = group[0]!;
    let y = Math.max(free, Number.isFinite(middle) ? middle - room / 2 : free);
    for (const { draft } of group) {
      const { to, ...node } = draft;
      nodes.push({ ...node, y });
      const centre = y + heightOf(draft) / 2;
      at.set(draft.id, centre);
      for (const id of to) {
        const end = at.get(id);
        if (end !== undefined) edges.push({ id: `${draft.id}>${id}`, column, from: centre, to: end, level: dead.has(id) ? "bad" : node.health.level, rate: node.rates?.rate ?? 0 });
      }
      y += heightOf(draft) + GAP;
    }
    free = y;
    first = last + 1;
  }
  return nodes;
}
