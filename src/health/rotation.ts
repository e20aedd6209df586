/**
 * The one owner of every target's state in the scoreboard: is it in rotation, and with how much of its weight.
 *
 * Checks, outlier detection, heartbeats, agents and people each say their part; what follows from all of it is worked out here:
 * flags, slow start, the end of a drain. Lives where the checks do; workers only read.
 */
import type { Snapshot, TargetConfig, UpstreamConfig } from "../config/snapshot.ts";
import type { Clock } from "../net/network.ts";
import type { EventKind } from "../observability/event-kind.ts";
import type { Log } from "../observability/log.ts";
import { type Chronicle, NO_CHRONICLE } from "../observability/timeline.ts";
import { Flag, type Scoreboard, UNHEALTHY, WITHDRAWN } from "../scoreboard/scoreboard.ts";
import { tierShares } from "../upstream/tiers.ts";
import { formatDuration } from "./check.ts";

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
  /** Absent: nobody asks afterwards what happened. */
  readonly chronicle?: Chronicle;
}

/** What a change follows from, for the timeline. */
export interface Because {
  /** The end of a sentence: "3 checks failed in a row". */
  readonly why: string;
  readonly by: string;
  /** The newest of these led to it. */
  readonly follows?: EventKind;
}

/** For inspection. */
export interface RotationStatus {
  /** In words: up, down, ejected, silent, draining, maintenance; several joined by "+". */
  readonly state: string;
  /** Of its configured weight, from 0 on; 1 is all of it. */
  readonly share: number;
}

/** That a target is not wanted, for one reason of several that there may be. */
export interface Withdrawn {
  /** "admin", "config", "agent", "heartbeat", "supervised". */
  readonly reason: string;
  readonly state: "drain" | "maint";
  /** Who said so, where that is not the reason, as "api:NAME". */
  readonly by: string;
  /** Wall-clock ms since 1970. */
  readonly since: number;
}

/** Why a target gets the part of its weight that it gets, and who has taken it out. */
export interface RotationDetail {
  /** Percent of the configured weight that its agent wants. */
  readonly agentPercent: number;
  /** The weight that its heartbeat brings, instead of the configured one. */
  readonly capacity: number | undefined;
  /** When its slow start will be over, in wall-clock ms since 1970. */
  readonly warmAt: number | undefined;
  readonly withdrawn: readonly Withdrawn[];
  /** When what is open to it will be closed, in wall-clock ms since 1970; undefined: it is not withdrawn, or that is over. */
  readonly cutAt: number | undefined;
}

export class Rotation {
  private readonly board: Scoreboard;
  private readonly clock: Clock;
  private readonly log: Log;
  private readonly chronicle: Chronicle;
  private members = new Map<number, Member>();
  private groups = new Map<string, { readonly config: UpstreamConfig; readonly members: Member[]; panic: readonly boolean[] }>();
  private cancelStep: (() => void) | undefined = undefined;
  private started = false;

  constructor({ scoreboard, clock, log, chronicle = NO_CHRONICLE }: RotationOptions) {
    this.board = scoreboard;
    this.clock = clock;
    this.log = log;
    this.chronicle = chronicle;
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
        if (!stays && this.started && upstream.slowStart > 0 && upstream.targets.length > 1) this.warm(member);
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
  setUnhealthy(slot: number, flag: Ailment, on: boolean, { why, by, follows }: Because = UNEXPLAINED): void {
    const member = this.members.get(slot);
    if (member === undefined || ((member.flags & flag) !== 0) === on) return;
    const [kind, word] = AILMENTS[flag][on ? "begins" : "ends"];
    const cause = follows === undefined ? 0 : (this.chronicle.latest(member.upstream.name, member.target.name, follows)?.id ?? 0);
    const id = this.tell(member, kind, why === "" ? word : `${word}: ${why}`, by, cause);
    this.write(member, on ? member.flags | flag : member.flags & ~flag, id);
  }

  /**
   * A target is not wanted for a reason, or no longer; it takes part again when no reason is left.
   * @param reason who wants it so: "config", "agent", "heartbeat", "admin"
   * @param by the same for the timeline, where more is known
   */
  setWithdrawn(slot: number, flag: Withdrawal, reason: string, on: boolean, by = reason): void {
    const member = this.members.get(slot);
    if (member !== undefined) this.withdraw(member, flag, reason, on, by);
  }

  /** The same for one who wants one of the three: never is the target ready in between. */
  setMode(slot: number, reason: string, mode: "ready" | "drain" | "maint", by = reason): void {
    const member = this.members.get(slot);
    if (member === undefined) return;
    const flags: readonly Withdrawal[] = mode === "maint" ? [Flag.MAINTENANCE, Flag.DRAINING] : [Flag.DRAINING, Flag.MAINTENANCE];
    for (const flag of flags) this.withdraw(member, flag, reason, mode === (flag === Flag.DRAINING ? "drain" : "maint"), by);
  }

  /** Percent of the configured weight, as an agent says. */
  setAgentWeight(slot: number, percent: number): void {
    const member = this.members.get(slot);
    if (member === undefined || member.agentPercent === percent) return;
    this.tell(member, "weight", `${percent}% of its weight of ${member.target.weight}, before ${member.agentPercent}%`, "agent");
    member.agentPercent = percent;
    this.writeShare(member);
  }

  /** The weight that a heartbeat brings; undefined: the configured one. */
  setCapacity(slot: number, capacity: number | undefined): void {
    const member = this.members.get(slot);
    if (member === undefined || member.capacity === capacity) return;
    this.tell(member, "weight", `Weight ${capacity ?? member.target.weight}, before ${member.capacity ?? member.target.weight}`, "heartbeat");
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

  /** Undefined: it is no target. */
  detail(slot: number): RotationDetail | undefined {
    const member = this.members.get(slot);
    if (member === undefined) return undefined;
    const { agentPercent, capacity, warmSince, drainReasons, maintenanceReasons, cutAt, upstream } = member;
    return {
      agentPercent,
      capacity,
      warmAt: warmSince === undefined ? undefined : this.clock.wall() + Math.max(0, warmSince + upstream.slowStart - this.clock.precise()),
      withdrawn: [...[...maintenanceReasons].map(([reason, said]) => ({ reason, state: "maint" as const, ...said })), ...[...drainReasons].map(([reason, said]) => ({ reason, state: "drain" as const, ...said }))],
      cutAt,
    };
  }

  /** When the present state began, or was first known, in wall-clock ms since 1970. */
  since(slot: number): number {
    return this.members.get(slot)?.since ?? 0;
  }

  /** Upstreams of which so few targets are healthy that all are used. */
  get panicking(): string[] {
    return [...this.groups].filter(([, { panic }]) => panic.some(Boolean)).map(([name]) => name);
  }

  private withdraw(member: Member, flag: Withdrawal, reason: string, on: boolean, by = reason): void {
    const reasons = flag === Flag.DRAINING ? member.drainReasons : member.maintenanceReasons;
    if (reasons.has(reason) === on) return;
    if (on) reasons.set(reason, { by, since: this.clock.wall() });
    else reasons.delete(reason);
    const { upstream, target } = member;
    const before = member.flags;
    let flags = before & ~WITHDRAWN;
    if (member.drainReasons.size > 0) flags |= Flag.DRAINING | (before & Flag.CUT);
    // Maintenance is a drain too: what is open gets the same time.
    if (member.maintenanceReasons.size > 0) flags |= Flag.MAINTENANCE | (before & Flag.CUT);
    const id = this.tellWithdrawal(member, flag, reason, on, by);
    this.write(member, flags, id);
    const was = (before & WITHDRAWN) !== 0;
    const is = (flags & WITHDRAWN) !== 0;
    if (was === is) return;
    this.log.info({ upstream: upstream.name, target: target.name, reason, state: wordsOf(flags) }, is ? "Target takes no new requests" : "Target takes requests again");
    member.cancelCut?.();
    member.cancelCut = is ? this.clock.after(upstream.drainTimeout, () => this.cut(member)) : undefined;
    member.cutAt = is ? this.clock.wall() + upstream.drainTimeout : undefined;
  }

  private tellWithdrawal(member: Member, flag: Withdrawal, reason: string, on: boolean, by: string): number {
    const { drainReasons, maintenanceReasons, upstream, target } = member;
    if (on) {
      const kind = flag === Flag.DRAINING ? "drain" : "maintenance";
      const known = this.chronicle.latest(upstream.name, target.name, "drain", "maintenance", "ready");
      // Said to the supervisor before us.
      if (known?.kind === kind && known.by === by) return known.id;
      const timeout = formatDuration(upstream.drainTimeout);
      return this.tell(member, kind, `${kind === "drain" ? "Drained" : "Out of service"} by ${by}: what is open may go on for ${timeout}`, by);
    }
    // It goes from one to the other.
    if (drainReasons.has(reason) || maintenanceReasons.has(reason)) return 0;
    const others = [...new Set([...drainReasons.keys(), ...maintenanceReasons.keys()])];
    const summary = others.length === 0 ? `Ready by ${by}` : `No longer taken out by ${by}, but by ${others.join(", ")} still`;
    return this.tell(member, "ready", summary, by, this.chronicle.latest(upstream.name, target.name, "drain", "maintenance")?.id);
  }

  private tell({ upstream, target }: Member, kind: EventKind, summary: string, by: string, cause = 0): number {
    return this.chronicle.record({ kind, upstream: upstream.name, target: target.name, summary, by, cause });
  }

  private cut(member: Member): void {
    member.cancelCut = undefined;
    member.cutAt = undefined;
    const { upstream, target } = member;
    this.tell(member, "drain-cut", `What is open to it is closed: ${formatDuration(upstream.drainTimeout)} to drain are over`, "", this.chronicle.latest(upstream.name, target.name, "drain", "maintenance")?.id);
    this.log.info({ upstream: member.upstream.name, target: member.target.name, after: member.upstream.drainTimeout }, "Drain is over; what is open to the target is closed");
    this.write(member, member.flags | Flag.CUT);
  }

  /** @param event what led to it */
  private write(member: Member, flags: number, event = 0): void {
    const before = member.flags;
    if (before === flags) return;
    member.flags = flags;
    member.since = this.clock.wall();
    const { upstream, target } = member;
    if (before !== 0 && flags === 0 && upstream.slowStart > 0) {
      this.log.info({ upstream: upstream.name, target: target.name, milliseconds: upstream.slowStart }, "Target starts slowly");
      this.warm(member, event);
    } else if (flags !== 0) member.warmSince = undefined;
    // The share first: nobody must see it in rotation with all of its weight.
    this.writeShare(member);
    this.board.setFlags(upstream.slot, target.slot, flags);
    this.stepSoon();
    this.watchPanic(upstream.name, event);
  }

  private warm(member: Member, event = 0): void {
    member.warmSince = this.clock.precise();
    this.tell(member, "slow-start", `Starts slowly: all of its weight in ${formatDuration(member.upstream.slowStart)}`, "", event);
  }

  private writeShare(member: Member): void {
    const { upstream, target } = member;
    const base = target.weight === 0 || member.capacity === undefined ? 1 : member.capacity / target.weight;
    let share = 1000 * base * (member.agentPercent / 100);
    if (member.warmSince !== undefined) {
      const progress = (this.clock.precise() - member.warmSince) / upstream.slowStart;
      if (progress >= 1) {
        member.warmSince = undefined;
        this.tell(member, "slow-start-over", "Takes all of its weight", "", this.chronicle.latest(upstream.name, target.name, "slow-start")?.id);
      } else share *= Math.max(LEAST_SHARE, Math.floor(progress * STEPS) * (1000 / STEPS)) / 1000;
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
  private watchPanic(name: string, event = 0): void {
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
      const healthyOf = `${health[tier]!.healthy} of ${health[tier]!.wanted} targets${tiers > 1 ? ` of tier ${tier}` : ""} healthy`;
      this.chronicle.record({ kind: now ? "panic" : "panic-over", upstream: name, summary: now ? `Panic: ${healthyOf}, less than ${config.panicThreshold}%; all of them are used` : `Panic is over: ${healthyOf}`, cause: event });
    }
    group.panic = panic;
  }
}

/** What can be wrong with a target, and what is told of its begin and end. */
const AILMENTS = {
  [Flag.DOWN]: { begins: ["down", "Down"], ends: ["up", "Up"] },
  [Flag.EJECTED]: { begins: ["ejected", "Ejected"], ends: ["ejection-over", "Back after its ejection"] },
  [Flag.SILENT]: { begins: ["silent", "Out"], ends: ["heard-again", "Back"] },
} as const satisfies Record<number, { readonly begins: readonly [EventKind, string]; readonly ends: readonly [EventKind, string] }>;

type Ailment = keyof typeof AILMENTS;
type Withdrawal = typeof Flag.DRAINING | typeof Flag.MAINTENANCE;

const UNEXPLAINED: Because = { why: "", by: "" };

/** Who wants something so, and since when, in wall-clock ms since 1970. */
interface Said {
  readonly by: string;
  readonly since: number;
}

/** What is known of one target. */
class Member {
  upstream!: UpstreamConfig;
  target!: TargetConfig;
  flags: number;
  /** When they became what they are, in wall-clock ms since 1970. */
  since: number;
  /** By what they are for: "admin", "config", … */
  readonly drainReasons = new Map<string, Said>();
  readonly maintenanceReasons = new Map<string, Said>();
  agentPercent = 100;
  capacity: number | undefined = undefined;
  /** When its slow start began, in clock ms; undefined: it has its whole weight. */
  warmSince: number | undefined = undefined;
  cancelCut: (() => void) | undefined = undefined;
  cutAt: number | undefined = undefined;

  constructor(flags: number, since: number) {
    this.flags = flags;
    this.since = since;
  }
}

/** A state for people. @param flags of the scoreboard */
export function wordsOf(flags: number): string {
  const words: string[] = [];
  if ((flags & Flag.DOWN) !== 0) words.push("down");
  if ((flags & Flag.EJECTED) !== 0) words.push("ejected");
  if ((flags & Flag.SILENT) !== 0) words.push("silent");
  if ((flags & Flag.DRAINING) !== 0) words.push("draining");
  if ((flags & Flag.MAINTENANCE) !== 0) words.push("maintenance");
  return words.length === 0 ? "up" : words.join("+");
}
