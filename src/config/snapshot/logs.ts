/** The service log and the access log. */
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
