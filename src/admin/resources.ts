/** One thing of the instance at a time, with all that is known of it: `GET /v1/instance`, `/v1/listeners`, `/v1/routes`, `/v1/upstreams`. */
import { z } from "zod";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { checkResult, listener, overview, route, target, upstream } from "./overview.ts";

const time = z.iso.datetime();
const count = z.int().min(0);
const milliseconds = z.number().min(0);
const limit = count.nullable().describe("null: no limit");

const instance = overview.shape.instance.extend({ uptime_ms: milliseconds, open_clients: count, open_requests: count }).meta({ id: "Instance" });

const listenerDetail = listener.extend({
  routes: z.array(z.string()).describe("Labels of the routes that are asked, in order"),
  max_clients: count,
  max_clients_per_ip: limit,
  proxy_protocol_from: z.array(z.string()).nullable().describe("Who must tell the client's address by the PROXY protocol; null: nobody"),
  http2: z.boolean(),
  timeouts_ms: z.record(z.string(), milliseconds).describe("0: off"),
}).meta({ id: "ListenerDetail" });

const upstreamSummary = upstream.omit({ targets: true }).meta({ id: "UpstreamSummary" });

const upstreamDetail = upstream.extend({
  queue: z.object({
    size: count,
    timeout_ms: milliseconds,
    waiting: count,
    waited_total: count,
    waited_ms_total: milliseconds.describe("Of all that waited, together"),
    full_total: count.describe("Refused: the queue was full"),
    timeout_total: count.describe("Refused: they waited too long"),
  }),
  retry_budget: z.object({
    retries: count.describe("Further attempts of one request"),
    allowed: count.describe("Retries and hedges that may be open now"),
    held: count.describe("That are"),
    made_total: count,
    refused_total: count.describe("That the budget did not allow"),
  }),
  hedges: z.object({ percentile: z.number(), min_delay_ms: milliseconds, sent_total: count, won_total: count }).nullable().describe("null: none are sent"),
  circuit_breaker: z
    .object({ state: z.enum(["closed", "open", "half-open"]), since: time.nullable(), until: time.nullable().describe("When requests are let through to try"), failure_rate: z.number().describe("Percent that opens it"), refused_total: count })
    .nullable()
    .describe("null: it has none"),
  panic_threshold: z.number().describe("Percent of healthy targets below which all are used; 0: never"),
  sticky_cookie: z.string().nullable(),
  health_check: z.object({ type: z.string(), interval_ms: milliseconds, timeout_ms: milliseconds, rise: count, fall: count }).nullable(),
  slow_start_ms: milliseconds,
  drain_timeout_ms: milliseconds,
  timeouts_ms: z.record(z.string(), milliseconds).describe("0: off"),
  requests_total: count,
  failures_total: count,
}).meta({ id: "UpstreamDetail" });

const targetDetail = target.extend({
  upstream: z.string(),
  weights: z.object({
    configured: z.number(),
    effective: z.number().describe("What it gets: configured × share"),
    agent_percent: z.number().describe("Of the configured weight, as its agent says; 100 without one"),
    heartbeat: z.number().nullable().describe("The weight that its heartbeat brings"),
    slow_start_until: time.nullable(),
  }),
  withdrawn: z
    .array(z.object({ reason: z.string().describe("admin, config, agent, heartbeat or supervised"), state: z.enum(["drain", "maint"]), by: z.string().describe("Who said so, as api:NAME of a token"), since: time }))
    .describe("Why it is taken out; empty: it is not"),
  cut_at: time.nullable().describe("When what is open to it will be closed"),
  health: z.object({
    kind: z.string().describe("none: it is always up"),
    up: z.boolean(),
    since: time,
    last: checkResult.nullable(),
    successes: count.describe("In a row"),
    failures: count.describe("In a row"),
  }),
  max_connections: limit,
  max_requests: limit,
  requests_total: count,
  failures_total: count,
  supervised: z.object({ pid: z.int(), state: z.string(), restarts: count }).nullable().describe("null: Fairlead did not start it"),
}).meta({ id: "TargetDetail" });

export type InstanceResource = z.output<typeof instance>;
export type ListenerDetail = z.output<typeof listenerDetail>;
export type UpstreamSummary = z.output<typeof upstreamSummary>;
export type UpstreamDetail = z.output<typeof upstreamDetail>;
export type TargetDetail = z.output<typeof targetDetail>;

/** Where it is told from. Names that are not there: Problem 404. */
export interface ResourceSource {
  instance(): InstanceResource;
  listeners(): OverviewList<"listeners">;
  listener(name: string): ListenerDetail;
  routes(): OverviewList<"routes">;
  upstreams(): UpstreamSummary[];
  upstream(name: string): UpstreamDetail;
  target(upstream: string, address: string): TargetDetail;
}
type OverviewList<Key extends "listeners" | "routes"> = z.output<typeof overview>[Key];

export function resourceEndpoints(source: ResourceSource): Endpoint[] {
  const get = (path: string, summary: string, description: string, schema: z.ZodType, tell: (names: Readonly<Record<string, string>>) => unknown): Endpoint =>
    endpoint({ method: "GET", path, summary, access: "read", answers: { 200: { description, schema } }, handle: ({ names }) => tell(names) });
  return [
    get("/v1/instance", "This instance: version, generation, workers, the state of its configuration.", "As it is now.", instance, () => source.instance()),
    get("/v1/listeners", "All listeners.", "In the order of the configuration.", z.object({ listeners: z.array(listener) }), () => ({ listeners: source.listeners() })),
    get("/v1/listeners/{listener}", "One listener, with its limits and timeouts.", "As it is now.", listenerDetail, (names) => source.listener(names["listener"]!)),
    get("/v1/routes", "All routes, in the order in which they are asked.", "The first that matches is taken.", z.object({ routes: z.array(route) }), () => ({ routes: source.routes() })),
    get("/v1/upstreams", "All upstreams, without their targets.", "In the order of the configuration.", z.object({ upstreams: z.array(upstreamSummary) }), () => ({ upstreams: source.upstreams() })),
    get("/v1/upstreams/{upstream}", "One upstream: all of its targets, its queue, retry budget, hedges and circuit breaker.", "As it is now.", upstreamDetail, (names) => source.upstream(names["upstream"]!)),
    get("/v1/upstreams/{upstream}/targets/{target}", "One target: its health, what its weight comes from, and who has taken it out.", "As it is now.", targetDetail, (names) => source.target(names["upstream"]!, names["target"]!)),
  ];
}
