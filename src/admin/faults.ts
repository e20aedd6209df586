/** Faults that are injected: `GET`, `PUT` and `DELETE /v1/faults`. */
import { z } from "zod";
import { faultFlaws, faultOf, type FaultScope, toldKeysOf } from "../config/faults.ts";
import { faultKeys } from "../config/schema.ts";
import type { FaultRule } from "../config/snapshot.ts";
import { parseDuration } from "../config/values.ts";
import { byCaller } from "./access.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { Problem } from "./problem.ts";

/** A fault, in force or not. */
export interface ListedFault {
  readonly rule: FaultRule;
  readonly source: "file" | "api";
  /** False: it is in the file, and somebody has ended it. */
  readonly active: boolean;
  /** Who brought it, or ended it, and when, ISO 8601; absent: nobody but the file. */
  readonly told?: { readonly by: string; readonly at: string };
}

/** Who keeps them. Each call resolves when it is in force on all workers. */
export interface FaultSettings {
  /** The configuration lets faults be injected. */
  readonly enabled: boolean;
  readonly list: readonly ListedFault[];
  /** What rules may name. */
  readonly scope: FaultScope;
  /** @param rule with its end @throws Problem */
  inject(rule: FaultRule, by: string): Promise<void>;
  /** @param name undefined: all @returns how many that were @throws Problem 404 */
  end(name: string | undefined, by: string): Promise<number>;
}

/** What is forgotten ends by itself, and soon; in ms. */
export const LONGEST = 3_600_000;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const body = faultKeys.extend({
  for: z
    .string({ error: 'for says when it ends by itself, as "5m"; at most "1h"' })
    .refine((text) => (parseDuration(text) ?? 0) > 0 && parseDuration(text)! <= LONGEST, { error: 'for is a duration up to an hour, as "5m"' })
    .meta({ description: "After this it ends by itself; at most an hour." }),
});

const fault = z.object({
  name: z.string(),
  source: z.enum(["file", "api"]),
  active: z.boolean().meta({ description: "False: it is in the file, and somebody has ended it." }),
  keys: z.record(z.string(), z.unknown()).meta({ description: "As in the configuration file." }),
  until: z.iso.datetime().nullable().meta({ description: "When it ends by itself; null: it does not." }),
  at: z.iso.datetime().nullable().meta({ description: "When somebody brought or ended it; null: it is as the file says." }),
  by: z.string().nullable(),
});

function told({ rule, source, active, told: who }: ListedFault): z.output<typeof fault> {
  return { name: rule.name, source, active, keys: toldKeysOf(rule), until: rule.until === undefined ? null : new Date(rule.until).toISOString(), at: who?.at ?? null, by: who?.by ?? null };
}

/** @param wall wall-clock ms since 1970 */
export function faultEndpoints(settings: FaultSettings, wall: () => number): Endpoint[] {
  const toldOf = (name: string): z.output<typeof fault> => {
    const found = settings.list.find(({ rule }) => rule.name === name);
    if (found === undefined) throw new Problem(404, `there is no fault "${name}"`);
    return told(found);
  };
  return [
    endpoint({
      method: "GET",
      path: "/v1/faults",
      summary: "Faults that are injected, by the file and by people.",
      access: "read",
      answers: { 200: { description: "All of them, in the order in which they are asked.", schema: z.object({ enabled: z.boolean().meta({ description: "The configuration lets faults be injected." }), faults: z.array(fault) }) } },
      handle: () => ({ enabled: settings.enabled, faults: settings.list.map(told) }),
    }),
    endpoint({
      method: "GET",
      path: "/v1/faults/{name}",
      summary: "One of them.",
      access: "read",
      answers: { 200: { description: "It.", schema: fault } },
      handle: ({ names: { name } }) => toldOf(name!),
    }),
    endpoint({
      method: "PUT",
      path: "/v1/faults/{name}",
      summary: "Inject a fault, in the place of one of that name and before all others, until its time is over; needs [faults] enabled = true.",
      access: "steer",
      body,
      answers: { 200: { description: "It is in force on all workers.", schema: fault } },
      handle: async ({ names, body: { for: period, ...keys }, caller }) => {
        const name = names.name!;
        if (!settings.enabled) throw new Problem(409, "faults are not injected here: set [faults] enabled = true in the configuration");
        if (!NAME.test(name)) throw new Problem(422, "a fault's name has up to 64 letters, digits, dots, dashes and underscores, and starts with a letter or digit");
        const rule = { name, ...keys };
        const flaws = faultFlaws(rule, settings.scope);
        const errors = flaws.map(({ key, index, message, hint }) => ({ in: "body", at: [key, index].filter((part) => part !== undefined).join("."), message: hint === undefined ? message : `${message} (${hint})` }));
        if (errors.length > 0) throw new Problem(422, errors.map(({ at, message }) => (at === "" ? message : `${at}: ${message}`)).join("; "), { errors });
        await settings.inject({ ...faultOf(rule), until: wall() + parseDuration(period)! }, byCaller(caller));
        return toldOf(name);
      },
    }),
    ...["/v1/faults", "/v1/faults/{name}"].map((path) =>
      endpoint({
        method: "DELETE",
        path,
        summary: path.endsWith("}") ? "End a fault. One of the file rests until the file says something else of it." : "End all faults. Those of the file rest until it says something else of them.",
        access: "steer",
        answers: { 200: { description: "They are injected no more, on any worker; who waits for one goes on.", schema: z.object({ ended: z.int() }) } },
        handle: async ({ names: { name }, caller }) => ({ ended: await settings.end(name, byCaller(caller)) }),
      }),
    ),
  ];
}
