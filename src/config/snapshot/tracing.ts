/** Which exchanges are traced, and where spans go. */
import type { Milliseconds } from "./units.ts";

export interface TracingConfig {
  /** Where spans are sent (OTLP/HTTP), with its path. */
  readonly endpoint: string;
  /** Sent with them: secrets. */
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  /** Share of the traces that begin here which are recorded, from 0 to 1. */
  readonly sample: number;
  /** Is a client's traceparent believed? */
  readonly parent: "trust" | "ignore";
  /** What follows the ? of paths. */
  readonly query: "keep" | "drop";
  /** For sending a batch, with all tries. */
  readonly timeout: Milliseconds;
  /** The longest that a span waits for others. */
  readonly interval: Milliseconds;
  /** Spans in one request. */
  readonly batch: number;
  /** Spans that wait in each worker; more are lost. */
  readonly queue: number;
}
