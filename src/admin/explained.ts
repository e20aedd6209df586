/** What `POST /v1/explain` is asked and answers: the shapes, which worker, library and command line share. */
import { z } from "zod";

const text = (what: string): z.ZodString => z.string({ error: what });

export const requestToExplain = z.strictObject({
  method: text("method is a text, as GET").regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/, { error: "method is a token, as GET" }).optional().describe("Default GET; of no meaning to listeners that are not http."),
  url: text('url is a text, as "https://api.example.com/v1/x"').min(1, { error: "url is empty" }).max(65_536, { error: "url is longer than 65,536 characters" }).describe("Absolute: http, https, tcp, udp; a tls-passthrough listener is asked by https."),
  headers: z
    .record(z.string(), z.union([z.string(), z.array(z.string())], { error: "a header's value is a text, or a list of them" }))
    .optional()
    .describe("By name; a list is as many fields."),
  client: text("client is an IP address, with or without a port").optional().describe("Whose request it is, as 203.0.113.9 or 203.0.113.9:5000; default 127.0.0.1."),
  listener: text("listener is a name").optional().describe("Default: found by the URL's scheme and port."),
  client_subject: text("client_subject is a text").optional().describe("Subject of the client's verified certificate."),
  ask_policy: z.boolean({ error: "ask_policy is true or false" }).optional().describe("Call the pick of a policy that has no explain, though it may count that as a turn."),
});
export type RequestToExplain = z.infer<typeof requestToExplain>;

const mismatch = z.strictObject({ condition: z.enum(["host", "path", "method", "header"]), name: z.string(), wanted: z.string(), seen: z.string().nullable() });
const ms = z.number();

const explainedTarget = z.strictObject({
  address: z.string(),
  tier: z.int(),
  zone: z.string(),
  weight: z.number().describe("Now; configured_weight times share."),
  configured_weight: z.number(),
  share: z.number(),
  usable: z.boolean(),
  why_not: z.array(z.string()),
  state: z.string().describe("As in /v1/status: up, down, ejected, …"),
  since: z.string().nullable().describe("Its health's state began; null: it is not checked."),
  check: z.strictObject({ ok: z.boolean(), reason: z.string() }).nullable(),
  ejected: z.strictObject({ detector: z.string(), until: z.string(), times: z.int() }).nullable(),
  open_requests: z.int(),
  open_connections: z.int(),
  limit: z.int().nullable(),
  latency_ms: ms.nullable(),
  score: z.number().nullable(),
  probability: z.number().nullable(),
  note: z.string(),
  attempt: z.int().nullable().describe("Its place in the order; 1 is the pick."),
});

const explainedTier = z.strictObject({ tier: z.int(), load: z.number(), panic: z.boolean(), wanted: z.int(), healthy: z.int(), usable: z.int(), note: z.string(), pick: z.string().nullable(), policy_note: z.string(), next: z.array(z.string()) });

const explainedUpstream = z.strictObject({
  name: z.string(),
  protocol: z.string(),
  policy: z.string(),
  breaker: z.strictObject({ state: z.enum(["closed", "open", "half-open"]), admits: z.enum(["yes", "no", "probe"]), retry_after_ms: ms.nullable() }).nullable(),
  queue: z.strictObject({ size: z.int(), waiting: z.int(), timeout_ms: ms }),
  open_requests: z.int(),
  retries_open: z.int(),
  retries_allowed: z.int(),
  key: z.strictObject({ of: z.string(), value: z.string().nullable() }),
  sticky: z.strictObject({ cookie: z.string(), seen: z.string().nullable(), target: z.string().nullable(), used: z.boolean(), note: z.string() }).nullable(),
  panic: z.boolean(),
  tiers: z.array(explainedTier),
  pick: z.string().nullable(),
  picked_by: z.enum(["sticky", "policy"]),
  policy_asked: z.boolean(),
  order: z.array(z.string()),
  targets: z.array(explainedTarget),
  targets_left_out: z.int(),
});

const applies = z.strictObject({
  timeouts: z.strictObject({ request_ms: ms, connect_ms: ms, response_ms: ms, attempt_ms: ms, body_ms: ms, idle_ms: ms }),
  retries: z.strictObject({ further_attempts: z.int(), connect_attempts: z.int().describe("Connects that are refused or broken off cost nothing: so many targets are tried for one request."), idempotent: z.boolean(), on: z.array(z.string()), backoff_ms: ms, backoff_max_ms: ms, note: z.string() }),
  hedge: z.strictObject({ percentile: z.number(), after_ms: ms.nullable(), note: z.string() }).nullable(),
  limits: z.strictObject({ header_bytes: z.int(), header_count: z.int(), request_line_bytes: z.int(), body_bytes: z.int(), reply_header_bytes: z.int() }),
});

const explainedFault = z.strictObject({
  name: z.string(),
  side: z.enum(["client", "target"]).describe("client: of the whole request; target: of each attempt, as if its target did it."),
  does: z.string().describe("In words, as delay 300 ms."),
  percent: z.number().describe("Of those for whom it is, by chance."),
  targets: z.array(z.string()).describe("Attempts at these; empty: at every one."),
  until: z.string().nullable().describe("When it ends by itself; null: it does not."),
  matched: z.boolean(),
  failed: z.strictObject({ condition: z.enum(["protocol", "upstream", "listener", "route", "method", "host", "header", "call"]), name: z.string(), wanted: z.string(), seen: z.string().nullable() }).nullable().describe("What keeps it from the request."),
  chance: z.number().min(0).max(1).nullable().describe("That it befalls this request, those before it considered; target: the next attempt at the pick. Null: it does not match, or nobody knows the pick."),
});

const forwarded = z.strictObject({ request_line: z.string(), host: z.string(), added: z.array(z.string()), removed: z.array(z.string()), note: z.string() });

export const explained = z.strictObject({
  worker: z.int().describe("Process id of the worker that was asked."),
  generation: z.int(),
  outcome: z.strictObject({
    kind: z.enum(["forwarded", "answered", "refused", "queued", "undecided"]).describe("answered: here, without an upstream; undecided: chance decides, or a policy that does not say."),
    route: z.string().nullable().describe("Its label; null: none matched."),
    upstream: z.string().nullable(),
    target: z.string().nullable(),
    status: z.int().nullable().describe("Of an answer that is made here."),
    summary: z.string(),
  }),
  request: z.strictObject({ protocol: z.string(), method: z.string(), host: z.string(), path: z.string(), path_for_routes: z.string(), client: z.string() }),
  listener: z.strictObject({ name: z.string(), address: z.string(), protocol: z.string(), tls: z.boolean(), found_by: z.enum(["name", "port", "scheme"]), clients: z.int(), max_clients: z.int() }),
  faults: z.array(explainedFault).describe("That may be injected now, in the order in which they are asked; none of what goes by no upstream."),
  routes: z.array(z.strictObject({ label: z.string(), upstream: z.string(), matched: z.boolean(), failed: mismatch.nullable() })),
  upstream: explainedUpstream.nullable(),
  applies: applies.nullable(),
  forwarded: forwarded.nullable(),
});
export type Explained = z.infer<typeof explained>;
export type ExplainedUpstream = z.infer<typeof explainedUpstream>;
export type ExplainedTarget = z.infer<typeof explainedTarget>;
export type ExplainedFault = z.infer<typeof explainedFault>;
export type Applies = z.infer<typeof applies>;
export type Forwarded = z.infer<typeof forwarded>;

/** The request cannot be explained: what is wrong with it, in words. */
export interface NotExplained {
  readonly problem: string;
}
