/** The whole instance in one object, for dashboards: `GET /v1/overview`; and how it was over the last hour: `GET /v1/history`. */
import { z } from "zod";
import { endpoint, type Endpoint } from "./endpoint.ts";

const time = z.iso.datetime().describe("ISO 8601");
const perSecond = z.number().min(0);
const milliseconds = z.number().min(0);
const count = z.int().min(0);
const rateByClass = z.object({ "1xx": perSecond, "2xx": perSecond, "3xx": perSecond, "4xx": perSecond, "5xx": perSecond, failed: perSecond, done: perSecond }).meta({ id: "RateByClass", description: "By the status' class; failed: without one; done: as they should, where there are no statuses (tcp, udp)" });

/** What every part tells of its traffic. */
const ratesShape = {
  rate: perSecond.describe("Exchanges that ended, per second over the last 5 s"),
  rate_by_class: rateByClass,
  p50_ms: milliseconds.nullable().describe("Of the last 10 s; null: nothing was answered"),
  p99_ms: milliseconds.nullable(),
};

const worker = z.object({ pid: z.int(), slot: count, clients: count, lag_ms: milliseconds.describe("The longest that its event loop was late in the last ten seconds or so") }).meta({ id: "Worker" });
const configState = z.object({
  applied: z.object({ generation: count, at: time }).describe("The last configuration that was applied, as /v1/config says it: targets that join and overrides are none"),
  rejected: z.object({ at: time, errors: z.array(z.string()) }).nullable().describe("The last that was brought, if it was rejected"),
}).meta({ id: "ConfigState" });
const certificate = z.object({ names: z.array(z.string()), not_after: time, days_left: z.int() }).meta({ id: "Certificate" });
export const listener = z.object({
  name: z.string(),
  address: z.string(),
  protocol: z.enum(["http", "tcp", "tls-passthrough", "udp"]),
  tls: z.boolean(),
  upstream: z.string().nullable().describe("Where goes what matches no route"),
  clients: count.describe("Open client connections"),
  ...ratesShape,
  certificates: z.array(certificate),
}).meta({ id: "Listener" });
export const route = z.object({
  label: z.string(),
  listeners: z.array(z.string()),
  hosts: z.array(z.string()),
  path_prefix: z.string().nullable(),
  methods: z.array(z.string()),
  headers: z.array(z.object({ name: z.string(), value: z.string().nullable() })),
  upstream: z.string(),
  ...ratesShape,
}).meta({ id: "Route" });
export const checkResult = z.object({ ok: z.boolean(), reason: z.string(), at: time, milliseconds }).meta({ id: "CheckResult" });
const ejection = z.object({ detector: z.string(), until: time, times: count }).meta({ id: "Ejection" });
export const target = z.object({
  address: z.string(),
  state: z.string().describe("up, down, ejected, silent, draining, maintenance; several joined by +"),
  since: time.describe("When this state began"),
  share: z.number().min(0).describe("Of its configured weight that it gets now"),
  weight: z.number().min(0).describe("As configured"),
  zone: z.string(),
  tier: count,
  open_requests: count,
  open_connections: count,
  ...ratesShape,
  latency_ms: milliseconds.nullable().describe("Peak-sensitive moving average, as peak-ewma sees it; null: not known"),
  check: checkResult.nullable().describe("The last health check's result"),
  ejected: ejection.nullable(),
}).meta({ id: "Target" });
export const upstream = z.object({
  name: z.string(),
  policy: z.string(),
  protocol: z.enum(["h1", "h2", "h2c", "auto"]),
  open_requests: count,
  queued: count,
  retries_open: count,
  retry_rate: perSecond,
  breaker: z.enum(["closed", "open", "half-open"]).nullable().describe("null: it has none"),
  panic: z.boolean().describe("So few targets are healthy that all are used"),
  ...ratesShape,
  target_count: count,
  healthy_count: count,
  targets: z.array(target),
}).meta({ id: "Upstream" });
export const overview = z.object({
  instance: z.object({
    version: z.string(),
    generation: count,
    pid: z.int(),
    started_at: time,
    state: z.enum(["ok", "draining"]),
    workers: z.array(worker),
    config: configState,
    panicking: z.array(z.string()).describe("Names of upstreams"),
    faults: z.array(z.object({ name: z.string(), until: time.nullable().describe("When it ends by itself; null: it does not") })).describe("Rules that inject faults now"),
  }),
  totals: z.object({ ...ratesShape, open_requests: count, open_clients: count, bytes_in_rate: perSecond, bytes_out_rate: perSecond }),
  listeners: z.array(listener),
  routes: z.array(route),
  upstreams: z.array(upstream),
}).meta({ id: "Overview" });

export type Overview = z.output<typeof overview>;
export type OverviewListener = z.output<typeof listener>;
export type OverviewRoute = z.output<typeof route>;
export type OverviewUpstream = z.output<typeof upstream>;
export type OverviewTarget = z.output<typeof target>;
export type OverviewWorker = z.output<typeof worker>;
export type ConfigState = z.output<typeof configState>;
export type RateByClass = z.output<typeof rateByClass>;

export const history = z.object({
  interval_ms: milliseconds,
  points: z.array(z.object({ at: time, ...ratesShape, open: count })).describe("From the oldest on"),
}).meta({ id: "History" });
export type HistoryAnswer = z.output<typeof history>;

/** Where it is told from. */
export interface OverviewSource {
  overview(): Overview;
  /** @throws Problem 404 */
  history(upstream: string | undefined, target: string | undefined): HistoryAnswer;
}

const historyQuery = z
  .strictObject({ upstream: z.string().optional().describe("Of this upstream; absent: of the whole instance"), target: z.string().optional().describe("Of this target of the upstream") })
  .refine(({ upstream: name, target: address }) => address === undefined || name !== undefined, { error: "a target is one of an upstream: name that too" });

export function overviewEndpoints(source: OverviewSource): Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/v1/overview",
      summary: "The whole instance: workers, listeners, routes, upstreams and their targets, with rates and percentiles of the last seconds. Of an upstream with more than 200 targets those that are not up, then the busiest.",
      access: "read",
      answers: { 200: { description: "As it is now.", schema: overview } },
      handle: () => source.overview(),
    }),
    endpoint({
      method: "GET",
      path: "/v1/history",
      summary: "Rates, percentiles and open requests over the last hour.",
      access: "read",
      query: historyQuery,
      answers: { 200: { description: "Points, each of the time since the one before.", schema: history } },
      handle: ({ query }) => source.history(query.upstream, query.target),
    }),
  ];
}
