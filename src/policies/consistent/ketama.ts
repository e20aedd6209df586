/**
 * `ketama`: each target stands at 160 points of a ring for each unit of weight, and a key belongs to the next point.
 *
 * D. Karger et al., "Consistent Hashing and Random Trees" (STOC 1997); the number of points is that of libketama (R. Jones, 2007).
 * Of n targets one that goes moves its own keys only, about 1/n of all.
 */
import type { BalancedTarget } from "../balanced.ts";
import { type Accepts, type ConsistentTable, hashText, mix } from "./consistent.ts";

const POINTS = 160;
/** All points together; with more, each target gets half as many, or a quarter, … */
const MAX_POINTS = 1 << 22;
/** Points that are asked before the search is given up. */
const MAX_STEPS = 4096;

export class KetamaTable implements ConsistentTable {
  private readonly points: Uint32Array;
  private readonly owners: Uint32Array;
  /** Where the points begin whose first bits are these: a search looks at a few points only. */
  private readonly begins: Uint32Array;
  private readonly shift: number;

  constructor(targets: readonly BalancedTarget[]) {
    const weights = targets.map(({ configuredWeight }) => configuredWeight);
    const wanted = POINTS * weights.reduce((sum, weight) => sum + weight, 0);
    // By halves: one target more or less must not change how many points all the others have.
    const scale = POINTS / 2 ** Math.max(0, Math.ceil(Math.log2(wanted / MAX_POINTS)));
    const counts = weights.map((weight) => (weight === 0 ? 0 : Math.max(1, Math.round(weight * scale))));
    const total = counts.reduce((sum, count) => sum + count, 0);
    const points = new Uint32Array(total);
    const owners = new Uint32Array(total);
    let at = 0;
    for (const [index, count] of counts.entries()) {
      const seed = hashText(targets[index]!.name);
      for (let i = 0; i < count; i++, at++) {
        points[at] = mix(seed ^ Math.imul(i + 1, 0x9e_37_79_b9));
        owners[at] = index;
      }
    }
    const [inOrder, theirOwners] = sorted(points, owners);
    this.points = inOrder!;
    this.owners = theirOwners!;
    const bits = Math.max(1, Math.min(20, 31 - Math.clz32(Math.max(2, total))));
    this.shift = 32 - bits;
    this.begins = beginsOf(this.points, bits);
  }

  place(key: number): string {
    const { length } = this.points;
    return length === 0 ? "a ring without points" : `before point ${(this.next(key) % length) + 1} of ${length} on the ring`;
  }

  /** Index of the key's point; past the last one: it is the first. */
  private next(key: number): number {
    const { points } = this;
    let at = this.begins[key >>> this.shift]!;
    while (at < points.length && points[at]! < key) at++;
    return at;
  }

  find(key: number, accepts: Accepts): number {
    const { owners } = this;
    const { length } = owners;
    if (length === 0) return -1;
    let at = this.next(key);
    let last = -1;
    for (let step = Math.min(length, MAX_STEPS); step > 0; step--, at++) {
      if (at >= length) at = 0;
      const owner = owners[at]!;
      if (owner === last) continue;
      if (accepts.accepts(owner, key)) return owner;
      last = owner;
    }
    return -1;
  }
}

/** By radix, 11 bits at a time: a comparing sort of 1.6 million points would take ten times as long. */
function sorted(points: Uint32Array, owners: Uint32Array): readonly Uint32Array[] {
  let from = points;
  let fromOwners = owners;
  let to: Uint32Array = new Uint32Array(points.length);
  let toOwners: Uint32Array = new Uint32Array(points.length);
  for (let shift = 0; shift < 32; shift += 11) {
    const places = new Uint32Array(2049);
    for (const point of from) places[((point >>> shift) & 2047) + 1]!++;
    for (let i = 0; i < 2048; i++) places[i + 1]! += places[i]!;
    for (let i = 0; i < from.length; i++) {
      const place = places[(from[i]! >>> shift) & 2047]!++;
      to[place] = from[i]!;
      toOwners[place] = fromOwners[i]!;
    }
    [from, to] = [to, from];
    [fromOwners, toOwners] = [toOwners, fromOwners];
  }
  return [from, fromOwners];
}

function beginsOf(points: Uint32Array, bits: number): Uint32Array {
  const begins = new Uint32Array(1 << bits);
  let at = 0;
  for (let prefix = 0; prefix < begins.length; prefix++) {
    while (at < points.length && points[at]! >>> (32 - bits) < prefix) at++;
    begins[prefix] = at;
  }
  return begins;
}
