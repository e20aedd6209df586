/** What people do with targets: `PUT /v1/upstreams/{upstream}/targets/{target}/state`. */
import { z } from "zod";
import type { Snapshot } from "../config/snapshot.ts";
import type { Rotation } from "../health/rotation.ts";
import { byCaller } from "./access.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { targetOf } from "./named.ts";

/** What is changed, and under whose eyes. */
export interface Changeable {
  readonly snapshot: Snapshot;
  readonly rotation: Rotation;
  /** A person has changed a target's state. */
  readonly changed: () => void;
}

/** What people do is known to the rotation by this name. */
export const ADMIN = "admin";

/** Take a target out, or bring it back. @param by who does, for the timeline */
export function withdraw(rotation: Rotation, slot: number, state: "ready" | "drain" | "maint", by = ADMIN): void {
  rotation.setMode(slot, ADMIN, state, by);
}

/** @param subject as it is at the time of each call */
export function targetEndpoints(subject: () => Changeable): Endpoint[] {
  return [
    endpoint({
      method: "PUT",
      path: "/v1/upstreams/{upstream}/targets/{target}/state",
      summary: "Drain a target, take it out of service, or bring it back.",
      access: "steer",
      body: z.strictObject({ state: z.enum(["ready", "drain", "maint"], { error: 'the body is {"state": "ready"}, "drain" or "maint"' }) }),
      answers: { 200: { description: "What follows for its state.", schema: z.object({ target: z.string(), state: z.string(), share: z.number() }) } },
      handle: ({ names: { upstream, target: address }, body: { state }, caller }) => {
        const { snapshot, rotation, changed } = subject();
        const target = targetOf(snapshot, upstream!, address!);
        withdraw(rotation, target.slot, state, byCaller(caller));
        changed();
        return { target: address, ...rotation.status(target.slot) };
      },
    }),
  ];
}
