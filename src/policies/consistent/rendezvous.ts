/**
 * `rendezvous`: each target draws a number for the key, and the highest wins (highest random weight): the fewest keys move of all.
 *
 * D. Thaler and C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (IEEE/ACM ToN 6(1), 1998); weights by the logarithmic
 * method of C. Schindelhauer and G. Schomaker, "Weighted Distributed Hash Tables" (SPAA 2005). Asking ten thousand targets for each request would
 * take 50 µs, so keys fall into 2^20 groups, and a group's winner is remembered.
 */
import type { BalancedTarget } from "../balanced.ts";
import { type Accepts, type ConsistentTable, hashText, mix, plainWeights, rehash } from "./consistent.ts";

const GROUP_BITS = 20;
/** Fewer targets are asked quicker than memory is. */
const FEW = 8;
const MAX_STEPS = 256;

export class RendezvousTable implements ConsistentTable {
  private readonly seeds: Uint32Array;
  /** Undefined: all are equal, and so the numbers themselves are compared. */
  private readonly weights: Float64Array | undefined;
  /** Index of a group's winner, plus one; 0: not known yet. */
  private readonly winners: Uint16Array | undefined;
  private readonly members: Uint32Array;

  constructor(targets: readonly BalancedTarget[]) {
    const weights = plainWeights(targets);
    this.members = Uint32Array.from(weights.keys()).filter((index) => weights[index]! > 0);
    this.seeds = Uint32Array.from(targets, ({ name }) => hashText(name));
    const first = weights[this.members[0] ?? 0];
    this.weights = this.members.every((index) => weights[index] === first) ? undefined : Float64Array.from(weights);
    this.winners = this.members.length <= FEW ? undefined : new Uint16Array(1 << GROUP_BITS);
  }

  place(key: number): string {
    return `group ${key >>> (32 - GROUP_BITS)} of ${1 << GROUP_BITS}`;
  }

  find(key: number, accepts: Accepts): number {
    if (this.members.length === 0) return -1;
    for (let attempt = 0; attempt < MAX_STEPS; attempt++) {
      const owner = this.winnerOf(rehash(key, attempt) >>> (32 - GROUP_BITS));
      if (accepts.accepts(owner, key)) return owner;
    }
    return -1;
  }

  private winnerOf(group: number): number {
    const { winners } = this;
    if (winners === undefined) return this.ask(group);
    const known = winners[group]!;
    if (known !== 0) return known - 1;
    const winner = this.ask(group);
    winners[group] = winner + 1;
    return winner;
  }

  private ask(group: number): number {
    const { seeds, weights, members } = this;
    const key = mix(group ^ 0x27_d4_eb_2f);
    let best = 0;
    let highest = -Infinity;
    for (const index of members) {
      const number = mix(seeds[index]! ^ key);
      const score = weights === undefined ? number : -weights[index]! / Math.log((number + 0.5) / 2 ** 32);
      if (score <= highest) continue;
      highest = score;
      best = index;
    }
    return best;
  }
}
