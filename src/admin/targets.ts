/** What people do with targets and policies: `/v1/upstreams/{upstream}/targets/{target}`, its `state`, `/v1/upstreams/{upstream}/policy`, `/v1/overrides`. */
import { z } from "zod";
import type { PolicyKeys } from "../config/overrides.ts";
import { policyKeys, targetKeys } from "../config/schema.ts";
import type { Snapshot } from "../config/snapshot.ts";
import type { Rotation } from "../health/rotation.ts";
import { byCaller } from "./access.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { targetOf, upstreamOf } from "./named.ts";
import type { Steering, TargetChange } from "./steering.ts";
import { jsonResponse } from "./json.ts";

/** What is changed, and under whose eyes. */
export interface Changeable {
  readonly snapshot: Snapshot;
  readonly rotation: Rotation;
  readonly steering: Steering;
}

/** What people do is known to the rotation by this name. */
const ADMIN = "admin";

/** Take a target out, or bring it back. @param by who does, for the timeline */
export function withdraw(rotation: Rotation, slot: number, state: "ready" | "drain" | "maint", by = ADMIN): void {
  rotation.setMode(slot, ADMIN, state, by);
}

const TARGET = "/v1/upstreams/{upstream}/targets/{target}";
const POLICY = "/v1/upstreams/{upstream}/policy";

/** Each key as in the file; null: as the file says. */
const targetChange = z.strictObject(Object.fromEntries(Object.entries(targetKeys.shape).map(([key, type]) => [key, type.nullable()]))) as unknown as z.ZodType<TargetChange>;
/** As in the file, and kept as it is written. */
const policyChange = z
  .strictObject({ ...policyKeys.shape, policy: z.string({ error: 'the body is {"policy": "p2c"}, or another policy\'s name' }), policy_timeout: z.string().optional(), hash_key: z.string().optional() })
  .superRefine((value, context) => {
    for (const { message, path } of policyKeys.safeParse(value).error?.issues ?? []) context.addIssue({ code: "custom", message, path });
  }) as unknown as z.ZodType<PolicyKeys>;

const targetAnswer = z.object({
  upstream: z.string(),
  target: z.string(),
  generation: z.int().meta({ description: "Which this is in force with, on all workers." }),
  state: z.string(),
  share: z.number().meta({ description: "Of its weight that it gets now." }),
  weight: z.number(),
  zone: z.string(),
  tier: z.int(),
  max_connections: z.int(),
  max_requests: z.int(),
  drain: z.boolean(),
});

const override = z.object({
  upstream: z.string(),
  target: z.string().nullable(),
  what: z.enum(["added", "changed", "removed", "state", "policy"]),
  keys: z.record(z.string(), z.unknown()).meta({ description: "As in the configuration file; of a state { state }." }),
  aside: z.string().nullable().meta({ description: "Null: it is in force; else why it is not." }),
  at: z.iso.datetime(),
  by: z.string(),
});
const overrideList = z.object({ overrides: z.array(override), state_file: z.object({ path: z.string(), problem: z.string().nullable() }).nullable() });

const stateAnswer = z.object({ target: z.string(), state: z.string(), share: z.number() });
const policyAnswer = z.object({ upstream: z.string(), policy: z.string(), generation: z.int() });

/** @param subject as it is at the time of each call */
export function targetEndpoints(subject: () => Changeable): Endpoint[] {
  const told = (upstream: string, address: string): z.output<typeof targetAnswer> => {
    const { snapshot, rotation } = subject();
    const { slot, weight, zone, tier, maxConnections, maxRequests, drain } = targetOf(snapshot, upstream, address);
    const { state, share } = rotation.status(slot);
    return { upstream, target: address, generation: snapshot.generation, state, share, weight, zone, tier, max_connections: maxConnections, max_requests: maxRequests, drain };
  };
  const toldPolicy = (upstream: string): z.output<typeof policyAnswer> => {
    const { snapshot } = subject();
    const { policy } = upstreamOf(snapshot, upstream);
    return { upstream, policy: policy.kind === "builtin" ? policy.name : policy.path, generation: snapshot.generation };
  };
  return [
    endpoint({
      method: "PUT",
      path: TARGET,
      summary: "Add a target, or change what is said of one; keys that are not named stay as they are.",
      access: "steer",
      body: targetChange,
      answers: { 200: { description: "It is changed, on all workers.", schema: targetAnswer }, 201: { description: "It is added, on all workers.", schema: targetAnswer } },
      handle: async ({ names: { upstream, target }, body, caller }) => {
        const { added } = await subject().steering.setTarget(upstream!, target!, body, byCaller(caller));
        return jsonResponse(told(upstream!, target!), { status: added ? 201 : 200 });
      },
    }),
    endpoint({
      method: "DELETE",
      path: TARGET,
      summary: "Remove a target, also one of the file: until it is put back, or the overrides are cleared. What is open to it ends as it began.",
      access: "steer",
      query: z.strictObject({ drain: z.enum(["", "true", "false"], { error: "is true or false" }).transform((text) => text !== "false").optional().meta({ description: "Take no new requests, and remove it when nothing is open to it any more, or its drain_timeout is over." }) }),
      answers: { 202: { description: "It drains, and is removed then.", schema: targetAnswer }, 204: { description: "It is a target no longer, on any worker." } },
      handle: async ({ names: { upstream, target }, query: { drain = false }, caller }) => {
        await subject().steering.removeTarget(upstream!, target!, drain, byCaller(caller));
        return drain ? jsonResponse(told(upstream!, target!), { status: 202 }) : new Response(null, { status: 204 });
      },
    }),
    endpoint({
      method: "PUT",
      path: `${TARGET}/state`,
      summary: "Drain a target, take it out of service, or bring it back.",
      access: "steer",
      body: z.strictObject({ state: z.enum(["ready", "drain", "maint"], { error: 'the body is {"state": "ready"}, "drain" or "maint"' }) }),
      answers: { 200: { description: "What follows for its state.", schema: stateAnswer } },
      handle: async ({ names: { upstream, target: address }, body: { state }, caller }) => {
        await subject().steering.setState(upstream!, address!, state, byCaller(caller));
        const { snapshot, rotation } = subject();
        return { target: address, ...rotation.status(targetOf(snapshot, upstream!, address!).slot) };
      },
    }),
    endpoint({
      method: "PUT",
      path: POLICY,
      summary: "Choose targets by another policy: a built-in one, or a file that the configuration names. Stands in the place of all that the file says of it.",
      access: "steer",
      body: policyChange,
      answers: { 200: { description: "It is in force on all workers.", schema: policyAnswer } },
      handle: async ({ names: { upstream }, body, caller }) => {
        await subject().steering.setPolicy(upstream!, body, byCaller(caller));
        return toldPolicy(upstream!);
      },
    }),
    endpoint({
      method: "DELETE",
      path: POLICY,
      summary: "Choose targets as the file says.",
      access: "steer",
      answers: { 200: { description: "It is in force on all workers.", schema: policyAnswer } },
      handle: async ({ names: { upstream }, caller }) => {
        await subject().steering.setPolicy(upstream!, undefined, byCaller(caller));
        return toldPolicy(upstream!);
      },
    }),
    endpoint({
      method: "GET",
      path: "/v1/overrides",
      summary: "What was said of targets and upstreams over what the file says, by whom and when.",
      access: "read",
      answers: { 200: { description: "All of it.", schema: overrideList } },
      handle: () => {
        const { overrides, stateFile } = subject().steering.list();
        return { overrides, state_file: stateFile };
      },
    }),
    ...["/v1/overrides", "/v1/overrides/{upstream}"].map((path) =>
      endpoint({
        method: "DELETE",
        path,
        summary: path.endsWith("}") ? "Forget what was said of an upstream and its targets: all is as the file says." : "Forget all that was said: all is as the file says.",
        access: "steer",
        answers: { 200: { description: "It is forgotten, on all workers.", schema: z.object({ cleared: z.int(), generation: z.int() }) } },
        handle: async ({ names: { upstream }, caller }) => {
          const cleared = await subject().steering.clear(upstream, byCaller(caller));
          return { cleared, generation: subject().snapshot.generation };
        },
      }),
    ),
  ];
}
