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

  private constructor(processor: BatchSpanProcessor, origin: Origin) {
    this.processor = processor;
    this.origin = origin;
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
    const exporter = complaining(new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: timeout }), url, log);
    const processor = new BatchSpanProcessor(exporter, { maxExportBatchSize: batch, maxQueueSize: queue, scheduledDelayMillis: interval, exportTimeoutMillis: timeout + LATER });
    return new TraceExport(processor, { resource, instrumentationScope: { name: "fairlead", version: packageJson.version }, traceState: createTraceState, newSpanId: () => newSpanId(random), tellsQuery: config.query === "keep" });
  }

  wants(_cause: Cause, _status: number, _attempts: number, _milliseconds: number, traced: boolean): boolean {
    return traced;
  }

  tell(account: Account): void {
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

/** What an exporter fails to send is told here, and only here: the processor would make an error of each. */
function complaining(exporter: SpanExporter, endpoint: string, log: Log): SpanExporter {
  let lost = 0;
  let nextAt = 0;
  return {
    export: (spans, done) =>
      exporter.export(spans, ({ code, error }) => {
        if (code !== SUCCESS) {
          lost += spans.length;
          const now = performance.now();
          if (now >= nextAt) {
            nextAt = now + COMPLAIN_EVERY;
            log.warn({ endpoint, spans: lost, reason: error?.message || "no answer" }, "Spans could not be sent and are lost");
            lost = 0;
          }
        }
        done({ code: SUCCESS });
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
  };
}
