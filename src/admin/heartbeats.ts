/** What back ends say of themselves: `PUT` and `DELETE /v1/upstreams/{upstream}/targets/{target}/heartbeat`. */
import { z } from "zod";
import { parseDuration } from "../config/values.ts";
import { type Beat, BeatRefused, type Heartbeats } from "../health/heartbeats.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { Problem } from "./problem.ts";
import { jsonResponse } from "./json.ts";

/** As of a configured weight. */
const MAX_CAPACITY = 1_000;
/** In ms. */
const LEAST_TTL = 100;
const MOST_TTL = 86_400_000;
const STATUS = { unknown: 404, "not-allowed": 409, forbidden: 403 } as const;
const PATH = "/v1/upstreams/{upstream}/targets/{target}/heartbeat";

/** A number is seconds. */
const ttl = z.union([z.number(), z.string()], { error: 'ttl is a duration, as 15 (seconds) or "15s"' }).transform((value, context) => {
  const milliseconds = typeof value === "number" ? value * 1000 : parseDuration(value);
  if (milliseconds !== undefined && milliseconds >= LEAST_TTL && milliseconds <= MOST_TTL) return milliseconds;
  context.addIssue({ code: "custom", message: 'ttl is a duration from 0.1 s to a day, as 15 (seconds) or "15s"' });
  return z.NEVER;
});

const beat = z.strictObject({
  ttl: ttl.optional(),
  capacity: z.number({ error: `capacity is a number from 0 to ${MAX_CAPACITY}` }).min(0).max(MAX_CAPACITY, { error: `capacity is a number from 0 to ${MAX_CAPACITY}` }).optional(),
  zone: z.string({ error: "zone is a text" }).optional(),
  draining: z.boolean({ error: "draining is true or false" }).optional(),
});

export function heartbeatEndpoints(heartbeats: Heartbeats): Endpoint[] {
  return [
    endpoint({
      method: "PUT",
      path: PATH,
      summary: "A back end says that it is there, how long that is good, and what it can take.",
      access: "heartbeat",
      body: beat,
      answers: { 200: { description: "It was known.", schema: z.object({ ttl: z.number() }) }, 201: { description: "It has joined.", schema: z.object({ ttl: z.number() }) } },
      handle: ({ names: { upstream, target }, body }) => {
        const said = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as Beat;
        try {
          const { joined, ttl: good } = heartbeats.beat(upstream!, target!, said);
          return jsonResponse({ ttl: good / 1000 }, { status: joined ? 201 : 200 });
        } catch (error) {
          if (error instanceof BeatRefused) throw new Problem(STATUS[error.reason], error.message);
          throw error;
        }
      },
    }),
    endpoint({
      method: "DELETE",
      path: PATH,
      summary: "A back end says good-bye.",
      access: "heartbeat",
      answers: { 204: { description: "It gets no more requests." } },
      handle: ({ names: { upstream, target } }) => {
        if (!heartbeats.leave(upstream!, target!)) throw new Problem(404, `${target} has sent no heartbeat to upstream "${upstream}"`);
        return new Response(null, { status: 204 });
      },
    }),
  ];
}
