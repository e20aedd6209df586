/** What is different between two configurations, key by key, by what is in force and not by how it is written. Secrets are told as such. */
import { z } from "zod";
import { routeLabel } from "../routing/router.ts";
import { routesOf } from "./compile/route.ts";
import { type Effective, filledTarget, isTable, type Table } from "./effective.ts";
import { configSchema, unwrapped } from "./schema.ts";
import { redacted } from "./secret-keys.ts";

export interface KeyChange {
  /** `timeouts.connect`, within what it is told of. */
  readonly key: string;
  /** As it is written; null: absent. */
  readonly from: unknown;
  readonly to: unknown;
}

/** Something with a name that is in both. */
export interface Changed {
  readonly name: string;
  readonly keys: readonly KeyChange[];
}

/** Names; a target's is its address, a route's its label. */
export interface Items<T extends Changed = Changed> {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly T[];
}

export interface ChangedUpstream extends Changed {
  readonly targets: Items;
}

export interface ConfigDiff {
  /** Of the top of the file. */
  readonly settings: readonly KeyChange[];
  readonly listeners: Items;
  /** The first that matches wins, so their order counts. */
  readonly routes: Items & { readonly reordered: boolean };
  readonly upstreams: Items<ChangedUpstream>;
}

type Named = ReadonlyMap<string, Table>;

export function diffConfigs(before: Effective, after: Effective): ConfigDiff {
  const { shape } = configSchema;
  const { listeners: _listeners, routes: _routes, upstreams: _upstreams, ...top } = before;
  const { listeners: _listenersAfter, routes: _routesAfter, upstreams: _upstreamsAfter, ...topAfter } = after;
  const upstreamType = elementOf(shape.upstreams);
  const targetType = elementOf(fieldOf(upstreamType, "targets"));
  return {
    settings: keyChanges(configSchema, top, topAfter, ["top"]),
    listeners: items(named(before.listeners, nameOf), named(after.listeners, nameOf), (a, b) => ({ keys: keyChanges(elementOf(shape.listeners), a, b, ["listeners"]) })),
    routes: routeChanges(labelled(before.routes), labelled(after.routes), elementOf(shape.routes)),
    upstreams: items(named(before.upstreams, nameOf), named(after.upstreams, nameOf), (a, b): Omit<ChangedUpstream, "name"> => {
      const { targets, ...own } = a as Effective["upstreams"][number];
      const { targets: targetsAfter, ...ownAfter } = b as Effective["upstreams"][number];
      return {
        keys: keyChanges(upstreamType, own, ownAfter, ["upstreams"]),
        targets: items(named(targets, addressOf), named(targetsAfter, addressOf), (from, to) => ({ keys: keyChanges(targetType, filledTarget(from), filledTarget(to), ["targets"]) })),
      };
    }),
  };
}

/** Of a table; unknown keys are anything. */
function fieldOf(table: z.core.$ZodType, key: string): z.core.$ZodType {
  const { shape } = unwrapped(table) as z.ZodObject;
  return (shape as Readonly<Record<string, z.core.$ZodType>>)[key] ?? z.unknown();
}

function elementOf(array: z.core.$ZodType): z.core.$ZodType {
  return (unwrapped(array) as z.ZodArray).element;
}

const nameOf = (table: Table): string => String(table["name"]);
const addressOf = (table: Table): string => String(table["address"]);

function labelled(routes: readonly Table[]): Named {
  const labels = routesOf(routes as unknown as Parameters<typeof routesOf>[0]).map(routeLabel);
  return new Map(routes.map((route, index) => [labels[index]!, route]));
}

function named(tables: readonly Table[], name: (table: Table) => string): Named {
  return new Map(tables.map((table) => [name(table), table]));
}

function items<T extends Changed>(before: Named, after: Named, compare: (a: Table, b: Table) => Omit<T, "name">): Items<T> {
  const changed = [...after].flatMap(([name, b]) => {
    const a = before.get(name);
    if (a === undefined || Bun.deepEquals(a, b)) return [];
    const item = { name, ...compare(a, b) } as unknown as T & Partial<ChangedUpstream>;
    return item.keys.length > 0 || (item.targets !== undefined && !isEmpty(item.targets)) ? [item as T] : [];
  });
  return { added: [...after.keys()].filter((name) => !before.has(name)), removed: [...before.keys()].filter((name) => !after.has(name)), changed };
}

function routeChanges(before: Named, after: Named, type: z.core.$ZodType): ConfigDiff["routes"] {
  const order = (names: Named, others: Named): string => JSON.stringify([...names.keys()].filter((name) => others.has(name)));
  return { ...items(before, after, (a, b) => ({ keys: keyChanges(type, a, b, ["routes"]) })), reordered: order(before, after) !== order(after, before) };
}

/** A table that is on one side only is one change; of one that is on both each key is. @param at what it is, and the keys that lead to it */
function keyChanges(type: z.core.$ZodType, before: unknown, after: unknown, at: readonly string[]): KeyChange[] {
  if (Bun.deepEquals(before, after)) return [];
  if (isTable(before) && isTable(after) && unwrapped(type) instanceof z.ZodObject) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) => keyChanges(fieldOf(type, key), before[key], after[key], [...at, key]));
  }
  const shown = (value: unknown): unknown => redacted(value, at) ?? null;
  return meansTheSame(type, before, after) ? [] : [{ key: at.slice(1).join("."), from: shown(before), to: shown(after) }];
}

/** "5s" and "5000ms" do. */
function meansTheSame(type: z.core.$ZodType, a: unknown, b: unknown): boolean {
  const [one, other] = [z.safeParse(type, a), z.safeParse(type, b)];
  return one.success && other.success && Bun.deepEquals(one.data, other.data);
}

function isEmpty({ added, removed, changed }: Items): boolean {
  return added.length + removed.length + changed.length === 0;
}

export function isUnchanged({ settings, listeners, routes, upstreams }: ConfigDiff): boolean {
  return settings.length === 0 && isEmpty(listeners) && isEmpty(routes) && !routes.reordered && isEmpty(upstreams);
}

/** A sentence for each change. */
export function inWords({ settings, listeners, routes, upstreams }: ConfigDiff): string[] {
  return [
    ...settings.map(keyInWords),
    ...itemsInWords("listener", listeners),
    ...itemsInWords("route", routes),
    ...(routes.reordered ? ["routes are in another order"] : []),
    ...itemsInWords("upstream", upstreams),
    ...upstreams.changed.flatMap(({ name, targets }) => itemsInWords(`upstream "${name}": target`, targets)),
  ];
}

function itemsInWords(what: string, { added, removed, changed }: Items): string[] {
  return [
    ...added.map((name) => `${what} "${name}" is added`),
    ...removed.map((name) => `${what} "${name}" is removed`),
    ...changed.flatMap(({ name, keys }) => keys.map((change) => `${what} "${name}": ${keyInWords(change)}`)),
  ];
}

function keyInWords({ key, from, to }: KeyChange): string {
  const word = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));
  if (from === null) return `${key} is set to ${word(to)}`;
  if (to === null) return `${key} ${word(from)} is taken away`;
  return word(from) === word(to) ? `${key} is another one` : `${key} ${word(from)} → ${word(to)}`;
}

/** `+` added, `-` removed, `~` changed, in one line: "upstreams ~1, targets +2 -1"; "nothing has changed". */
export function inShort({ settings, listeners, routes, upstreams }: ConfigDiff): string {
  const count = (what: string, added: number, removed: number, changed: number): string[] => {
    const parts = [added > 0 ? `+${added}` : "", removed > 0 ? `-${removed}` : "", changed > 0 ? `~${changed}` : ""].filter(Boolean);
    return parts.length === 0 ? [] : [`${what} ${parts.join(" ")}`];
  };
  const of = (what: string, { added, removed, changed }: Items): string[] => count(what, added.length, removed.length, changed.length);
  const targets = upstreams.changed.map((upstream) => upstream.targets);
  const sum = (key: keyof Items): number => targets.reduce((total, each) => total + each[key].length, 0);
  const all = [
    ...count("settings", 0, 0, settings.length),
    ...of("listeners", listeners),
    ...of("routes", routes),
    ...(routes.reordered ? ["routes reordered"] : []),
    ...count("upstreams", upstreams.added.length, upstreams.removed.length, upstreams.changed.filter(({ keys }) => keys.length > 0).length),
    ...count("targets", sum("added"), sum("removed"), sum("changed")),
  ];
  return all.length === 0 ? "nothing has changed" : all.join(", ");
}
