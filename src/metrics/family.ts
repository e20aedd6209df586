/** A metric as it is declared: what it is called, what it means, and how its values are read when somebody asks. */
import { HISTOGRAM_SUM, type Histogram } from "../scoreboard/scoreboard.ts";
import type { MetricsSources } from "./sources.ts";

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** Of a histogram's parts, other than the family's. */
  readonly metricName?: string;
}

export interface Family {
  /** As Prometheus wants names: with unit, and `_total` for counters. */
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** Names of all labels, but for a histogram's `le`. None is ever taken from what a client says. */
  readonly labels: readonly string[];
  /** Little by little: there may be hundreds of thousands. */
  readonly read: (sources: MetricsSources) => Iterable<Sample>;
}

/** Durations are counted in ms, and told in seconds. */
function seconds(milliseconds: number): number {
  // Bounds as people wrote them: 0.0025, not 0.0025000000000000001.
  return Number((milliseconds / 1000).toPrecision(15));
}

/** The upper bounds, as the values of `le`. */
export function bucketLabels(bounds: readonly number[]): string[] {
  return [...bounds.map((bound) => String(seconds(bound))), "+Inf"];
}

/** The lines of one histogram: buckets that are summed up, their sum and count. @param les as bucketLabels */
export function* histogramSamples(name: string, labels: Labels, { counts, sum }: Histogram, les: readonly string[]): Iterable<Sample> {
  let below = 0;
  for (const [index, le] of les.entries()) {
    // Of bounds that are changing there may be more counts than bounds for a moment.
    below += index === les.length - 1 ? rest(counts, index) : counts[index]!;
    yield { metricName: `${name}_bucket`, labels: { ...labels, le }, value: below };
  }
  yield { metricName: `${name}_sum`, labels, value: sum / 1000 };
  yield { metricName: `${name}_count`, labels, value: below };
}

function rest(counts: readonly number[], from: number): number {
  let sum = 0;
  for (let index = from; index < HISTOGRAM_SUM; index++) sum += counts[index]!;
  return sum;
}
