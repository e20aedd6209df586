/** Exchanges that failed, were slow or tried again, and a few others: `GET /v1/exchanges`. */
import { z } from "zod";
import { CAUSES, type Cause } from "../observability/cause.ts";
import { REASONS } from "../observability/exchange-record.ts";
import type { ExchangeRing, KeptExchange } from "../observability/exchange-ring.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { limitUpTo } from "./events.ts";
import { Problem } from "./problem.ts";

/** Exchanges of one answer. */
const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 1_000;

const ALL_CAUSES = Object.keys(CAUSES) as [Cause, ...Cause[]];
const causeName = z.enum(ALL_CAUSES, { error: ({ input }) => `"${String(input)}" is no cause: ${ALL_CAUSES.join(", ")}` });
const milliseconds = z.number().min(0);

export const exchangeSchema = z
  .object({
    id: z.string().meta({ description: "Of this record; there always is one." }),
    at: z.iso.datetime().meta({ description: "When it began." }),
    why: z.array(z.enum(REASONS)).meta({ description: "What it is kept for." }),
    protocol: z.enum(["HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "tcp", "udp"]),
    listener: z.string(),
    route: z.string().meta({ description: "Empty: none matched, or there are none." }),
    upstream: z.string(),
    target: z.string().meta({ description: "The last one tried." }),
    client: z.string(),
    method: z.string(),
    host: z.string(),
    path: z.string().meta({ description: 'Ending in "?…" where there was a query that is not kept.' }),
    request_id: z.string().meta({ description: "X-Request-ID; empty: there was none." }),
    status: z.int().meta({ description: "What the client got." }),
    cause: causeName,
    detail: z.string(),
    fault: z.string().meta({ description: "Names of the faults that were injected, with a comma between several; empty: none was." }),
    duration_ms: milliseconds.meta({ description: "Head in to last byte out." }),
    queued_ms: milliseconds,
    connect_ms: milliseconds.meta({ description: "In the last attempt." }),
    first_byte_ms: milliseconds.meta({ description: "From the begin to the reply's first byte; 0: none came." }),
    bytes_in: z.int(),
    bytes_out: z.int(),
    attempts: z.int().meta({ description: "How often a target was asked." }),
    tries: z.array(
      z.object({
        target: z.string(),
        at_ms: milliseconds.meta({ description: "From the exchange's begin; the other times count from this one." }),
        connect_ms: milliseconds.meta({ description: "0: the connection was there." }),
        first_byte_ms: milliseconds.meta({ description: "0: none came." }),
        duration_ms: milliseconds,
        status: z.int().meta({ description: "0: none came." }),
        cause: causeName,
        detail: z.string(),
        hedge: z.boolean(),
      }),
    ),
    candidates: z.array(z.string()).meta({ description: "Targets that were usable when the first was picked, at most 32 of them." }),
    candidate_count: z.int(),
  })
  .meta({ id: "Exchange" }) satisfies z.ZodType<unknown, KeptExchange>;

export function exchangeEndpoints(exchanges: Pick<ExchangeRing, "query" | "get" | "dropped">): Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/v1/exchanges",
      summary: "The last exchanges that failed, were tried again or took long, and some of the others, newest first: whom they could have gone to, where they went, and how that ended.",
      access: "read",
      query: z.strictObject({
        upstream: z.string().optional(),
        target: z.string().optional().meta({ description: "An address that was tried." }),
        cause: causeName.optional(),
        why: z.enum(REASONS, { error: `why is one of ${REASONS.join(", ")}` }).optional(),
        fault: z.string().optional().meta({ description: "One that was injected, by its name." }),
        request_id: z.string().optional().meta({ description: "X-Request-ID, as the client sent or saw it." }),
        limit: limitUpTo(MAX_LIMIT, DEFAULT_LIMIT),
      }),
      answers: { 200: { description: "The exchanges.", schema: z.object({ exchanges: z.array(exchangeSchema), dropped: z.int().meta({ description: "Since the start: those that should have been kept, and were too many at a time." }) }) } },
      handle: ({ query: { request_id: requestId, ...query } }) => ({ exchanges: exchanges.query({ ...query, requestId }), dropped: exchanges.dropped }),
    }),
    endpoint({
      method: "GET",
      path: "/v1/exchanges/{id}",
      summary: "One of them.",
      access: "read",
      answers: { 200: { description: "The exchange.", schema: exchangeSchema } },
      handle: ({ names: { id } }) => {
        const found = exchanges.get(id!);
        if (found === undefined) throw new Problem(404, `no exchange "${id}" is kept (any more); GET /v1/exchanges has those that are`);
        return found;
      },
    }),
  ];
}
