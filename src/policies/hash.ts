/**
 * `hash` and `ip-hash`: the same key goes to the same target, as long as that is there. Which one is up to a consistent method
 * (consistent/); `bounded_load` sends the keys of a target that has too much to their next one.
 *
 * Bounded loads: V. Mirrokni, M. Thorup and M. Zadimoghaddam, "Consistent Hashing with Bounded Loads" (SODA 2018): with a bound of
 * c no target has more than ⌈c × its share of the open requests⌉.
 */
import type { HashConfig } from "../config/snapshot.ts";
import { type BalancedTarget, type Balancer, type BalancerContext, firstUntried, none } from "./balanced.ts";
import { type Accepts, type ConsistentTable, hashText, mix } from "./consistent/consistent.ts";
import { KetamaTable } from "./consistent/ketama.ts";
import { MaglevTable } from "./consistent/maglev.ts";
import { RendezvousTable } from "./consistent/rendezvous.ts";
import type { Explanation, RoutingRequest } from "./policy.ts";
import { RoundRobinPolicy } from "./round-robin.ts";
import { orderOf, twinOf } from "./twin.ts";

/** Why a key does not go to a target, or 0: it does. */
const Refusal = { NONE: 0, NOT_USABLE: 1, FULL: 2, TRIED: 3, STARTING: 4, BOUND: 5 } as const;
type RefusalKind = (typeof Refusal)[keyof typeof Refusal];
const IN_WORDS: Readonly<Record<RefusalKind, string>> = {
  [Refusal.NONE]: "takes it",
  [Refusal.NOT_USABLE]: "not usable: passed over",
  [Refusal.FULL]: "full: passed over",
  [Refusal.TRIED]: "tried already: passed over",
  [Refusal.STARTING]: "gets only a share of its keys now, and not this one: passed over",
  [Refusal.BOUND]: "at its bound (bounded_load): passed over",
};

const TABLES: Readonly<Record<HashConfig["method"], new (targets: readonly BalancedTarget[]) => ConsistentTable>> = {
  ketama: KetamaTable,
  maglev: MaglevTable,
  rendezvous: RendezvousTable,
};

export class HashPolicy implements Balancer, Accepts {
  readonly skipsTried = true;
  private readonly context: BalancerContext;
  private readonly keyless: RoundRobinPolicy;
  private all: readonly BalancedTarget[] = none();
  private table: ConsistentTable | undefined = undefined;
  private targets: readonly BalancedTarget[] = none();
  private tried: readonly BalancedTarget[] = none();
  /** Weights of all usable targets together. */
  private weights = 0;
  /** Open requests that a unit of weight may have; 0: no bound. */
  private bound = 0;

  constructor(context: BalancerContext) {
    this.context = context;
    this.keyless = new RoundRobinPolicy(context);
  }

  prepare(all: readonly BalancedTarget[]): void {
    // A table takes up to 0.1 s for ten thousand targets: it is kept where nothing that it rests on has changed.
    const same = all.length === this.all.length && all.every(({ name, configuredWeight }, index) => name === this.all[index]!.name && configuredWeight === this.all[index]!.configuredWeight);
    this.all = all;
    if (!same || this.table === undefined) this.table = new TABLES[this.context.hash.method](all);
  }

  pick<Target extends BalancedTarget>(request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Target | undefined {
    if (this.table === undefined) this.prepare(targets);
    const { key } = request;
    // Without a key there is nothing to be faithful to.
    if (key === undefined) return this.keyless.pick(request, targets, tried);
    const hash = hashText(key);
    this.tried = tried;
    this.begin(targets);
    const found = this.table!.find(hash, this);
    if (found >= 0) return this.all[found] as Target;
    // Nearly all are out, or starting, or at their bound.
    return firstUntried(targets, tried, hash % targets.length);
  }

  private begin(targets: readonly BalancedTarget[]): void {
    const { boundedLoad } = this.context.hash;
    if (boundedLoad === 0) return;
    if (targets !== this.targets) {
      this.targets = targets;
      this.weights = targets.reduce((sum, { weight }) => sum + weight, 0);
    }
    this.bound = (boundedLoad * (this.context.openTotal() + 1)) / this.weights;
  }

  accepts(index: number, key: number): boolean {
    return this.refusal(index, key) === Refusal.NONE;
  }

  private refusal(index: number, key: number): RefusalKind {
    const target = this.all[index]!;
    if (!target.isUsable) return Refusal.NOT_USABLE;
    if (target.isFull) return Refusal.FULL;
    if (this.tried.length > 0 && this.tried.includes(target)) return Refusal.TRIED;
    // A target that starts slowly gets a part of its keys, and always the same ones.
    if (target.share < 1000 && mix(key ^ Math.imul(target.slot + 1, 0x9e_37_79_b9)) % 1000 >= target.share) return Refusal.STARTING;
    return this.bound === 0 || target.openRequests < Math.ceil(this.bound * target.weight) ? Refusal.NONE : Refusal.BOUND;
  }

  explain<Target extends BalancedTarget>(request: RoutingRequest, targets: readonly Target[], tried: readonly Target[] = none()): Explanation<Target> {
    const { key } = request;
    if (key === undefined) {
      const turns = this.keyless.explain(request, targets, tried);
      return { ...turns, note: `the request has no key to hash, so round robin decides: ${turns.note}` };
    }
    const twin = twinOf(this, { keyless: twinOf(this.keyless) });
    return twin.explained(request, key, targets, tried);
  }

  /** Of a twin: it is changed by it. */
  private explained<Target extends BalancedTarget>(request: RoutingRequest, key: string, targets: readonly Target[], tried: readonly Target[]): Explanation<Target> {
    const order = orderOf<Target>(this, request, targets, tried);
    const hash = hashText(key);
    this.tried = tried;
    this.begin(targets);
    const { table, all, bound } = this;
    const asked = new Map<number, RefusalKind>();
    // Nobody is good enough: so all of them are asked, each when its turn comes.
    table!.find(hash, {
      accepts: (index, attempt) => {
        const refusal = this.refusal(index, attempt);
        if (!asked.has(index) || refusal === Refusal.NONE) asked.set(index, refusal);
        return false;
      },
    });
    const preference = [...asked.keys()];
    const scores = preference.map((index, at) => {
      const target = all[index] as Target;
      const limit = bound === 0 ? "" : `, ${target.openRequests} open of ${Math.ceil(bound * target.weight)} that bounded_load allows`;
      return { target, score: at + 1, note: `choice ${at + 1} of this key: ${IN_WORDS[asked.get(index)!]}${limit}` };
    });
    const [first] = order;
    const found = first !== undefined && preference.some((index) => all[index] === first && asked.get(index) === Refusal.NONE);
    return { pick: first, order, scores, note: `"${key}" hashes to ${hash}, ${table!.place(hash)} (${this.context.hash.method})${found || first === undefined ? "" : "; nobody in the table takes it, so it goes to whoever is left"}` };
  }
}
