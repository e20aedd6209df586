/** Samples each process of the instance once a second: what is judged afterwards. */
import type { Sample } from "./judge.ts";
import { type Metric, metricsOf } from "./metrics.ts";
import { heapOf, openDescriptors, residentBytes, waitedForCore } from "./process-state.ts";
import type { Stand } from "./stand.ts";

/** A second, in ms. */
const PERIOD = 1_000;
const LAG = "fairlead_worker_event_loop_lag_seconds_bucket";
/** Seconds of a worker's lag that one percentile is of: 50 measurements are made in each. */
const LAG_WINDOW = 10;

/** What is recorded of a process, by name. */
export const SERIES = ["resident", "heap", "descriptors", "lag"] as const;
export type SeriesName = (typeof SERIES)[number];

export interface ProcessRecord {
  /** `supervisor`, or `worker 0` by its slot. */
  readonly name: string;
  readonly pid: number;
  /** Bytes; bytes; a number; seconds, the 99th percentile. */
  readonly series: Readonly<Record<SeriesName, Sample[]>>;
  /** Seconds that it waited for a core, at the first and the last sample. */
  waitedFirst: number;
  waitedLast: number;
}

interface Instance {
  readonly pid: number;
  readonly workers: readonly { readonly pid: number; readonly slot: number }[];
}

/** Counts of the lag's buckets, by their upper bounds in seconds. */
type Buckets = readonly (readonly [bound: number, count: number])[];

function lagBuckets(metrics: readonly Metric[], worker: string): Buckets {
  return metrics.filter(({ name, labels }) => name === LAG && labels["worker"] === worker).map(({ labels, value }) => [Number(labels["le"]!.replace("+Inf", "Infinity")), value]);
}

/** The bound below which 99 % of what came between two scrapes are; undefined: nothing came. */
export function percentile99(before: Buckets, after: Buckets): number | undefined {
  const grown = after.map(([bound, count], index) => [bound, count - (before[index]?.[1] ?? 0)] as const);
  const all = grown.at(-1)?.[1] ?? 0;
  if (all <= 0) return undefined;
  const found = grown.find(([, count]) => count >= all * 0.99)![0];
  return found === Number.POSITIVE_INFINITY ? grown.at(-2)![0] : found;
}

export class Recorder {
  readonly processes = new Map<number, ProcessRecord>();
  /** Scrapes that did not come. */
  readonly failures: string[] = [];
  private readonly stand: Stand;
  private readonly lags = new Map<number, { readonly at: number; readonly buckets: Buckets }>();
  private running = true;
  private recording = false;
  private readonly ended: Promise<void>;

  constructor(stand: Stand) {
    this.stand = stand;
    this.ended = this.run();
  }

  /** From here on samples count; those before were the warm-up. */
  begin(): void {
    this.recording = true;
  }

  pause(): void {
    this.recording = false;
  }

  async stop(): Promise<void> {
    this.running = false;
    await this.ended;
  }

  /** Its processes now: the supervisor first. */
  async pids(): Promise<Map<number, string>> {
    const { pid, workers } = (await (await this.stand.ask("/v1/instance")).json()) as Instance;
    return new Map([[pid, "supervisor"], ...workers.map((worker) => [worker.pid, `worker ${worker.slot}`] as const)]);
  }

  async metrics(names: readonly string[]): Promise<Metric[]> {
    return metricsOf(await (await this.stand.ask("/metrics")).text(), names);
  }

  private async run(): Promise<void> {
    for (let next = performance.now(); this.running; ) {
      try {
        const lags = await this.metrics([LAG]);
        if (this.recording) for (const [pid, name] of await this.pids()) this.record(pid, name, performance.now() / 1000, lags);
      } catch (error) {
        this.failures.push(error instanceof Error ? error.message : String(error));
      }
      next += PERIOD;
      await Bun.sleep(Math.max(50, next - performance.now()));
    }
  }

  private record(pid: number, name: string, at: number, lags: readonly Metric[]): void {
    const known = this.processes.get(pid);
    const record = known ?? { name, pid, series: { resident: [], heap: [], descriptors: [], lag: [] }, waitedFirst: waitedForCore(pid), waitedLast: 0 };
    this.processes.set(pid, record);
    const { series } = record;
    record.waitedLast = waitedForCore(pid);
    series.resident.push({ at, value: residentBytes(pid) });
    series.descriptors.push({ at, value: openDescriptors(pid) });
    const heap = heapOf(this.stand.probes, pid);
    if (heap !== undefined) series.heap.push({ at, value: heap.used });
    if (name === "supervisor") return;
    const buckets = lagBuckets(lags, name.slice("worker ".length));
    const before = this.lags.get(pid);
    if (before !== undefined && at - before.at < LAG_WINDOW) return;
    this.lags.set(pid, { at, buckets });
    const lag = before === undefined ? undefined : percentile99(before.buckets, buckets);
    if (lag !== undefined) series.lag.push({ at, value: lag });
  }
}
