/** All metrics of an instance as text, read when somebody asks: nothing is kept here. */
import { type Metric, type OpenMetricsContentType, type PrometheusContentType, Registry } from "prom-client";
import type { Family } from "./family.ts";
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
    const registry = new Registry<PrometheusContentType | OpenMetricsContentType>();
    registry.setContentType(format === "openmetrics" ? Registry.OPENMETRICS_CONTENT_TYPE : Registry.PROMETHEUS_CONTENT_TYPE);
    const turns = new OneByOne();
    for (const family of FAMILIES) registry.registerMetric(metricOf(family, sources, turns));
    return { contentType: registry.contentType, text: await registry.metrics() };
  }
}

/** prom-client asks for all metrics at once; so that the event loop is not held up, each of them is read and written in a turn of its own. */
class OneByOne {
  private last: Promise<void> = Promise.resolve();

  next(): Promise<void> {
    this.last = this.last.then(() => new Promise((resolve) => setImmediate(resolve)));
    return this.last;
  }
}

/** What a registry wants of a metric that keeps its values elsewhere. */
function metricOf({ name, help, type, read }: Family, sources: MetricsSources, turns: OneByOne): Metric {
  const get = async (): Promise<object> => {
    await turns.next();
    return { name: metric.name, help, type, aggregator: "sum", values: read(sources) };
  };
  // OpenMetrics has the family without `_total`: prom-client sets the name.
  const metric = { name, help, type, get, reset: () => {} };
  return metric as unknown as Metric;
}
