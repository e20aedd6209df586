/**
 * `maglev`: a table of 65,537 entries in which every target has its even share; a key's entry is its target.
 *
 * D. Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section 3.4; weights as in Envoy: a target
 * takes its turn in the rounds that its weight gives it. The most even of the three; a change of the configuration moves a few more keys.
 */
import type { BalancedTarget } from "../balanced.ts";
import { type Accepts, type ConsistentTable, hashText, mix, plainWeights, rehash } from "./consistent.ts";

/** A prime, and above 100 times the number of targets that most people have. */
const SIZE = 65_537;
const EMPTY = 0xff_ff_ff_ff;
/** Entries that are asked before the search is given up. */
const MAX_STEPS = 256;

export class MaglevTable implements ConsistentTable {
  private readonly owners = new Uint32Array(SIZE).fill(EMPTY);
  private readonly isEmpty: boolean;

  constructor(targets: readonly BalancedTarget[]) {
    const weights = plainWeights(targets);
    const heaviest = weights.reduce((a, b) => Math.max(a, b), 0);
    this.isEmpty = heaviest === 0;
    if (this.isEmpty) return;
    const places = new Uint32Array(targets.length);
    const steps = new Uint32Array(targets.length);
    /** Turns that a target is owed, in parts of the heaviest one's. */
    const owed = new Float64Array(targets.length);
    for (const [index, { name }] of targets.entries()) {
      const hash = hashText(name);
      places[index] = hash % SIZE;
      steps[index] = (mix(hash ^ 0x5b_d1_e9_95) % (SIZE - 1)) + 1;
    }
    for (let filled = 0; filled < SIZE; ) {
      for (let index = 0; index < targets.length && filled < SIZE; index++) {
        owed[index]! += weights[index]!;
        if (owed[index]! < heaviest) continue;
        owed[index]! -= heaviest;
        this.owners[this.nextFree(places, steps, index)] = index;
        filled++;
      }
    }
  }

  /** The next entry of the target's own order that nobody has. */
  private nextFree(places: Uint32Array, steps: Uint32Array, index: number): number {
    let place = places[index]!;
    while (this.owners[place] !== EMPTY) place = (place + steps[index]!) % SIZE;
    places[index] = (place + steps[index]!) % SIZE;
    return place;
  }

  place(key: number): string {
    return `entry ${key % SIZE} of ${SIZE}`;
  }

  find(key: number, accepts: Accepts): number {
    if (this.isEmpty) return -1;
    for (let attempt = 0; attempt < MAX_STEPS; attempt++) {
      const owner = this.owners[rehash(key, attempt) % SIZE]!;
      if (accepts.accepts(owner, key)) return owner;
    }
    return -1;
  }
}
