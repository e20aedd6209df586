/** A configuration as it is in force: in the long form, with what was said since, every default written out, and no secrets. Made to be shown and compared. */
import { z } from "zod";
import { type Overrides, overriddenText } from "./overrides.ts";
import { configSchema, defaultOf, unwrapped } from "./schema.ts";
import { redacted } from "./secret-keys.ts";

/** A table as people write it. */
export type Table = { readonly [key: string]: unknown };

export interface Effective extends Table {
  readonly listeners: readonly Table[];
  readonly routes: readonly Table[];
  readonly upstreams: readonly (Table & { readonly name: string; readonly targets: readonly (Table & { readonly address: string })[] })[];
}

/** Tables that say the same when they are absent as when they are empty, and where a listener has them what it inherits. */
const PLAIN: ReadonlySet<string> = new Set(["log", "timeouts", "limits", "http2", "forwarding"]);
const INHERITED = ["timeouts", "limits", "http2", "forwarding"];
const NOTHING: ReadonlySet<string> = new Set();
const TARGETS: ReadonlySet<string> = new Set(["targets"]);
const BACKUP: ReadonlySet<string> = new Set(["backup"]);
const LONG_FORM: ReadonlySet<string> = new Set(["listeners", "routes", "upstreams", "targets", "address", "protocol"]);

/** With its targets' defaults too, and without secrets: to be shown. */
export function shown(all: Effective): unknown {
  return redacted({ ...all, upstreams: all.upstreams.map((upstream) => ({ ...upstream, targets: upstream.targets.map(filledTarget) })) });
}

/** Targets are as they are written, for there may be many: `filledTarget` fills them. @param value that makes a configuration, as it is written */
export function effective(value: unknown, overrides: Overrides = new Map()): Effective {
  const { listeners, routes = [], upstreams = [], ...top } = longForm(value as Table) as Table & { readonly listeners: readonly Table[]; readonly routes?: readonly Table[]; readonly upstreams?: readonly (Table & { readonly name: string })[] };
  const { shape } = configSchema;
  const settings = filled(shape, top, LONG_FORM);
  return {
    ...settings,
    listeners: listeners.map((listener, index) => {
      const inherited = Object.fromEntries(INHERITED.map((key) => [key, { ...(settings[key] as Table), ...tableOf(listener[key]) }]));
      return filled(shapeOf(shape.listeners), { name: `listener-${index + 1}`, ...listener, ...inherited });
    }),
    routes: routes.map((route) => filled(shapeOf(shape.routes), route)),
    upstreams: upstreams.map((upstream) => {
      const { targets = [], ...keys } = overriddenText(upstream, overrides.get(upstream.name)) as Table & { readonly targets?: readonly Table[] };
      return { ...filled(shapeOf(shape.upstreams), keys, TARGETS), targets };
    }) as unknown as Effective["upstreams"],
  };
}

const TARGET = shapeOf(shapeOf(configSchema.shape.upstreams)["targets"]!);

/** A backup is said by its priority. */
export function filledTarget({ backup, ...target }: Table): Table {
  return filled(TARGET, { ...target, priority: target["priority"] ?? (backup === true ? 1 : 0) }, BACKUP);
}

/** http2 = false stands for a table. */
function tableOf(value: unknown): Table {
  return typeof value === "boolean" ? { enabled: value } : ((value ?? {}) as Table);
}

/** What `compile/short-form.ts` makes of it, as it is written. */
function longForm(value: Table): Table {
  if (!Array.isArray(value["targets"])) return value;
  const { address, protocol, targets, ...rest } = value;
  const checksByHttp = (targets as readonly Table[]).some(({ health_check_endpoint: path }) => path !== undefined);
  return {
    ...rest,
    listeners: [{ name: "default", address: address ?? "0.0.0.0:80", protocol: protocol ?? "http", upstream: "default", tcp_unavailable: "http-503" }],
    upstreams: [{ name: "default", targets, health_check: { type: checksByHttp ? "http" : "tcp", interval: "5s", rise: 1, fall: 1 } }],
  };
}

type Shape = Readonly<Record<string, z.core.$ZodType>>;

/** Of the tables in an array. */
function shapeOf(type: z.core.$ZodType): Shape {
  const array = unwrapped(type);
  return array instanceof z.ZodArray ? ((unwrapped(array.element) as z.ZodObject).shape as Shape) : {};
}

function filled(shape: Shape, value: Table, without = NOTHING): Table {
  const known = Object.entries(shape).flatMap(([key, type]) => {
    if (without.has(key)) return [];
    const table = unwrapped(type);
    const own = value[key] ?? writtenDefault(type) ?? (PLAIN.has(key) && table instanceof z.ZodObject ? {} : undefined);
    if (own === undefined) return [];
    if (isTable(own) && table instanceof z.ZodObject) return [[key, filled(table.shape as Shape, own)] as const];
    if (Array.isArray(own) && table instanceof z.ZodArray && unwrapped(table.element) instanceof z.ZodObject) return [[key, own.map((each) => filled(shapeOf(type), each as Table))] as const];
    return [[key, own] as const];
  });
  return Object.fromEntries([...known, ...Object.entries(value).filter(([key]) => !(key in shape))]);
}

const defaults = new WeakMap<z.core.$ZodType, { readonly value: unknown }>();

/** Some say in a sentence what depends on more than one key: those are no values. */
function writtenDefault(type: z.core.$ZodType): unknown {
  let known = defaults.get(type);
  if (known === undefined) {
    const value = defaultOf(type);
    defaults.set(type, (known = { value: value !== undefined && z.safeParse(type, value).success ? value : undefined }));
  }
  return known.value;
}

export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
