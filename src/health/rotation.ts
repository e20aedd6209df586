/**
 * The one owner of every target's state in the scoreboard: is it in rotation, and with how much of its weight.
 *
 * Checks, outlier detection, heartbeats, agents and people each say their part; what follows from all of it is worked out here:
 * flags, slow start, the end of a drain. Lives where the checks do; workers only read.
 */
import type { Snapshot, TargetConfig, UpstreamConfig } from "../config/snapshot.ts";
import type { Clock } from "../net/network.ts";
import type { Log } from "../observability/log.ts";
import { Flag, type Scoreboard, UNHEALTHY, WITHDRAWN } from "../scoreboard/scoreboard.ts";
import { tierShares } from "../upstream/tiers.ts";

/** Who starts slowly gets at least this much of its weight, in thousandths: Envoy's min_weight_percent. */
const LEAST_SHARE = 100;
/** Weights change in so many steps while a target starts slowly. */
const STEPS = 18;
/** And not more often than this, in ms. */
const LEAST_STEP = 100;

export interface RotationOptions {
  readonly scoreboard: Scoreboard;
  readonly clock: Clock;
  readonly log: Log;
}

/** For inspection. */
export interface RotationStatus {
  /** In words: up, down, ejected, silent, draining, maintenance; several joined by "+". */
  readonly state: string;
  /** Of its configured weight, from 0 on; 1 is all of it. */
  readonly share: number;
}

export class Rotation {
  private readonly board: Scoreboard;
  private readonly clock: Clock;
  private readonly log: Log;
  private members = new Map<number, Member>();
  private groups = new Map<string, { readonly config: UpstreamConfig; readonly members: Member[]; panic: readonly boolean[] }>();
  private cancelStep: (() => void) | undefined = undefined;
  private started = false;

  constructor({ scoreboard, clock, log }: RotationOptions) {
    this.board = scoreboard;
    this.clock = clock;
    this.log = log;
  }

  /** These are the targets from now on. What is known of those that stay is kept. */
  apply(snapshot: Snapshot): void {
    const before = this.members;
    this.members = new Map();
    const panics = new Map([...this.groups].map(([name, { panic }]) => [name, panic]));
    this.groups = new Map();
    for (const upstream of snapshot.upstreams) {
      const members = upstream.targets.map((target) => {
        const known = before.get(target.slot);
        const stays = known !== undefined && known.upstream.name === upstream.name && known.target.name === target.name;
        const member = stays ? known : this.memberOf(upstream, target);
        member.upstream = upstream;
        member.target = target;
        this.members.set(target.slot, member);
        if (!stays && this.started && upstream.slowStart > 0 && upstream.targets.length > 1) member.warmSince = this.clock.precise();
        return member;
      });
      this.groups.set(upstream.name, { config: upstream, members, panic: panics.get(upstream.name) ?? [] });
      for (const member of members) {
        this.withdraw(member, Flag.DRAINING, "config", member.target.drain);
        this.writeShare(member);
      }
      this.watchPanic(upstream.name);
    }
    for (const [slot, member] of before) if (this.members.get(slot) !== member) member.cancelCut?.();
    this.started = true;
    this.stepSoon();
  }

  /** Of what the board has, only what checks found stands: whoever said the rest says it anew. */
  private memberOf(upstream: UpstreamConfig, target: TargetConfig): Member {
    const flags = this.board.flags(target.slot) & Flag.DOWN;
    this.board.setFlags(upstream.slot, target.slot, flags);
    return new Member(flags, this.clock.wall());
  }

  stop(): void {
    this.cancelStep?.();
    this.cancelStep = undefined;
    for (const member of this.members.values()) member.cancelCut?.();
  }

  /** Something is wrong with a target, or no longer. */
  setUnhealthy(slot: number, flag: typeof Flag.DOWN | typeof Flag.EJECTED | typeof Flag.SILENT, on: boolean): void {
    const member = this.members.get(slot);
    if (member === undefined) return;
    this.write(member, on ? member.flags | flag : member.flags & ~flag);
  }

  /**
   * A target is not wanted for a reason, or no longer; it takes part again when no reason is left.
   * @param reason who wants it so: "config", "agent", "heartbeat", "admin"
   */
  setWithdrawn(slot: number, flag: typeof Flag.DRAINING | typeof Flag.MAINTENANCE, reason: string, on: boolean): void {
    const member = this.members.get(slot);
    if (member !== undefined) this.withdraw(member, flag, reason, on);
  }

  /** Percent of the configured weight, as an agent says. */
  setAgentWeight(slot: number, percent: number): void {
    const member = this.members.get(slot);
    if (member === undefined || member.agentPercent === percent) return;
    member.agentPercent = percent;
    this.writeShare(member);
  }

  /** The weight that a heartbeat brings; undefined: the configured one. */
  setCapacity(slot: number, capacity: number | undefined): void {
    const member = this.members.get(slot);
    if (member === undefined || member.capacity === capacity) return;
    member.capacity = capacity;
    this.writeShare(member);
  }

  isIn(slot: number): boolean {
    return this.members.get(slot)?.flags === 0;
  }

  flags(slot: number): number {
    return this.members.get(slot)?.flags ?? 0;
  }

  status(slot: number): RotationStatus {
    const member = this.members.get(slot);
    return { state: wordsOf(member?.flags ?? 0), share: this.board.share(slot) / 1000 };
  }

  /** When the present state began, or was first known, in wall-clock ms since 1970. */
  since(slot: number): number {
    return this.members.get(slot)?.since ?? 0;
  }

  /** Upstreams of which so few targets are healthy that all are used. */
  get panicking(): string[] {
    return [...this.groups].filter(([, { panic }]) => panic.some(Boolean)).map(([name]) => name);
  }

  private withdraw(member: Member, flag: typeof Flag.DRAINING | typeof Flag.MAINTENANCE, reason: string, on: boolean): void {
    const reasons = flag === Flag.DRAINING ? member.drainReasons : member.maintenanceReasons;
    if (reasons.has(reason) === on) return;
    if (on) reasons.add(reason);
    else reasons.delete(reason);
    const { upstream, target } = member;
    const before = member.flags;
    let flags = before & ~WITHDRAWN;
    if (member.drainReasons.size > 0) flags |= Flag.DRAINING | (before & Flag.CUT);
    // Maintenance is a drain too: what is open gets the same time.
    if (member.maintenanceReasons.size > 0) flags |= Flag.MAINTENANCE | (before & Flag.CUT);
    this.write(member, flags);
    const was = (before & WITHDRAWN) !== 0;
    const is = (flags & WITHDRAWN) !== 0;
    if (was === is) return;
    this.log.info({ upstream: upstream.name, target: target.name, reason, state: wordsOf(flags) }, is ? "Target takes no new requests" : "Target takes requests again");
    member.cancelCut?.();
    member.cancelCut = is ? this.clock.after(upstream.drainTimeout, () => this.cut(member)) : undefined;
  }

  private cut(member: Member): void {
    member.cancelCut = undefined;
    this.log.info({ upstream: member.upstream.name, target: member.target.name, after: member.upstream.drainTimeout }, "Drain is over; what is open to the target is closed");
    this.write(member, member.flags | Flag.CUT);
  }

  private write(member: Member, flags: number): void {
    const before = member.flags;
    if (before === flags) return;
    member.flags = flags;
    member.since = this.clock.wall();
    const { upstream, target } = member;
    if (before !== 0 && flags === 0 && upstream.slowStart > 0) {
      member.warmSince = this.clock.precise();
      this.log.info({ upstream: upstream.name, target: target.name, milliseconds: upstream.slowStart }, "Target starts slowly");
    } else if (flags !== 0) member.warmSince = undefined;
    // The share first: nobody must see it in rotation with all of its weight.
    this.writeShare(member);
    this.board.setFlags(upstream.slot, target.slot, flags);
    this.stepSoon();
    this.watchPanic(upstream.name);
  }

  private writeShare(member: Member): void {
    const { upstream, target } = member;
    const base = target.weight === 0 || member.capacity === undefined ? 1 : member.capacity / target.weight;
    let share = 1000 * base * (member.agentPercent / 100);
    if (member.warmSince !== undefined) {
      const progress = (this.clock.precise() - member.warmSince) / upstream.slowStart;
      if (progress >= 1) member.warmSince = undefined;
      else share *= Math.max(LEAST_SHARE, Math.floor(progress * STEPS) * (1000 / STEPS)) / 1000;
    }
    this.board.setShare(upstream.slot, target.slot, Math.round(share));
  }

  /** One timer for all that start slowly. */
  private stepSoon(): void {
    if (this.cancelStep !== undefined) return;
    let shortest = Infinity;
    for (const { warmSince, upstream } of this.members.values()) if (warmSince !== undefined) shortest = Math.min(shortest, upstream.slowStart);
    if (shortest === Infinity) return;
    this.cancelStep = this.clock.after(Math.max(LEAST_STEP, shortest / STEPS), () => {
      this.cancelStep = undefined;
      for (const member of this.members.values()) if (member.warmSince !== undefined) this.writeShare(member);
      this.stepSoon();
    });
  }

  /** Workers find out by themselves; people are told here. */
  private watchPanic(name: string): void {
    const group = this.groups.get(name);
    if (group === undefined || group.config.panicThreshold === 0) return;
    const { config, members } = group;
    const tiers = members.reduce((most, { target }) => Math.max(most, target.tier), 0) + 1;
    const health = Array.from({ length: tiers }, () => ({ wanted: 0, healthy: 0 }));
    for (const { target, flags } of members) {
      if (target.weight === 0 || (flags & WITHDRAWN) !== 0) continue;
      health[target.tier]!.wanted++;
      if ((flags & UNHEALTHY) === 0) health[target.tier]!.healthy++;
    }
    const panic = tierShares(health, config.overprovisioning, config.panicThreshold).map((tier) => tier.panic);
    for (const [tier, now] of panic.entries()) {
      if (now === (group.panic[tier] ?? false)) continue;
      const fields = { upstream: name, healthy: `${health[tier]!.healthy}/${health[tier]!.wanted}`, threshold: `${config.panicThreshold}%`, ...(tiers > 1 ? { tier } : {}) };
      if (now) this.log.error(fields, "PANIC: too few targets are healthy; all of them are used");
      else this.log.info(fields, "Panic is over; only healthy targets are used");
    }
    group.panic = panic;
  }
}

/** What is known of one target. */
class Member {
  upstream!: UpstreamConfig;
  target!: TargetConfig;
  flags: number;
  /** When they became what they are, in wall-clock ms since 1970. */
  since: number;
  readonly drainReasons = new Set<string>();
  readonly maintenanceReasons = new Set<string>();
  agentPercent = 100;
  capacity: number | undefined = undefined;
  /** When its slow start began, in clock ms; undefined: it has its whole weight. */
  warmSince: number | undefined = undefined;
  cancelCut: (() => void) | undefined = undefined;

  constructor(flags: number, since: number) {
    this.flags = flags;
    this.since = since;
  }
}

function wordsOf(flags: number): string {
  const words: string[] = [];
  if ((flags & Flag.DOWN) !== 0) words.push("down");
  if ((flags & Flag.EJECTED) !== 0) words.push("ejected");
  if ((flags & Flag.SILENT) !== 0) words.push("silent");
  if ((flags & Flag.DRAINING) !== 0) words.push("draining");
  if ((flags & Flag.MAINTENANCE) !== 0) words.push("maintenance");
  return words.length === 0 ? "up" : words.join("+");
}
