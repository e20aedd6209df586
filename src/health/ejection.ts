/**
 * Outlier detection: takes targets out of rotation that fail real requests, for a while that grows, and never too many of them.
 *
 * As in Envoy (arch overview, outlier detection): failures in a row are reported by the workers as they happen; success rates are compared
 * each interval, against mean − factor × standard deviation. The n-th ejection lasts n times the base; each interval without one
 * takes one back. The last target in rotation is never ejected. A health check that passes ends an ejection where it knows better.
 */
import type { OutlierConfig, Snapshot, UpstreamConfig } from "../config/snapshot.ts";
import type { Clock } from "../net/network.ts";
import type { Log } from "../observability/log.ts";
import { type Chronicle, NO_CHRONICLE } from "../observability/timeline.ts";
import { EJECTIONS, Flag, type Scoreboard, TOTAL_5XX, TOTAL_FAILURES, TOTAL_REQUESTS } from "../scoreboard/scoreboard.ts";
import { type Detector, DETECTORS, type OutlierReport } from "../upstream/outliers.ts";
import { formatDuration } from "./check.ts";
import type { Rotation } from "./rotation.ts";

/** Who ejects, in the timeline. */
const BY = "outlier-detection";

export interface EjectionOptions {
  readonly scoreboard: Scoreboard;
  readonly rotation: Rotation;
  readonly clock: Clock;
  readonly log: Log;
  /** Absent: nobody asks afterwards what happened. */
  readonly chronicle?: Chronicle;
}

/** For inspection. */
export interface EjectionStatus {
  readonly slot: number;
  readonly detector: Detector;
  /** Wall-clock milliseconds since 1970. */
  readonly until: number;
  readonly times: number;
}

export class Ejection {
  private readonly options: EjectionOptions;
  private groups = new Map<string, Group>();

  constructor(options: EjectionOptions) {
    this.options = options;
  }

  /** These are the upstreams from now on; who is ejected stays so. */
  apply(snapshot: Snapshot): void {
    const before = this.groups;
    this.groups = new Map();
    for (const upstream of snapshot.upstreams) {
      const known = before.get(upstream.name);
      before.delete(upstream.name);
      const group = known ?? new Group();
      this.groups.set(upstream.name, group);
      this.watch(group, upstream);
    }
    for (const group of before.values()) group.stop();
  }

  stop(): void {
    for (const group of this.groups.values()) group.stop();
  }

  /** Who is out now. */
  status(): EjectionStatus[] {
    return [...this.groups.values()].flatMap(({ records }) => [...records].flatMap(([slot, { until, times, detector }]) => (until === undefined ? [] : [{ slot, detector, until, times }])));
  }

  /** Of one target; undefined: it is not out. */
  of(upstream: string, slot: number): EjectionStatus | undefined {
    const record = this.groups.get(upstream)?.records.get(slot);
    return record?.until === undefined ? undefined : { slot, detector: record.detector, until: record.until, times: record.times };
  }

  /** A worker has seen too many failures in a row. */
  report({ upstream, target, detector }: OutlierReport): void {
    const group = this.groups.get(upstream);
    const config = group?.upstream?.targets.find(({ name }) => name === target);
    if (group !== undefined && config !== undefined) this.eject(group, config.slot, target, detector, inWords(detector, group.upstream!.outliers));
  }

  /**
   * A health check of it passed: whoever was out because it could not be reached can be reached again, and one that was down and comes back has
   * been mended or started anew, so what it did before counts no more.
   */
  passed(slot: number, back: boolean): void {
    for (const group of this.groups.values()) {
      const record = group.records.get(slot);
      if (record?.until === undefined || (!back && record.detector !== "consecutive-local")) continue;
      record.cancel?.();
      this.release(group, slot, record, "before its time, for a check passed");
    }
  }

  private release(group: Group, slot: number, record: Record, why = ""): void {
    record.cancel = undefined;
    record.until = undefined;
    this.options.rotation.setUnhealthy(slot, Flag.EJECTED, false, { why, by: why === "" ? BY : "check", follows: "ejected" });
    const { name, targets } = group.upstream!;
    this.options.log.info({ upstream: name, target: targets.find((target) => target.slot === slot)?.name ?? "" }, "Target is back after its ejection");
  }

  private watch(group: Group, upstream: UpstreamConfig): void {
    const interval = upstream.outliers.interval;
    const sameInterval = group.upstream?.outliers.interval === interval;
    group.upstream = upstream;
    const slots = new Set(upstream.targets.map(({ slot }) => slot));
    for (const [slot, record] of group.records) {
      if (slots.has(slot)) continue;
      record.cancel?.();
      group.records.delete(slot);
    }
    if (sameInterval && group.cancelInterval !== undefined) return;
    group.cancelInterval?.();
    const again = (): void => {
      group.cancelInterval = this.options.clock.after(group.upstream!.outliers.interval, () => {
        this.look(group);
        again();
      });
    };
    group.cancelInterval = undefined;
    if (isOn(upstream.outliers)) again();
  }

  /** Once an interval: compare success rates, and forget an ejection of those that behaved. */
  private look(group: Group): void {
    const { targets, outliers } = group.upstream!;
    for (const record of group.records.values()) if (record.until === undefined && record.times > 0) record.times--;
    const rates = this.rates(group);
    if (outliers.successRateFactor === 0 || rates.length < outliers.successRateMinTargets) return;
    const mean = rates.reduce((sum, { rate }) => sum + rate, 0) / rates.length;
    const deviation = Math.sqrt(rates.reduce((sum, { rate }) => sum + (rate - mean) ** 2, 0) / rates.length);
    const threshold = mean - outliers.successRateFactor * deviation;
    for (const { slot, rate } of rates) if (rate < threshold) this.eject(group, slot, targets.find((target) => target.slot === slot)!.name, "success-rate", `a success rate of ${percent(rate)}, below ${percent(threshold)}`);
  }

  /** Success rates of the last interval, of those that had enough requests. */
  private rates(group: Group): { readonly slot: number; readonly rate: number }[] {
    const { scoreboard } = this.options;
    const { targets, outliers } = group.upstream!;
    if (outliers.successRateFactor === 0) return [];
    const rates: { slot: number; rate: number }[] = [];
    for (const { slot } of targets) {
      const requests = scoreboard.targets.sum(slot, TOTAL_REQUESTS);
      const errors = scoreboard.targets.sum(slot, TOTAL_FAILURES) + scoreboard.targets.sum(slot, TOTAL_5XX);
      const before = group.counts.get(slot);
      group.counts.set(slot, { requests, errors });
      const seen = before === undefined ? 0 : requests - before.requests;
      if (before !== undefined && seen >= outliers.successRateMinRequests) rates.push({ slot, rate: 1 - (errors - before.errors) / seen });
    }
    return rates;
  }

  /** @param reason in words */
  private eject(group: Group, slot: number, name: string, detector: Detector, reason: string): void {
    const { scoreboard, rotation, clock, log, chronicle = NO_CHRONICLE } = this.options;
    const { targets, outliers, name: upstream } = group.upstream!;
    const record = group.recordOf(slot);
    if (record.until !== undefined || !rotation.isIn(slot)) return;
    const out = targets.filter((target) => group.records.get(target.slot)?.until !== undefined).length;
    const allowed = Math.max(1, Math.floor((targets.length * outliers.maxEjected) / 100));
    const others = targets.filter((target) => target.slot !== slot && target.weight > 0 && rotation.isIn(target.slot)).length;
    if (out >= allowed || others === 0) {
      const why = others === 0 ? "it is the last one" : `${out} of ${targets.length} are ejected already`;
      log.warn({ upstream, target: name, detector }, `Target fails and is kept: ${why}`);
      // It goes on failing: once is enough until something else happens to it.
      if (chronicle.latest(upstream, name)?.kind !== "ejection-spared") chronicle.record({ kind: "ejection-spared", upstream, target: name, summary: `Fails by ${reason}, and is kept: ${why}`, by: BY });
      return;
    }
    scoreboard.supervisorColumn(group.upstream!.slot).add(EJECTIONS + DETECTORS.indexOf(detector));
    record.times++;
    record.detector = detector;
    const time = Math.min(outliers.maxEjection, outliers.baseEjection * record.times);
    record.until = clock.wall() + time;
    const again = record.times > 1 ? `, ${record.times} times in short` : "";
    rotation.setUnhealthy(slot, Flag.EJECTED, true, { why: `by ${reason}, until ${new Date(record.until).toISOString()} (${formatDuration(time)}${again})`, by: BY });
    log.warn({ upstream, target: name, detector, milliseconds: time, times: record.times }, "Target ejected");
    record.cancel = clock.after(time, () => this.release(group, slot, record));
  }
}

function inWords(detector: Detector, { consecutive5xx, consecutiveGateway, consecutiveLocal }: OutlierConfig): string {
  if (detector === "consecutive-5xx") return `${consecutive5xx} consecutive 5xx`;
  return detector === "consecutive-gateway" ? `${consecutiveGateway} consecutive 502, 503 or 504` : `${consecutiveLocal} consecutive failures to connect or to answer`;
}

function percent(rate: number): string {
  return `${Math.round(rate * 1000) / 10}%`;
}

function isOn(config: OutlierConfig): boolean {
  return config.consecutive5xx + config.consecutiveGateway + config.consecutiveLocal + config.successRateFactor > 0;
}

interface Record {
  times: number;
  detector: Detector;
  /** Undefined: it is not ejected now. */
  until: number | undefined;
  cancel: (() => void) | undefined;
}

/** One upstream's ejections. */
class Group {
  upstream: UpstreamConfig | undefined = undefined;
  readonly records = new Map<number, Record>();
  /** Totals at the last look, by slot. */
  readonly counts = new Map<number, { readonly requests: number; readonly errors: number }>();
  cancelInterval: (() => void) | undefined = undefined;

  recordOf(slot: number): Record {
    let record = this.records.get(slot);
    if (record === undefined) this.records.set(slot, (record = { times: 0, detector: "consecutive-local", until: undefined, cancel: undefined }));
    return record;
  }

  stop(): void {
    this.cancelInterval?.();
    for (const { cancel } of this.records.values()) cancel?.();
  }
}
