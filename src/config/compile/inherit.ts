/** Tables that are said in several places. */

/** The first layer that says something wins, the defaults last. */
export function inherit<T extends object>(defaults: T, ...layers: readonly ({ readonly [K in keyof T]?: T[K] | undefined } | undefined)[]): T {
  const merged = { ...defaults };
  for (const layer of layers) for (const [name, value] of Object.entries(layer ?? {})) if (value !== undefined) merged[name as keyof T] = value as T[keyof T];
  return merged;
}
