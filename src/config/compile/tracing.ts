/** `[tracing]`: what it means, and what of it does not fit together. */
import type { Problem } from "../problem.ts";
import type { RawConfig } from "../schema.ts";
import type { TracingConfig } from "../snapshot.ts";

type RawTracing = NonNullable<RawConfig["tracing"]>;

/** Where traces go on an OTLP/HTTP endpoint: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request */
const PATH = "/v1/traces";
const BATCH = 512;
const QUEUE = 4096;

export function tracingOf(raw: RawTracing): TracingConfig {
  const { headers = {}, service_name: serviceName = "fairlead", sample = 1, parent = "ignore", query = "drop", timeout = 10_000, interval = 5_000, batch = BATCH, queue = QUEUE } = raw;
  const base = (raw.endpoint ?? "http://127.0.0.1:4318").replace(/\/+$/, "");
  return { endpoint: base.endsWith(PATH) ? base : base + PATH, headers, serviceName, sample, parent, query, timeout, interval, batch, queue };
}

export function checkTracing(raw: RawTracing | undefined, problems: Problem[]): void {
  const { batch = BATCH, queue = QUEUE } = raw ?? {};
  if (batch > queue) problems.push({ path: ["tracing", raw?.batch === undefined ? "queue" : "batch"], about: "value", message: `a batch of ${batch} spans does not fit into a queue of ${queue}`, hint: "make queue larger, or batch smaller" });
}
