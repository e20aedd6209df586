/** All metrics of an instance as text, read when somebody asks: nothing is kept here. */
import type { OpenMetricsContentType, PrometheusContentType, Registry } from "prom-client";
import type { Family, Sample } from "./family.ts";
import { INSTANCE_FAMILIES } from "./instance.ts";
import { LISTENER_FAMILIES, ROUTE_FAMILIES } from "./listeners.ts";
import { usageOf } from "./processes.ts";
import type { MetricsSources } from "./sources.ts";
import { TARGET_FAMILIES } from "./targets.ts";
import { UPSTREAM_FAMILIES } from "./upstreams.ts";

export const FAMILIES: readonly Family[] = [...INSTANCE_FAMILIES, ...LISTENER_FAMILIES, ...ROUTE_FAMILIES, ...UPSTREAM_FAMILIES, ...TARGET_FAMILIES];

export type MetricsFormat = "prometheus" | "openmetrics";

export interface MetricsText {
  readonly contentType: string;
  readonly text: string;
}

export class Metrics {
  private readonly sources: Omit<MetricsSources, "usage">;
  /** Who asks while one is made gets the same. */
  private readonly running = new Map<MetricsFormat, Promise<MetricsText>>();

  constructor(sources: Omit<MetricsSources, "usage">) {
    this.sources = sources;
  }

  text(format: MetricsFormat = "prometheus"): Promise<MetricsText> {
    const running = this.running.get(format) ?? this.make(format).finally(() => this.running.delete(format));
    this.running.set(format, running);
    return running;
  }

  private async make(format: MetricsFormat): Promise<MetricsText> {
    const usage = (await Promise.all(this.sources.processes().map(({ name, pid }) => usageOf(name, pid)))).filter((each) => each !== undefined);
    const sources = { ...this.sources, usage };
    // A fifth of what a start would load, and not everybody asks.
    const { Registry } = await import("prom-client");
    const open = format === "openmetrics";
    const writer = new Registry<PrometheusContentType | OpenMetricsContentType>() as Writer;
    writer.setContentType(open ? Registry.OPENMETRICS_CONTENT_TYPE : Registry.PROMETHEUS_CONTENT_TYPE);
    const families: string[] = [];
    for (const family of FAMILIES) families.push(await written(family, sources, writer, open));
    return { contentType: writer.contentType, text: open ? `${families.join("\n")}\n# EOF\n` : `${families.join("\n\n")}\n` };
  }
}

/** What a registry does with a metric of its own, and can do with anybody's. */
type Writer = Registry<PrometheusContentType | OpenMetricsContentType> & { getMetricsAsString(metric: { get(): object }): Promise<string> };

/** So many lines are read and written in one turn of the event loop: some ms of work. */
const LINES_A_TURN = 2_000;

/** One family as text, a part a turn. */
async function written({ name, help, type, read }: Family, sources: MetricsSources, writer: Writer, open: boolean): Promise<string> {
  // OpenMetrics has the family without `_total`, and prom-client puts it behind the name of each series.
  const familyName = open && type === "counter" ? name.replace(/_total$/, "") : name;
  const parts: string[] = [];
  const write = async (values: readonly Sample[]): Promise<void> => {
    const text = await writer.getMetricsAsString({ get: () => ({ name: familyName, help, type, values }) });
    // HELP and TYPE stand before the first part only.
    parts.push(parts.length === 0 ? text : text.split("\n").slice(2).join("\n"));
    await new Promise((resolve) => setImmediate(resolve));
  };
  let values: Sample[] = [];
  for (const sample of read(sources)) {
    values.push(sample);
    if (values.length < LINES_A_TURN) continue;
    await write(values);
    values = [];
  }
  if (values.length > 0 || parts.length === 0) await write(values);
  return parts.join("\n");
}
