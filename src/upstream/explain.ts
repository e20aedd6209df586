/** Why an upstream picks the target that it picks: the same steps as `Upstream.pick`, with each policy's own account instead of its pick. */
import type { Explanation, RoutingPolicy, RoutingRequest, Score } from "../policies/policy.ts";
import { GuardedPolicy } from "./guarded-policy.ts";
import type { Sticky, StickyExplanation } from "./sticky.ts";
import type { Target } from "./target.ts";
import { avoided, pickUntried, type Tier } from "./tier.ts";

/** Of an upstream, whose lists are of now. */
export interface Subject {
  readonly tiers: readonly Tier[];
  /** The one that gets everything. */
  readonly only: Tier | undefined;
  readonly isLimited: boolean;
  readonly sticky: Sticky | undefined;
}

export interface TierExplanation {
  /** 0 to 1. */
  readonly load: number;
  readonly panic: boolean;
  readonly wanted: number;
  readonly healthy: number;
  readonly usable: readonly Target[];
  readonly all: readonly Target[];
  /** Why nothing of it is used, or only a part; "": all is as one would think. */
  readonly note: string;
  /** Of its policy; undefined: it is not asked, or has nobody to give. */
  readonly policy: Explanation<Target> | undefined;
}

export interface PickExplanation {
  readonly tiers: readonly TierExplanation[];
  readonly sticky: StickyExplanation | undefined;
  /** Undefined: nobody, or chance decides, or the policy does not say. */
  readonly pick: Target | undefined;
  readonly by: "sticky" | "policy";
  /** Who would be tried, if each one failed, as far as that is known. */
  readonly order: readonly Target[];
  /** Some target is left to be given. */
  readonly hasRoom: boolean;
  /** A policy was asked for a pick, which may count as a turn. */
  readonly asked: boolean;
}

/** So many of an order are told. */
const MOST = 16;
const NONE: readonly Target[] = [];

export async function explainPick(subject: Subject, request: RoutingRequest, ask: boolean): Promise<PickExplanation> {
  const { tiers, only, sticky } = subject;
  const teller = new Teller(subject, request, ask);
  const known = sticky?.explain(request);
  const stays = known?.used === true ? known.target : undefined;
  const loaded = tiers.filter(({ load }) => load > 0);
  const accounts = new Map<Tier, Explanation<Target> | undefined>();
  for (const tier of loaded) accounts.set(tier, await teller.first(tier));
  const pick = stays ?? (only === undefined ? undefined : accounts.get(only)?.pick);
  const order = pick === undefined ? [] : await teller.order(pick, tiers);
  return {
    tiers: tiers.map((tier) => tierOf(tier, tiers, accounts.get(tier))),
    sticky: known,
    pick,
    by: stays === undefined ? "policy" : "sticky",
    order,
    hasRoom: pick !== undefined || loaded.some((tier) => avoided(tier, NONE, subject.isLimited) !== undefined),
    asked: teller.asked,
  };
}

class Teller {
  asked = false;
  private readonly subject: Subject;
  private readonly request: RoutingRequest;
  private readonly ask: boolean;

  constructor(subject: Subject, request: RoutingRequest, ask: boolean) {
    this.subject = subject;
    this.request = request;
    this.ask = ask;
  }

  /** Of a first attempt. */
  async first(tier: Tier): Promise<Explanation<Target> | undefined> {
    const { only, isLimited } = this.subject;
    const avoid = avoided(tier, NONE, isLimited);
    if (tier !== only) return avoid === undefined ? undefined : this.account(tier, avoid);
    if (tier.usable.length === 0) return undefined;
    const whole = await this.account(tier, NONE);
    if (avoid === undefined) return { ...whole, pick: undefined, order: [], note: `${whole.note}; all of them are full` };
    // Who is picked and full gives way: then the policy is asked again, without those who are full.
    if (avoid.length === 0 || (whole.pick !== undefined && !whole.pick.isFull) || this.asked) return whole;
    const rest = await this.account(tier, avoid);
    return whole.pick === undefined ? withoutFull(whole, rest) : { ...whole, pick: rest.pick, order: rest.order ?? [], note: `${whole.note}; but ${whole.pick.name} is full, so: ${rest.note}` };
  }

  /** Who comes after `pick`, if that fails. */
  async order(pick: Target, tiers: readonly Tier[]): Promise<Target[]> {
    const { only, isLimited } = this.subject;
    const order = [pick];
    // With several tiers chance has a say in each attempt, and a policy that was asked is not asked again.
    if (only === undefined || this.asked) return order;
    for (const tier of [only, ...tiers.filter((other) => other !== only)]) {
      const avoid = avoided(tier, order, isLimited);
      if (avoid === undefined) continue;
      const { order: further = [] } = await this.account(tier, avoid);
      order.push(...further);
      if (order.length >= MOST || tier.usable.some((target) => !avoid.includes(target) && !order.includes(target))) break;
    }
    return order.slice(0, MOST);
  }

  private async account({ policy, usable, all }: Tier, avoid: readonly Target[]): Promise<Explanation<Target>> {
    const own: RoutingPolicy<Target> = policy instanceof GuardedPolicy ? policy.own : policy;
    const left = own.skipsTried === true || avoid.length === 0 ? usable : usable.filter((target) => !avoid.includes(target));
    if (own.explain !== undefined) return explained(own, this.request, left, avoid, all);
    if (!this.ask) return { note: "this policy has no explain, and its pick was not called, since it may count turns (ask_policy: true, or --ask-policy, calls it)" };
    this.asked = true;
    const picked = await pickUntried(policy, this.request, usable, avoid);
    return { pick: picked, order: picked === undefined ? [] : [picked], note: "this policy has no explain: its pick was called, which it may have counted as a turn" };
  }
}

/** Whatever a policy of somebody's own says, it names targets that are there. @param all it may tell of those that are not usable, too */
function explained(policy: RoutingPolicy<Target>, request: RoutingRequest, targets: readonly Target[], avoid: readonly Target[], all: readonly Target[]): Explanation<Target> {
  try {
    const { pick, order, next, scores, note } = policy.explain!(request, targets, avoid);
    const known = (list: readonly Target[] | undefined): Target[] | undefined => list?.filter((target) => targets.includes(target));
    const told = known(order) ?? (pick === undefined ? [] : [pick]);
    if (pick !== undefined && !targets.includes(pick)) return { note: "its explain named a pick that is not one of the targets" };
    return { ...(pick === undefined ? {} : { pick }), order: told, next: known(next) ?? [], scores: scores?.filter(({ target }) => all.includes(target)) ?? [], note: String(note) };
  } catch (error) {
    return { note: `its explain threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}` };
  }
}

/** Chance decides, and who is full when its turn comes is drawn for again among the rest. */
function withoutFull(whole: Explanation<Target>, rest: Explanation<Target>): Explanation<Target> {
  const before = chancesOf(whole);
  const after = chancesOf(rest);
  const again = [...before].reduce((sum, [target, chance]) => sum + (target.isFull ? chance : 0), 0);
  const scores = (whole.scores ?? []).map((score): Score<Target> => (score.probability === undefined ? score : { ...score, probability: score.target.isFull ? 0 : score.probability + again * (after.get(score.target) ?? 0) }));
  return { ...whole, ...(rest.pick === undefined ? {} : { pick: rest.pick, order: rest.order ?? [] }), scores };
}

function chancesOf({ scores = [] }: Explanation<Target>): Map<Target, number> {
  return new Map(scores.map(({ target, probability = 0 }) => [target, probability]));
}

function tierOf(tier: Tier, tiers: readonly Tier[], policy: Explanation<Target> | undefined): TierExplanation {
  const { load, panic, usable, all } = tier;
  const wanted = all.filter((target) => target.isWanted);
  const healthy = wanted.filter((target) => target.isHealthy).length;
  return { load, panic, wanted: wanted.length, healthy, usable, all, note: noteOf(tier, tiers, wanted.length, healthy), policy };
}

function noteOf({ load, panic }: Tier, tiers: readonly Tier[], wanted: number, healthy: number): string {
  if (panic) return `panic: only ${healthy} of ${wanted} are healthy, so all ${wanted} are used`;
  if (wanted === 0) return "every target is withdrawn or has weight 0";
  if (healthy === 0) return "no target is healthy";
  if (load === 0) return "not used: the tiers before it can take everything";
  return load < 1 && tiers.length > 1 ? `takes ${Math.round(load * 100)} % of the requests, for ${healthy} of ${wanted} are healthy` : "";
}
