/** What is told of exchanges: logs, traces, metrics, those that are kept. */
import type { AccessFormat } from "../../observability/access/format.ts";
import type { LogLevels } from "../../observability/log.ts";
import type { Bytes, Milliseconds } from "./units.ts";

export interface LogConfig extends LogLevels {
  /** Of its file; absent: standard error. */
  readonly path?: string;
}

export interface AccessLogConfig {
  /** Absent: as the service log. */
  readonly format?: AccessFormat;
  /** "stderr", "stdout", or where the file is. */
  readonly path: string;
  /** The share of exchanges that are logged, from 0 to 1. */
  readonly sample: number;
  /** What fails is logged in any case. */
  readonly sampleErrors: boolean;
  /** Lines that a worker gathers before it writes. */
  readonly buffer: Bytes;
  /** The longest that one waits. */
  readonly flush: Milliseconds;
  /** A file of this size is renamed; 0: never. */
  readonly rotateSize: Bytes;
  /** Renamed files that are kept. */
  readonly keep: number;
}

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

export interface MetricsConfig {
  /** Upper bounds of histograms, in ms with fraction, ascending; 1 to 30. */
  readonly buckets: readonly number[];
  /** Targets that have metrics of their own. */
  readonly perTargetLimit: number;
}

/** Which exchanges are kept for people to look at. */
export interface ExchangesConfig {
  /** How many, and in how many bytes. */
  readonly keep: number;
  readonly memory: Bytes;
  /** 0: none is kept for it. */
  readonly slow: Milliseconds;
  /** The part of all others, from 0 to 1. */
  readonly sample: number;
  readonly query: "keep" | "drop";
}
