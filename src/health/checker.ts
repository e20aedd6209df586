/**
 * Watches every target of a snapshot that has a health check, and tells the rotation what it finds.
 *
 * Lives in the supervisor (or in the one process of the library).
 */
import { proxyHeader } from "../accept/proxy-header-writer.ts";
import type { HealthCheckConfig, Snapshot, TargetConfig, UpstreamConfig } from "../config/snapshot.ts";
import type { Network } from "../net/network.ts";
import type { TlsClient } from "../net/tls.ts";
import type { Log } from "../observability/log.ts";
import { type Chronicle, NO_CHRONICLE } from "../observability/timeline.ts";
import { CHECK_TIMES, type Column, Flag, type Scoreboard, TOTAL_CHECKS_FAILED, TOTAL_CHECKS_PASSED } from "../scoreboard/scoreboard.ts";
import { UpstreamSecurity } from "../upstream/tls.ts";
import type { AgentOrders, CheckContext, PreparedCheck, Verdict } from "./check.ts";
import { HangingConnects } from "./hanging.ts";
import { type CheckResult, TargetHealth } from "./health.ts";
import { kindOf } from "./kinds.ts";
import type { Because, Rotation } from "./rotation.ts";
import { firstDelay, Gate, nextDelay, secondDelay } from "./schedule.ts";

/** What http and tcp checks over TLS offer. */
const CHECK_PROTOCOLS: readonly string[] = ["http/1.1"];
/** Checks that run at the same time, over all upstreams. */
export const MAX_CHECKS_IN_FLIGHT = 256;
/** Between two complaints that checks cannot be made, in milliseconds. */
const COMPLAIN_EVERY = 10_000;

export interface HealthCheckerOptions {
  readonly network: Network;
  readonly scoreboard: Scoreboard;
  /** Must have applied a snapshot before the checker does. */
  readonly rotation: Rotation;
  readonly log: Log;
  /** Absent: nobody asks afterwards what happened. */
  readonly chronicle?: Chronicle;
  /** Hears of each check that passes, and whether it brought the target back. */
  readonly passed?: (slot: number, back: boolean) => void;
  /** See CheckContext. */
  readonly starter?: () => readonly string[];
}

export interface ApplyOptions {
  /**
   * For a supervisor that takes over a scoreboard: true for the slots whose state there was found out by checks before.
   * It stands, whatever `initial` says, until `rise` or `fall` results speak against it. Without it, only targets that
   * the scoreboard has as down are taken so; an "up" there cannot be told from fresh memory.
   */
  readonly adopted?: (slot: number) => boolean;
}

/** One target, for inspection. */
export interface TargetStatus {
  readonly upstream: string;
  /** The target's address as written. */
  readonly name: string;
  readonly slot: number;
  /** The kind of its check; "none" for a target that is always up. */
  readonly check: string;
  readonly up: boolean;
  /** When the present state began, or was first known, in wall-clock milliseconds since 1970. */
  readonly since: number;
  readonly lastResult: CheckResult | undefined;
  /** Consecutive, up to now. */
  readonly successes: number;
  readonly failures: number;
}

export class HealthChecker {
  private readonly network: Network;
  private readonly scoreboard: Scoreboard;
  private readonly rotation: Rotation;
  private readonly log: Log;
  private readonly chronicle: Chronicle;
  private readonly passed: ((slot: number, back: boolean) => void) | undefined;
  private readonly context: CheckContext;
  private readonly gate = new Gate(MAX_CHECKS_IN_FLIGHT);
  /** When it was last said that checks cannot be made, in the clock's milliseconds. */
  private complainedAt = Number.NEGATIVE_INFINITY;
  private watches = new Map<number, Watch>();
  private groups = new Map<string, Group>();

  constructor(options: HealthCheckerOptions) {
    this.network = options.network;
    this.scoreboard = options.scoreboard;
    this.rotation = options.rotation;
    this.log = options.log;
    this.chronicle = options.chronicle ?? NO_CHRONICLE;
    this.passed = options.passed;
    this.context = { network: options.network, hanging: new HangingConnects(), ...(options.starter === undefined ? {} : { starter: options.starter }) };
  }

  /**
   * Watch the targets of this snapshot. What did not change (same upstream, slot, address and check) keeps its state, counts and
   * running schedule; a check that changed keeps the state and starts at once. Slots that were newly given must have been cleared.
   */
  apply(snapshot: Snapshot, options: ApplyOptions = {}): void {
    const before = this.watches;
    this.watches = new Map();
    const groups = new Map<string, Group>();
    const fresh: Watch[] = [];
    const replaced: Watch[] = [];
    for (const upstream of snapshot.upstreams) {
      const group = new Group(upstream, this.groups.get(upstream.name), this.network, this.scoreboard);
      groups.set(upstream.name, group);
      for (const target of upstream.targets) {
        const known = before.get(target.slot);
        const watch = this.carryOver(known, group, target) ?? this.adopt(group, target, options, known);
        this.watches.set(target.slot, watch);
        if (watch !== known) {
          if (known !== undefined) replaced.push(known);
          if (group.config !== undefined) fresh.push(watch);
        }
        group.add(watch.health.up);
      }
    }
    this.groups = groups;
    for (const [slot, watch] of before) if (!this.watches.has(slot)) replaced.push(watch);
    this.halt(replaced);
    for (const watch of fresh) {
      watch.start = () => this.run(watch);
      this.wait(watch, firstDelay(watch.group.config!.interval, fresh.length, this.network.random()));
    }
    this.sayWaiting(fresh);
  }

  /** Stop all checks. The scoreboard stays as it is. */
  stop(): void {
    this.halt(this.watches.values());
    this.watches.clear();
    this.groups.clear();
  }

  /** Every target in the order of the config. */
  status(): TargetStatus[] {
    return Array.from(this.watches.values(), statusOf);
  }

  /** Of one target; undefined: it is not among them. */
  of(slot: number): TargetStatus | undefined {
    const watch = this.watches.get(slot);
    return watch === undefined ? undefined : statusOf(watch);
  }

  /** The same watch, if nothing that it rests on changed. */
  private carryOver(known: Watch | undefined, group: Group, target: TargetConfig): Watch | undefined {
    if (known === undefined || !known.isOf(group, target) || known.group.checkKey !== group.checkKey) return undefined;
    if (known.target.healthPath !== target.healthPath) return undefined;
    known.group = group;
    known.target = target;
    return known;
  }

  /** A new watch, with what is known already about the target's state. */
  private adopt(group: Group, target: TargetConfig, options: ApplyOptions, known: Watch | undefined): Watch {
    const now = this.network.clock.wall();
    const { slot } = target;
    const onBoard = this.scoreboard.isUp(slot);
    if (group.config === undefined) {
      if (!onBoard) this.setUp(slot, true, { why: "no check watches it any more", by: "config" });
      return new Watch(group, target, new TargetHealth(true, now, false));
    }
    const stood = known !== undefined && known.isOf(group, target);
    if (stood && known.group.config !== undefined) {
      known.health.recount();
      return new Watch(group, target, known.health);
    }
    // A target that was in use without a check is not taken out before its first one.
    const decided = stood || !onBoard || options.adopted?.(slot) === true;
    const up = decided ? onBoard : group.config.initial === "up";
    if (up !== onBoard) this.setUp(slot, up, { why: up ? "until checks say otherwise" : "until checks pass", by: "config" });
    return new Watch(group, target, new TargetHealth(up, now, decided));
  }

  private sayWaiting(fresh: readonly Watch[]): void {
    const waiting = new Map<Group, number>();
    for (const { group, health } of fresh) if (!health.up) waiting.set(group, (waiting.get(group) ?? 0) + 1);
    for (const [group, count] of waiting) this.log.info({ upstream: group.name, targets: count }, "down until checks pass");
  }

  private halt(watches: Iterable<Watch>): void {
    const all = [...watches];
    // All leave the queue before the first place at the gate gets free, or it would go to one that is about to stop.
    for (const watch of all) this.gate.withdraw(watch.start);
    for (const watch of all) {
      watch.halted = true;
      watch.cancel?.();
      watch.cancel = undefined;
      if (watch.running) this.gate.leave();
      watch.running = false;
    }
  }

  private wait(watch: Watch, delay: number): void {
    watch.cancel = this.network.clock.after(delay, () => {
      watch.cancel = undefined;
      this.gate.enter(watch.start);
    });
  }

  private run(watch: Watch): void {
    const config = watch.group.config!;
    const started = this.network.clock.precise();
    watch.running = true;
    watch.prepared ??= kindOf(watch.target, config).prepare(watch.target, config);
    watch.tls ??= config.tls ? watch.group.security?.client(watch.target.address, CHECK_PROTOCOLS) : undefined;
    const { preface } = watch.group;
    const context = watch.tls === undefined && preface === undefined ? this.context : { ...this.context, ...(watch.tls === undefined ? {} : { tls: watch.tls }), ...(preface === undefined ? {} : { preface }) };
    const cancel = watch.prepared.run(context, (verdict) => {
      if (watch.halted) return;
      watch.cancel = undefined;
      watch.running = false;
      const took = this.network.clock.precise() - started;
      const { counters } = watch.group;
      counters.add(verdict.ok ? TOTAL_CHECKS_PASSED : TOTAL_CHECKS_FAILED);
      counters.observe(CHECK_TIMES, this.scoreboard.bounds.bucketOf(took), took);
      this.settle(watch, verdict, took);
      const { interval } = watch.group.config!;
      const delay = watch.spread ? nextDelay(interval, this.network.random()) : secondDelay(interval, this.network.random());
      watch.spread = true;
      this.wait(watch, Math.max(0, delay - took));
      this.gate.leave();
    });
    if (watch.running) watch.cancel = cancel;
  }

  private settle(watch: Watch, verdict: Verdict, took: number): void {
    const { group, target, health } = watch;
    const { rise, fall } = group.config!;
    const milliseconds = Math.round(took * 10) / 10;
    const before = { up: health.up, decided: health.decided, successes: health.successes, failures: health.failures };
    const changed = health.record(verdict, this.network.clock.wall(), milliseconds, rise, fall);
    this.log.debug({ upstream: group.name, target: target.name, ok: verdict.ok, reason: verdict.reason, milliseconds }, "health check");
    if (!verdict.conclusive) this.complain(verdict.reason);
    else this.tell(watch, verdict, before);
    if (verdict.orders !== undefined) this.follow(target.slot, verdict.orders);
    if (verdict.ok) this.passed?.(target.slot, changed);
    if (!changed) return;
    const row = health.up ? health.successes : health.failures;
    const why = `${row} ${row === 1 ? "check" : "checks"} ${health.up ? "passed" : "failed"}${row === 1 ? "" : " in a row"}: ${verdict.reason}`;
    this.setUp(target.slot, health.up, { why, by: "check", follows: health.up ? "check-passed" : "check-failed" });
    group.up += health.up ? 1 : -1;
    const fields = { upstream: group.name, target: target.name, state: health.up ? "up" : "down", reason: verdict.reason };
    const message = `Healthy targets: ${group.up}/${group.total}`;
    if (health.up) this.log.info(fields, message);
    else if (group.up > 0) this.log.warn(fields, message);
    else this.log.error(fields, message);
  }

  /** A result is told of when it speaks against the target's state, or is another one than the last. */
  private tell({ group, target, health }: Watch, { ok, reason }: Verdict, before: Pick<TargetHealth, "up" | "decided" | "successes" | "failures">): void {
    const against = ok !== before.up;
    if (!against && (ok ? before.failures : before.successes) === 0) return;
    const { rise, fall } = group.config!;
    const [row, needed] = ok ? [health.successes, rise] : [health.failures, fall];
    const count = !against ? "" : before.decided ? ` (${row} of ${needed})` : " (the first one decides)";
    const kind = ok ? "check-passed" : "check-failed";
    // The one before it in the row; else what it breaks, or is to end.
    const begins = !against ? (ok ? "check-failed" : "check-passed") : ok ? "down" : undefined;
    const follows = row > 1 ? kind : begins;
    const cause = follows === undefined ? 0 : (this.chronicle.latest(group.name, target.name, follows)?.id ?? 0);
    this.chronicle.record({ kind, upstream: group.name, target: target.name, summary: `Check ${ok ? "passed" : "failed"}${count}: ${reason}`, by: "check", cause });
  }

  private setUp(slot: number, up: boolean, because: Because): void {
    this.rotation.setUnhealthy(slot, Flag.DOWN, !up, because);
  }

  private follow(slot: number, { weight, mode }: AgentOrders): void {
    if (weight !== undefined) this.rotation.setAgentWeight(slot, weight);
    if (mode === undefined) return;
    this.rotation.setMode(slot, "agent", mode);
  }

  private complain(reason: string): void {
    const now = this.network.clock.precise();
    if (now - this.complainedAt < COMPLAIN_EVERY) return;
    this.complainedAt = now;
    this.log.error({ reason }, "health checks cannot be made; targets stay as they are (raise the limit of open files: ulimit -n)");
  }
}

function statusOf({ group, target, health }: Watch): TargetStatus {
  return {
    upstream: group.name,
    name: target.name,
    slot: target.slot,
    check: group.config === undefined ? "none" : kindOf(target, group.config).name,
    up: health.up,
    since: health.since,
    lastResult: health.lastResult,
    successes: health.successes,
    failures: health.failures,
  };
}

/** What the watched targets of one upstream have in common: their check, and how many of them are up. */
class Group {
  readonly name: string;
  readonly config: HealthCheckConfig | undefined;
  /** Equal for equal checks. */
  readonly checkKey: string;
  /** Undefined: targets are spoken to in the clear. */
  readonly security: UpstreamSecurity | undefined;
  /** Says that a check is our own connection; undefined: targets expect nothing of the kind, another port neither. */
  readonly preface: Buffer | undefined;
  readonly counters: Column;
  total = 0;
  up = 0;

  constructor(upstream: UpstreamConfig, before: Group | undefined, network: Network, board: Scoreboard) {
    this.counters = board.supervisorColumn(upstream.slot);
    const { tls, healthCheck, proxyProtocol } = upstream;
    this.name = upstream.name;
    this.config = healthCheck;
    if (tls !== undefined && healthCheck?.tls === true) this.security = before?.security?.isFor(tls) === true ? before.security : new UpstreamSecurity(network, tls, 0);
    if (proxyProtocol !== undefined && healthCheck?.port === undefined) this.preface = proxyHeader(proxyProtocol, undefined);
    const key = JSON.stringify([healthCheck, this.security === undefined ? undefined : tls, this.preface === undefined ? undefined : proxyProtocol]);
    // The same string object where it is equal: comparing it for 10,000 targets is then comparing pointers.
    this.checkKey = before !== undefined && before.checkKey === key ? before.checkKey : key;
  }

  add(up: boolean): void {
    this.total += 1;
    if (up) this.up += 1;
  }
}

/** One target and where its schedule stands. */
class Watch {
  group: Group;
  target: TargetConfig;
  readonly health: TargetHealth;
  prepared: PreparedCheck | undefined = undefined;
  tls: TlsClient | undefined = undefined;
  /** Runs one check; stands for this watch in the gate's queue. */
  start: () => void = () => {};
  /** Calls off the timer or the check that runs. */
  cancel: (() => void) | undefined = undefined;
  running = false;
  halted = false;
  /** The second check has been placed. */
  spread = false;

  constructor(group: Group, target: TargetConfig, health: TargetHealth) {
    this.group = group;
    this.target = target;
    this.health = health;
  }

  /** The target stands where this watch's one stood. */
  isOf(group: Group, target: TargetConfig): boolean {
    return this.group.name === group.name && this.target.name === target.name;
  }
}
