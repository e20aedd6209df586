/**
 * Every key of the config with its type, range, default and explanation: the top-level ones here, a table's in a file of its own.
 * The JSON Schema for editors is made from this, and so are the defaults: what is not written here does not exist.
 */
import { z } from "zod";
import { admin } from "./schema/admin.ts";
import { exchanges } from "./schema/exchanges.ts";
import { type faultKeys, faults } from "./schema/faults.ts";
import { defaultOf, key } from "./schema/key.ts";
import { forwarding, http2, limits, listener, timeouts } from "./schema/listener.ts";
import { accessLog, log } from "./schema/logs.ts";
import { metrics } from "./schema/metrics.ts";
import { route } from "./schema/route.ts";
import { shortTarget } from "./schema/target.ts";
import { tracing } from "./schema/tracing.ts";
import { duration, listenAddress, name, whole } from "./schema/types.ts";
import { upstream } from "./schema/upstream.ts";

export { tokenFault } from "./schema/admin.ts";
export { DEFAULTS } from "./schema/defaults.ts";
export { faultKeys } from "./schema/faults.ts";
export { defaultOf } from "./schema/key.ts";
export { targetKeys } from "./schema/target.ts";
export { targetAddress } from "./schema/types.ts";
export { policyKeys } from "./schema/upstream.ts";

/** Of a process. */
const owner = z.union([z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?$/, { error: "a user or group is a name, or a number" }), whole(0, 2 ** 32 - 2)]);

export const configSchema = z
  .strictObject({
    workers: key(z.union([z.literal("auto"), whole(1, 256)]), "Data-plane processes; auto: one a core.", "auto"),
    drain_timeout: key(duration, "How long open requests may go on when Fairlead stops.", "30s"),
    max_clients: key(whole(1, 10_000_000), "Client connections over all listeners.", 50_000),
    user: key(owner, "Whom workers, back ends of Fairlead's own and command checks run as when root starts it: a name or a number. The supervisor stays root. Absent: as it was started."),
    group: key(owner, "With user: its group, and the only one; absent: the one that the system has for it."),
    zone: key(name, "Where this instance runs: upstreams with prefer_zone use the targets of that zone first."),
    log: key(log, "The service log."),
    access_log: key(accessLog, "One line a request; absent: none."),
    admin: key(admin, "The admin API; absent: off."),
    tracing: key(tracing, "Requests are traced (OpenTelemetry, W3C Trace Context); absent: they are not, and what clients say of traces goes on as it came."),
    faults: key(faults, "Faults that are injected, to see what becomes of them; absent: none can be."),
    metrics: key(metrics, "What is measured, and how finely."),
    exchanges: key(exchanges, "Which exchanges are kept, with whom they could have gone to and what each attempt came to; they are told on the admin address."),
    timeouts: key(timeouts, "Defaults for every listener."),
    limits: key(limits, "Defaults for every listener."),
    http2: key(http2, "Defaults for every listener."),
    forwarding: key(forwarding, "Defaults for every listener."),
    listeners: key(z.array(listener), "Where clients connect."),
    routes: key(z.array(route), "Which upstream a request goes to; the first match wins."),
    upstreams: key(z.array(upstream), "Groups of targets."),
    address: key(listenAddress, "Short form: where clients connect.", "0.0.0.0:80"),
    protocol: key(z.enum(["http", "tcp"]), "Short form: what clients speak.", "http"),
    targets: key(z.array(shortTarget).min(1, { error: "at least one target is needed" }), "Short form: the addresses to balance over, round robin."),
  })
  .meta({ title: "Fairlead configuration", description: "fairlead.toml: listeners, routes and upstreams; or the short form with [[targets]] only." });

export type RawConfig = z.output<typeof configSchema>;
export type RawListener = z.output<typeof listener>;
export type RawAccessLog = z.output<typeof accessLog>;
export type RawFault = z.output<typeof faultKeys> & { readonly name: string };
export type RawRoute = z.output<typeof route>;
export type RawUpstream = z.output<typeof upstream>;

/** The published JSON Schema, for editors. */
export function jsonSchema(): object {
  const override = ({ zodSchema, jsonSchema: json }: { zodSchema: z.core.$ZodType; jsonSchema: { default?: unknown } }): void => {
    const fallback = defaultOf(zodSchema);
    if (fallback !== undefined) json.default = fallback;
  };
  return { ...z.toJSONSchema(configSchema, { io: "input", target: "draft-7", override }), $id: "fairlead.schema.json" };
}

/** The keys that are known at a path of the config; empty where there is no table. */
export function knownKeys(at: readonly PropertyKey[]): readonly string[] {
  let type: z.core.$ZodType = configSchema;
  for (const step of at) {
    type = unwrapped(type);
    if (type instanceof z.ZodArray) type = type.element;
    else if (type instanceof z.ZodObject) {
      const next = (type.shape as Record<string, z.core.$ZodType>)[String(step)];
      if (next === undefined) return [];
      type = next;
    } else return [];
  }
  type = unwrapped(type);
  return type instanceof z.ZodObject ? Object.keys(type.shape as object) : [];
}

/** Of a table that may also be one word, the table. */
export function unwrapped(type: z.core.$ZodType): z.core.$ZodType {
  if (type instanceof z.ZodOptional) return unwrapped(type.unwrap());
  if (type instanceof z.ZodUnion) return type.options.map(unwrapped).find((option) => option instanceof z.ZodObject) ?? type;
  return type;
}
