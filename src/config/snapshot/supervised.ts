/** Back ends that Fairlead starts itself. */
import type { Milliseconds } from "./units.ts";

export interface SupervisedConfig {
  readonly command: readonly string[];
  readonly instances: number;
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** First port to hand out; 0: any free one. */
  readonly port: number;
  /** Unhealthy for this long: replaced; 0: never. */
  readonly replaceAfter: Milliseconds;
  /** Restarts of one instance in restartWindow before it is given up. */
  readonly maxRestarts: number;
  readonly restartWindow: Milliseconds;
  /** First pause before a restart; it doubles. */
  readonly backoff: Milliseconds;
  readonly backoffMax: Milliseconds;
  /** Between SIGTERM and SIGKILL. */
  readonly stopTimeout: Milliseconds;
  /** Until its health check passes. */
  readonly startTimeout: Milliseconds;
  /** A reload replaces them even if nothing about them has changed. */
  readonly rollOnReload: boolean;
}
