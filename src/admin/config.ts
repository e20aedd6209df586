/** The configuration over the API: `/v1/config`, `/v1/config/diff`, `/v1/reload`. */
import { z } from "zod";
import type { ConfigDiff } from "../config/diff.ts";
import { byCaller } from "./access.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { jsonResponse } from "./json.ts";

const configError = z.object({ message: z.string(), line: z.int().nullable(), column: z.int().nullable(), hint: z.string().nullable() });
const keyChange = z.object({ key: z.string(), from: z.unknown(), to: z.unknown() });
const touched = { open_clients: z.int().optional(), open_requests: z.int().optional(), open_connections: z.int().optional() };
const removed = z.object({ name: z.string(), ...touched });
const changed = z.object({ name: z.string(), keys: z.array(keyChange), ...touched });
const items = { added: z.array(z.string()), removed: z.array(removed), changed: z.array(changed) };

/** What a configuration would change, or has changed. Names: a target's is its address, a route's its label. */
const diff = z.object({
  changed: z.boolean(),
  summary: z.string().meta({ description: "One line, as `targets +2 -1`." }),
  words: z.array(z.string()).meta({ description: "A sentence for each change." }),
  applies: z.enum(["in_place", "new_workers"]).meta({ description: "Workers go on as they are, or new ones take over and the old ones drain." }),
  settings: z.array(keyChange),
  listeners: z.object(items),
  routes: z.object({ ...items, reordered: z.boolean() }).meta({ description: "open_requests of a route: those of its upstream, so at most." }),
  upstreams: z.object({ ...items, changed: z.array(changed.extend({ targets: z.object(items) })) }),
});

export type DiffReport = z.output<typeof diff>;
export type ConfigError = z.output<typeof configError>;

const state = z.object({
  generation: z.int().meta({ description: "Of what runs now: targets that join and overrides count too." }),
  source: z.enum(["file", "api"]).meta({ description: "api: it came by PUT /v1/config and is in no file; the next reload ends it." }),
  file: z.object({ path: z.string(), changed: z.boolean(), since: z.iso.datetime().nullable(), problem: z.string().nullable() }).nullable().meta({ description: "Does the file on disk say something else than what runs?" }),
  applied: z.object({ generation: z.int(), at: z.iso.datetime(), by: z.string(), summary: z.string() }).meta({ description: "The last configuration that was applied." }),
  rejected: z.object({ at: z.iso.datetime(), by: z.string(), source: z.enum(["file", "api"]).meta({ description: "Of what the errors' lines are." }), errors: z.array(configError) }).nullable().meta({ description: "The last one that was not, when nothing has been applied since." }),
});
const stateWithConfig = state.extend({ config: z.unknown().meta({ description: "In force, in the file's words, with overrides and defaults; secrets are left out." }) });

export type ConfigReport = z.output<typeof state>;

export interface Configurable {
  /** Of the configuration that was applied last; for If-Match. */
  readonly etag: string;
  report(): ConfigReport;
  /** What runs, without secrets. */
  shown(): unknown;
  /** @throws Problem 422, 412, 409 */
  put(text: string, options: { readonly by: string; readonly persist: boolean; readonly ifMatch: string | undefined }): Promise<DiffReport>;
  /** What it would change; nothing does. @param text undefined: the file as it is now @param load policy files too @param ifMatch of which it is to be the next @throws Problem 422, 412 */
  preview(text: string | undefined, load: boolean, ifMatch?: string): Promise<DiffReport>;
  /** @throws Problem 422 */
  reload(by: string): Promise<DiffReport>;
}

const flag = z.enum(["", "true", "false"], { error: "is true or false" }).transform((text) => text !== "false").optional();

export function configEndpoints(config: () => Configurable): Endpoint[] {
  const answered = (body: object, etag: string): Response => jsonResponse(body, { headers: { ETag: etag } });
  const outcome = (report: DiffReport): Response => answered({ ...config().report(), diff: report }, config().etag);
  const applied = { 200: { description: "It is in force on all workers.", schema: state.extend({ diff }) } };
  return [
    endpoint({
      method: "GET",
      path: "/v1/config",
      summary: "What runs, since when and by whom; what was rejected and why; whether the file has changed since.",
      access: "read",
      answers: { 200: { description: "All of it.", schema: stateWithConfig } },
      handle: () => answered({ ...config().report(), config: config().shown() }, config().etag),
    }),
    endpoint({
      method: "PUT",
      path: "/v1/config",
      summary: "Run this configuration (TOML). It is in no file, unless persist is set, and ends with the next reload.",
      access: "configure",
      query: z.strictObject({ dry_run: flag, persist: flag }),
      body: "text",
      answers: { 200: { description: "It is in force on all workers; with dry_run it could be, and nothing has changed.", schema: z.union([state.extend({ diff }), z.object({ dry_run: z.literal(true), diff })]) } },
      handle: async ({ query: { dry_run: dryRun, persist }, body, caller, request }) => {
        const ifMatch = request.headers.get("if-match") ?? undefined;
        if (dryRun === true) return { dry_run: true, diff: await config().preview(String(body), true, ifMatch) };
        return outcome(await config().put(String(body), { by: byCaller(caller), persist: persist === true, ifMatch }));
      },
    }),
    endpoint({
      method: "GET",
      path: "/v1/config/diff",
      summary: "What a reload would change now.",
      access: "read",
      answers: { 200: { description: "The file on disk beside what runs.", schema: diff } },
      handle: () => config().preview(undefined, false),
    }),
    endpoint({
      method: "POST",
      path: "/v1/config/diff",
      summary: "What this configuration (TOML) would change.",
      access: "configure",
      body: "text",
      answers: { 200: { description: "It beside what runs.", schema: diff } },
      handle: ({ body }) => config().preview(String(body), false),
    }),
    endpoint({
      method: "POST",
      path: "/v1/reload",
      summary: "Read the configuration file again and run it.",
      access: "steer",
      answers: applied,
      handle: async ({ caller }) => outcome(await config().reload(byCaller(caller))),
    }),
  ];
}

/** `diff` with what each change touches now. */
export function diffReport({ settings, listeners, routes, upstreams }: ConfigDiff, told: Pick<DiffReport, "changed" | "summary" | "words" | "applies">, touch: { readonly listener: Touch; readonly route: Touch; readonly upstream: Touch; readonly target: (upstream: string, target: string) => Touched }): DiffReport {
  return {
    ...told,
    settings: [...settings],
    listeners: itemsTouched(listeners, touch.listener),
    routes: { ...itemsTouched(routes, touch.route), reordered: routes.reordered },
    upstreams: {
      ...itemsTouched(upstreams, touch.upstream),
      changed: upstreams.changed.map(({ name, keys, targets }) => ({ name, keys: [...keys], ...touch.upstream(name), targets: itemsTouched(targets, (target) => touch.target(name, target)) })),
    },
  };
}

export interface Touched {
  readonly open_clients?: number;
  readonly open_requests?: number;
  readonly open_connections?: number;
}

type Touch = (name: string) => Touched;

function itemsTouched(diffed: ConfigDiff["listeners"], touch: Touch): DiffReport["listeners"] {
  return {
    added: [...diffed.added],
    removed: diffed.removed.map((name) => ({ name, ...touch(name) })),
    changed: diffed.changed.map(({ name, keys }) => ({ name, keys: [...keys], ...touch(name) })),
  };
}
