/**
 * Which faults are injected: what the file says, and for a while what people say over it. Every worker goes by it.
 *
 * Workers know when a fault of a person's ends, and end it also when nobody is left to tell them.
 */
import { type FaultSettings, type ListedFault, LONGEST } from "../admin/faults.ts";
import { Problem } from "../admin/problem.ts";
import { type FaultScope, grows, missingTargets, toldKeysOf } from "../config/faults.ts";
import type { FaultRule, Snapshot } from "../config/snapshot.ts";
import type { FaultOverlay } from "../faults/faults.ts";
import type { Clock } from "../net/network.ts";
import type { Log } from "../observability/log.ts";
import type { Chronicle } from "../observability/timeline.ts";
import { routeLabel } from "../routing/router.ts";
import { type KeptFaults, keptOf, type SaidFault, saidOf } from "./kept-faults.ts";

const TIME_OVER = "its time is over";

export interface FaultControlOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly chronicle: Chronicle;
  /** In force now. */
  readonly snapshot: () => Snapshot;
  /** Resolves when all workers go by it. */
  readonly send: (overlay: FaultOverlay) => Promise<void>;
  /** For a supervisor that goes on with this instance. */
  readonly keep: (kept: KeptFaults) => void;
  /** Why nothing can be changed now; undefined: it can. */
  readonly closed: () => string | undefined;
}

export class FaultControl implements FaultSettings {
  private readonly options: FaultControlOptions;
  private file: readonly FaultRule[] | undefined = undefined;
  /** By name, the newest first. */
  private added: ReadonlyMap<string, SaidFault> = new Map();
  /** The file's that somebody has ended, by name; in force again when the file says something else of them. */
  private stopped: ReadonlyMap<string, SaidFault> = new Map();
  private cancelEnd: (() => void) | undefined = undefined;
  /** When those of people end, in the clock's precise ms: somebody may set the time of day back. */
  private readonly ends = new WeakMap<FaultRule, number>();

  constructor(options: FaultControlOptions) {
    this.options = options;
  }

  /**
   * Begin with what was said to the supervisor before this one, which ends when it would have ended there. Before workers run.
   *
   * @param value as it was kept; undefined: nothing was, or nobody goes on with this instance
   */
  restore(value: unknown): void {
    if (value !== undefined) {
      try {
        this.adopt(value);
      } catch (error) {
        this.options.log.error({ reason: (error as Error).message }, "What was said of faults is not understood: they are as the configuration says");
      }
    }
    void this.settle();
  }

  private adopt(value: unknown): void {
    const { clock, chronicle } = this.options;
    const { added, stopped } = saidOf(value);
    const wall = clock.wall();
    for (const { rule } of added) if (rule.until! <= wall) chronicle.record({ kind: "fault-over", summary: `Fault "${rule.name}" is injected no more: ${TIME_OVER}`, by: "supervisor" });
    // A clock that was set back makes nothing longer than anybody may ask for.
    const going = added.filter(({ rule }) => rule.until! > wall).map(({ rule, told }): SaidFault => ({ rule: { ...rule, until: Math.min(rule.until!, wall + LONGEST) }, told }));
    this.added = new Map(going.map((said) => [said.rule.name, said]));
    this.stopped = new Map(stopped.map((said) => [said.rule.name, said]));
    for (const { rule, told } of going) this.tellBegun(rule, told.by, "is injected still");
  }

  /** The file says this. Workers know it by their snapshot. */
  follow({ faults }: Snapshot): void {
    const before = this.inForce;
    const same = (rule: FaultRule): boolean => faults?.some((other) => Bun.deepEquals(other, rule)) === true;
    const { added, stopped } = this;
    this.file = faults;
    this.stopped = new Map([...stopped].filter(([, { rule }]) => same(rule)));
    if (faults === undefined) this.added = new Map();
    this.tell(before, "config");
    if (this.added.size !== added.size || this.stopped.size !== stopped.size) void this.settle();
  }

  /** No timer of it is left. */
  stop(): void {
    this.cancelEnd?.();
  }

  get enabled(): boolean {
    return this.file !== undefined;
  }

  get scope(): FaultScope {
    const { listeners, routes, upstreams } = this.options.snapshot();
    return { listeners, routes: routes.map(routeLabel), upstreams: upstreams.map((upstream) => ({ name: upstream.name, targets: upstream.targets.map(({ name }) => name), grows: grows(upstream) })) };
  }

  get list(): readonly ListedFault[] {
    const own = (this.file ?? []).filter(({ name }) => !this.added.has(name));
    return [
      ...[...this.added.values()].map(({ rule, told }) => ({ rule, source: "api" as const, active: true, told })),
      ...own.map((rule) => {
        const told = this.stopped.get(rule.name)?.told;
        return { rule, source: "file" as const, active: told === undefined, ...(told === undefined ? {} : { told }) };
      }),
    ];
  }

  private get inForce(): readonly FaultRule[] {
    return this.list.filter(({ active }) => active).map(({ rule }) => rule);
  }

  async inject(rule: FaultRule, by: string): Promise<void> {
    this.refuseWhenClosed();
    const before = this.inForce;
    const others = [...this.added].filter(([name]) => name !== rule.name);
    this.added = new Map([[rule.name, { rule, told: this.toldBy(by) }], ...others]);
    this.tell(before, by);
    await this.settle();
  }

  async end(name: string | undefined, by: string): Promise<number> {
    this.refuseWhenClosed();
    const before = this.inForce;
    const isMeant = (rule: FaultRule): boolean => name === undefined || rule.name === name;
    if (name !== undefined && !this.list.some(({ rule }) => isMeant(rule))) throw new Problem(404, `there is no fault "${name}"`);
    const told = this.toldBy(by);
    const resting = (this.file ?? []).filter((rule) => isMeant(rule) && !this.stopped.has(rule.name));
    this.added = new Map([...this.added].filter(([, { rule }]) => !isMeant(rule)));
    this.stopped = new Map([...this.stopped, ...resting.map((rule) => [rule.name, { rule, told }] as const)]);
    this.tell(before, by);
    await this.settle();
    return before.filter(isMeant).length;
  }

  /** Somebody's time is over. */
  private expire(): void {
    const before = this.inForce;
    const now = this.options.clock.precise();
    this.added = new Map([...this.added].filter(([, { rule }]) => this.endOf(rule) > now));
    this.tell(before, "supervisor", TIME_OVER);
    void this.settle();
  }

  /** Workers go by it from now on. */
  private settle(): Promise<void> {
    const { clock, send, keep } = this.options;
    this.cancelEnd?.();
    keep(keptOf({ added: [...this.added.values()], stopped: [...this.stopped.values()] }));
    const rules = [...this.added.values()].map(({ rule }) => rule);
    const next = Math.min(...rules.map((rule) => this.endOf(rule)));
    this.cancelEnd = rules.length === 0 ? undefined : clock.after(Math.max(1, Math.ceil(next - clock.precise())), () => this.expire());
    return send({ rules, stopped: [...this.stopped.keys()] });
  }

  /** @param rule with its end */
  private endOf(rule: FaultRule): number {
    const { clock } = this.options;
    let end = this.ends.get(rule);
    if (end === undefined) this.ends.set(rule, (end = clock.precise() + rule.until! - clock.wall()));
    return end;
  }

  /** @throws Problem 503 */
  private refuseWhenClosed(): void {
    const closed = this.options.closed();
    if (closed !== undefined) throw new Problem(503, closed);
  }

  private toldBy(by: string): SaidFault["told"] {
    return { by, at: new Date(this.options.clock.wall()).toISOString() };
  }

  /** What begins and ends. @param by who has changed it @param why in words, where that does not say it */
  private tell(before: readonly FaultRule[], by: string, why = ""): void {
    const { log, chronicle } = this.options;
    const after = this.inForce;
    for (const rule of before) {
      if (after.includes(rule)) continue;
      const { name } = rule;
      // One that another of its name has replaced goes on, in a way.
      if (after.some((other) => other.name === name)) continue;
      log.warn({ fault: name, by }, "Fault is injected no more");
      chronicle.record({ kind: "fault-over", summary: `Fault "${name}" is injected no more${why === "" ? "" : `: ${why}`}`, by });
    }
    for (const rule of after) {
      if (before.some((other) => Bun.deepEquals(other, rule))) continue;
      this.tellBegun(rule, by, "is injected");
    }
  }

  private tellBegun(rule: FaultRule, by: string, how: string): void {
    const { log, chronicle } = this.options;
    const { name, until } = rule;
    const keys = toldKeysOf(rule);
    const end = until === undefined ? {} : { until: new Date(until).toISOString() };
    const missing = missingTargets(rule, this.options.snapshot().upstreams);
    log.warn({ fault: name, by, keys, ...end, ...(missing.length === 0 ? {} : { missing }) }, "FAULT IS INJECTED");
    chronicle.record({ kind: "fault-injected", summary: `Fault "${name}" ${how}${until === undefined ? "" : ` until ${end.until}`}: ${Object.entries(keys).map(([key, value]) => `${key} ${JSON.stringify(value)}`).join(", ")}`, by });
  }
}
