/** `[metrics]`. */
import { DEFAULTS, type RawConfig } from "../schema.ts";
import type { MetricsConfig } from "../snapshot.ts";

export function metricsOf({ metrics }: RawConfig): MetricsConfig {
  return { buckets: metrics?.buckets ?? DEFAULTS.metrics.buckets, perTargetLimit: metrics?.per_target_limit ?? DEFAULTS.metrics.per_target_limit };
}
