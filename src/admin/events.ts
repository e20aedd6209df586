/** What has happened in the last day: `GET /v1/events`. */
import { z } from "zod";
import { parseDuration } from "../config/values.ts";
import { ALL_EVENT_KINDS } from "../observability/event-kind.ts";
import type { Timeline, TimelineEvent } from "../observability/timeline.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";

/** Events of one answer. */
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;

const eventKind = z.enum(ALL_EVENT_KINDS, { error: ({ input }) => `"${String(input)}" is no kind of event: ${ALL_EVENT_KINDS.join(", ")}` });

/** One event as it is told, here and in the stream. */
const eventSchema = z
  .object({
    id: z.int().meta({ description: "Counts up over all targets." }),
    at: z.iso.datetime(),
    upstream: z.string().meta({ description: "Empty: it is the instance's." }),
    target: z.string().meta({ description: "Empty: it is the upstream's, or the instance's." }),
    kind: eventKind,
    summary: z.string(),
    cause: z.int().nullable().meta({ description: "The event that it follows from, which may be forgotten already; null: none that is known." }),
    by: z.string().meta({ description: 'Who made it happen, as "check", "config", "agent", "heartbeat", "api:NAME"; empty: nobody.' }),
  })
  .meta({ id: "Event" });

export type EventTold = z.output<typeof eventSchema>;

export function eventTold({ id, at, upstream, target, kind, summary, cause, by }: TimelineEvent): EventTold {
  return { id, at: new Date(at).toISOString(), upstream, target, kind, summary, cause: cause === 0 ? null : cause, by };
}

/** A list of one key, as `?kind=down,up`. */
const kinds = z.string().transform((text, context) =>
  text.split(",").map((kind) => {
    const known = eventKind.safeParse(kind);
    if (known.success) return known.data;
    for (const { message } of known.error.issues) context.addIssue({ code: "custom", message });
    return z.NEVER;
  }),
);

/** A moment, or how long ago it was. @returns wall-clock ms */
const since = z.string().transform((text, context) => {
  const ago = parseDuration(text);
  if (ago !== undefined) return Date.now() - ago;
  const at = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(at)) return at;
  context.addIssue({ code: "custom", message: `"${text}" is no time, as 2030-01-31T12:00:00Z, and no duration, as 15m` });
  return z.NEVER;
});

function wholeNumber(name: string) {
  const error = `${name} is a whole number`;
  return z.coerce.number({ error }).int({ error }).min(0, { error });
}

/** @param most in one answer */
export function limitUpTo(most: number, usual: number) {
  const error = `limit is a whole number from 1 to ${most}`;
  return z.coerce.number({ error }).int({ error }).min(1, { error }).max(most, { error }).default(usual);
}

export function eventEndpoints(timeline: Pick<Timeline, "query">): Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/v1/events",
      summary: "What has happened to targets, upstreams and the instance in the last 24 hours, newest first.",
      access: "read",
      query: z.strictObject({
        upstream: z.string().optional(),
        target: z.string().optional().meta({ description: "An address; empty: what is no target's." }),
        kind: kinds.optional().meta({ description: "One or several, separated by commas." }),
        since: since.optional().meta({ description: "A time, as 2030-01-31T12:00:00Z, or how long ago, as 15m." }),
        after: wholeNumber("after").optional().meta({ description: "Events with greater ids only: what was missed." }),
        limit: limitUpTo(MAX_LIMIT, DEFAULT_LIMIT),
      }),
      answers: { 200: { description: "The events.", schema: z.object({ events: z.array(eventSchema) }) } },
      handle: ({ query: { kind, ...query } }) => ({ events: timeline.query({ ...query, kinds: kind }).map(eventTold) }),
    }),
  ];
}
