/**
 * How much of the traffic each tier of an upstream gets, and whether there is panic. As in Envoy (priority levels, overprovisioning factor,
 * panic threshold): a tier with all of its targets healthy takes everything; one that falls below 1 ÷ overprovisioning lets the rest spill over
 * to the next.
 */
export interface TierHealth {
  /** Targets that are wanted: not draining, not in maintenance, of a weight above 0. */
  readonly wanted: number;
  /** Those of them with nothing wrong. */
  readonly healthy: number;
}

export interface TierShare {
  /** 0 to 1; all tiers together 1, or 0 when nobody is healthy. */
  readonly load: number;
  /** So few are healthy that all are used. */
  readonly panic: boolean;
}

/** @param panicThreshold percent; 0: never */
export function tierShares(tiers: readonly TierHealth[], overprovisioning: number, panicThreshold: number): TierShare[] {
  const capacities = tiers.map(({ wanted, healthy }) => (wanted === 0 ? 0 : Math.min(1, (overprovisioning * healthy) / wanted)));
  const total = Math.min(
    1,
    capacities.reduce((sum, capacity) => sum + capacity, 0),
  );
  let left = total === 0 ? 0 : 1;
  return tiers.map(({ wanted, healthy }, index) => {
    const load = total === 0 ? 0 : Math.min(left, capacities[index]! / total);
    // What rounding leaves is nobody's.
    left = left - load < 1e-9 ? 0 : left - load;
    // As long as other tiers can take what this one cannot, nobody needs its sick targets.
    const panic = total < 1 && healthy > 0 && (healthy / wanted) * 100 < panicThreshold;
    return { load, panic };
  });
}
