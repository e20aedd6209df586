/** What is measured, and how finely. */

export interface MetricsConfig {
  /** Upper bounds of histograms, in ms with fraction, ascending; 1 to 30. */
  readonly buckets: readonly number[];
  /** Targets that have metrics of their own. */
  readonly perTargetLimit: number;
}
