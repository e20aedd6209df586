/**
 * What the consistent methods have in common: a table over all targets of a tier, usable or not, that puts a key's targets in an order.
 * Whoever is not usable is passed over, so only the keys of a target that goes, or comes back, move; no table is built anew for that.
 */
import type { BalancedTarget } from "../balanced.ts";

export interface ConsistentTable {
  /** Index of the first target of this key that `accepts`; -1: none of those that were asked. */
  find(key: number, accepts: Accepts): number;
  /** Where the key is in the table, for people. */
  place(key: number): string;
}

export interface Accepts {
  /** @param index of a target in the table @param key the hash that is looked for */
  accepts(index: number, key: number): boolean;
}

/** The same text has the same number on every node: FNV-1a over its code units, mixed by murmur3's finalizer. */
export function hashText(text: string): number {
  let hash = 0x81_1c_9d_c5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01_00_01_93);
  return mix(hash);
}

/** Every bit of the result depends on every bit of `hash`; unsigned 32 bits. A. Appleby, MurmurHash3, fmix32. */
export function mix(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85_eb_ca_6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2_b2_ae_35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Another number for the n-th try with the same key. */
export function rehash(key: number, attempt: number): number {
  return attempt === 0 ? key : mix(key + Math.imul(attempt, 0x9e_37_79_b9));
}

/** Weights without their common factor; a target of weight 0 has no place in a table. */
export function plainWeights(targets: readonly BalancedTarget[]): number[] {
  let factor = 0;
  for (const { configuredWeight } of targets) for (let a = configuredWeight; a !== 0; ) [factor, a] = [a, factor % a];
  return targets.map(({ configuredWeight }) => (factor === 0 ? 0 : configuredWeight / factor));
}
