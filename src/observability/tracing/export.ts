/** Sends the spans of recorded exchanges to a collector by OTLP/HTTP, in batches. What cannot be sent is lost, and costs a line now and then. */
import type { BatchSpanProcessor, SpanExporter } from "@opentelemetry/sdk-trace-base";
import packageJson from "../../../package.json";
import type { TracingConfig } from "../../config/snapshot.ts";
import type { Account, Witness } from "../account.ts";
import type { Cause } from "../cause.ts";
import type { Log } from "../log.ts";
import { type Origin, spansOf } from "./spans.ts";
import { newSpanId } from "./traceparent.ts";

/** Between two complaints, in ms. */
const COMPLAIN_EVERY = 60_000;
/** How long spans may hold up who stops, in ms. */
const FLUSH_DEADLINE = 2_000;
/** The exporter's own timeout tells more: the processor's comes after it, in ms. */
const LATER = 1_000;
/** ExportResultCode of @opentelemetry/core. */
const SUCCESS = 0;

export class TraceExport implements Witness {
  private readonly processor: BatchSpanProcessor;
  private readonly origin: Origin;
  private readonly line: Line;

  private constructor(processor: BatchSpanProcessor, origin: Origin, line: Line) {
    this.processor = processor;
    this.origin = origin;
    this.line = line;
  }

  /** The libraries are loaded here: who does not trace does not pay for them. @param random uniform in [0, 1) */
  static async start(config: TracingConfig, log: Log, random: () => number): Promise<TraceExport> {
    const { endpoint: url, headers, serviceName, timeout, interval, batch, queue } = config;
    const [{ createTraceState }, { BatchSpanProcessor }, { OTLPTraceExporter }, { defaultResource, resourceFromAttributes }] = await Promise.all([
      import("@opentelemetry/api"),
      import("@opentelemetry/sdk-trace-base"),
      import("@opentelemetry/exporter-trace-otlp-http"),
      import("@opentelemetry/resources"),
    ]);
    const resource = defaultResource().merge(resourceFromAttributes({ "service.name": serviceName, "service.version": packageJson.version, "process.pid": process.pid }));
    const line = new Line(queue, url, log);
    const exporter = line.through(new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: timeout }));
    const processor = new BatchSpanProcessor(exporter, { maxExportBatchSize: batch, maxQueueSize: queue, scheduledDelayMillis: interval, exportTimeoutMillis: timeout + LATER });
    const origin = { resource, instrumentationScope: { name: "fairlead", version: packageJson.version }, traceState: createTraceState, newSpanId: () => newSpanId(random), tellsQuery: config.query === "keep" };
    return new TraceExport(processor, origin, line);
  }

  wants(_cause: Cause, _status: number, _attempts: number, _milliseconds: number, traced: boolean): boolean {
    return traced;
  }

  tell(account: Account): void {
    // What would be thrown away need not be made.
    if (!this.line.enter(1 + account.tries.length)) return;
    for (const span of spansOf(account, this.origin)) this.processor.onEnd(span);
  }

  /** Send what is there, and take no more; resolves when that is done, or is taking too long. */
  async stop(): Promise<void> {
    let timer: Timer | undefined;
    const deadline = new Promise<void>((resolve) => (timer = setTimeout(resolve, FLUSH_DEADLINE)));
    // What went wrong was told when it did.
    await Promise.race([this.processor.shutdown().catch(() => {}), deadline]);
    clearTimeout(timer);
  }
}

/** Spans on their way, and what is said of those that do not arrive: the processor would say nothing, or make an error of each. */
class Line {
  private readonly limit: number;
  private readonly endpoint: string;
  private readonly log: Log;
  private waiting = 0;
  private lost = 0;
  private nextAt = 0;

  constructor(limit: number, endpoint: string, log: Log) {
    this.limit = limit;
    this.endpoint = endpoint;
    this.log = log;
  }

  /** False: so many more are too many. */
  enter(spans: number): boolean {
    if (this.waiting + spans > this.limit) {
      this.lose(spans, "more spans than the collector takes");
      return false;
    }
    this.waiting += spans;
    return true;
  }

  /** The same exporter, which fails in no other way than here. */
  through(exporter: SpanExporter): SpanExporter {
    return {
      export: (spans, done) =>
        exporter.export(spans, ({ code, error }) => {
          this.waiting -= spans.length;
          if (code !== SUCCESS) this.lose(spans.length, error?.message || "no answer");
          done({ code: SUCCESS });
        }),
      shutdown: () => exporter.shutdown(),
      forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
    };
  }

  private lose(spans: number, reason: string): void {
    this.lost += spans;
    const now = performance.now();
    if (now < this.nextAt) return;
    this.nextAt = now + COMPLAIN_EVERY;
    const { endpoint, lost } = this;
    this.log.warn({ endpoint, spans: lost, reason }, "Spans could not be sent and are lost");
    this.lost = 0;
  }
}
