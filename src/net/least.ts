/** Limits and timeouts of which 0 means "none". */

/** The smaller of two that are not 0; 0 when both are. */
export function least(a: number, b: number): number {
  return a === 0 || b === 0 ? a + b : Math.min(a, b);
}
