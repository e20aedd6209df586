/**
 * Looks at the scoreboard's totals once a second, and knows what follows: rates and percentiles of the last seconds, and an hour of points
 * for the whole instance, each upstream, and as many targets as there is room for.
 *
 * What nobody uses costs nothing: a target without traffic is one sum a second, and no memory. It rests while there is no admin address.
 */
import type { Snapshot, TargetConfig, UpstreamConfig } from "../config/snapshot.ts";
import type { Clock } from "../net/network.ts";
import { OPEN_EXCHANGES, type Scoreboard, TOTAL_REQUESTS } from "../scoreboard/scoreboard.ts";
import { COUNTS, type Counts, readTarget } from "./counts.ts";
import { type History, Series, STEP, Steps } from "./history.ts";
import { type Rates, ratesOf } from "./rates.ts";
import { KEPT, Window } from "./window.ts";

/** Between two samples, in ms. */
const INTERVAL = 1_000;
/** Rates and percentiles are of so many of the last samples. */
const RATE_SAMPLES = 5;
const PERCENTILE_SAMPLES = 10;
/** Upstreams, and targets, whose history is kept: 13 MB each when all of it is there. */
export const MAX_SERIES = 512;
/** Between two looks at which windows have nothing in them, in samples. */
const REST_EVERY = 30;

export interface SamplerOptions {
  readonly scoreboard: Scoreboard;
  readonly clock: Clock;
  /** In force now. */
  readonly snapshot: () => Snapshot;
}

export class Sampler {
  private readonly options: SamplerOptions;
  private snapshot: Snapshot | undefined = undefined;
  /** By row of the scoreboard. */
  private targets = new Map<number, TargetTrack>();
  private upstreams = new Map<string, UpstreamTrack>();
  private readonly all = new Track();
  /** Those that have a series. */
  private keptTargets = new Set<TargetTrack>();
  private keptUpstreams = new Set<UpstreamTrack>();
  /** Number of the newest sample; a window's first one is never of a number below 0. */
  private sample = KEPT;
  /** When the last samples were taken, in clock ms. */
  private readonly times: number[] = [];
  private readonly steps = new Steps();
  private readonly listeners = new Set<() => void>();
  private cancel: (() => void) | undefined = undefined;
  private readonly delta: Counts = new Uint32Array(COUNTS);
  private readonly now: Counts = new Uint32Array(COUNTS);

  constructor(options: SamplerOptions) {
    this.options = options;
  }

  /** Once a second from now on. What was known before a rest says nothing about now, but for the history. */
  start(): void {
    if (this.cancel !== undefined) return;
    this.follow();
    for (const target of this.targets.values()) this.count(target);
    this.times.length = 0;
    this.sample += KEPT;
    this.times.push(this.options.clock.precise());
    const again = (): void => {
      this.cancel = this.options.clock.after(INTERVAL, () => {
        again();
        this.look();
      });
    };
    again();
  }

  stop(): void {
    this.cancel?.();
    this.cancel = undefined;
  }

  /** Hear of each sample. @returns its end */
  subscribe(sampled: () => void): () => void {
    this.listeners.add(sampled);
    return () => this.listeners.delete(sampled);
  }

  /** Take a sample. */
  look(): void {
    this.follow();
    this.sample++;
    this.times.push(this.options.clock.precise());
    if (this.times.length > KEPT + 1) this.times.shift();
    for (const upstream of this.upstreams.values()) for (const target of upstream.targets) if (this.count(target)) this.addTo(target, upstream);
    if (this.sample % STEP === 0) this.step();
    if (this.sample % REST_EVERY === 0) for (const track of [this.all, ...this.upstreams.values(), ...this.targets.values()]) track.window.rest(this.sample);
    for (const sampled of this.listeners) sampled();
  }

  /** Has it counted something? Then that is in `delta`. */
  private count(target: TargetTrack): boolean {
    const { scoreboard } = this.options;
    const { now, delta } = this;
    if (!target.mayHaveCounted(scoreboard)) return false;
    readTarget(scoreboard, target.slot, now);
    const last = (target.last ??= new Uint32Array(COUNTS));
    let counted = false;
    for (let word = 0; word < COUNTS; word++) {
      // What is read of totals wraps; a histogram that began anew with other bounds looks like a large one.
      const more = (now[word]! - last[word]!) | 0;
      delta[word] = Math.max(0, more);
      counted ||= more > 0;
      last[word] = now[word]!;
    }
    return counted;
  }

  private addTo(target: TargetTrack, upstream: UpstreamTrack): void {
    for (const { window } of [target, upstream, this.all]) window.add(this.sample, this.delta);
    this.keep(upstream, this.keptUpstreams);
    this.keep(target, this.keptTargets);
  }

  /** Its history begins with the next step, if there is room for one more. */
  private keep<Kind extends Track>(track: Kind, kept: Set<Kind>): void {
    if (track.series !== undefined || kept.size >= MAX_SERIES) return;
    track.series = new Series(this.steps.number + 1);
    kept.add(track);
  }

  private step(): void {
    const { steps, options } = this;
    steps.begin(options.clock.wall());
    this.all.series ??= new Series(steps.number);
    let open = 0;
    for (const upstream of this.upstreams.values()) {
      const ofUpstream = options.scoreboard.upstreams.held(upstream.slot, OPEN_EXCHANGES);
      open += ofUpstream;
      if (upstream.series !== undefined) this.point(upstream, ofUpstream);
    }
    for (const target of this.keptTargets) this.point(target, options.scoreboard.openRequests(target.slot));
    this.point(this.all, open);
  }

  private point({ window, series }: Track, open: number): void {
    series?.add(this.steps.number, this.ratesIn(window, STEP, STEP), open);
  }

  private ratesIn(window: Window, samples: number, percentileSamples: number): Rates {
    const counts = new Float64Array(COUNTS);
    window.sum(this.sample, samples, counts);
    const durations = percentileSamples === samples ? counts : new Float64Array(COUNTS);
    if (durations !== counts) window.sum(this.sample, percentileSamples, durations);
    const since = this.times.at(-1 - samples) ?? this.times[0] ?? 0;
    return ratesOf(this.options.scoreboard.bounds.list, counts, ((this.times.at(-1) ?? 0) - since) / 1000, durations);
  }

  /** Of the last seconds: of the whole instance, … */
  get instance(): Rates {
    return this.ratesIn(this.all.window, RATE_SAMPLES, PERCENTILE_SAMPLES);
  }

  /** … of an upstream, … */
  upstream(name: string): Rates {
    return this.ratesIn(this.upstreams.get(name)?.window ?? EMPTY, RATE_SAMPLES, PERCENTILE_SAMPLES);
  }

  /** … of a target. */
  target(slot: number): Rates {
    return this.ratesIn(this.targets.get(slot)?.window ?? EMPTY, RATE_SAMPLES, PERCENTILE_SAMPLES);
  }

  /** Exchanges of a target that ended in the same time. */
  ended(slot: number): number {
    return this.targets.get(slot)?.window.total(this.sample, RATE_SAMPLES) ?? 0;
  }

  get instanceHistory(): History {
    return this.historyOf(this.all);
  }

  upstreamHistory(name: string): History {
    return this.historyOf(this.upstreams.get(name));
  }

  /** Where there is no room for one more, it takes the place of the one that was asked for the longest ago, and begins now. */
  targetHistory(slot: number): History {
    const track = this.targets.get(slot);
    if (track === undefined) return this.historyOf(undefined);
    track.asked = this.sample;
    if (track.series === undefined && this.keptTargets.size >= MAX_SERIES) {
      const longestAgo = [...this.keptTargets].reduce((least, other) => (other.asked < least.asked ? other : least));
      longestAgo.series = undefined;
      this.keptTargets.delete(longestAgo);
    }
    this.keep(track, this.keptTargets);
    return this.historyOf(track);
  }

  private historyOf(track: Track | undefined): History {
    return { interval: STEP * INTERVAL, points: track?.series?.points(this.steps) ?? [] };
  }

  /** The upstreams and targets of the configuration that is in force now; those that stay go on. */
  private follow(): void {
    const snapshot = this.options.snapshot();
    if (snapshot === this.snapshot) return;
    this.snapshot = snapshot;
    const { targets, upstreams } = this;
    this.targets = new Map();
    this.upstreams = new Map();
    for (const config of snapshot.upstreams) {
      const upstream = upstreams.get(config.name) ?? new UpstreamTrack();
      this.upstreams.set(config.name, upstream);
      upstream.slot = config.slot;
      upstream.targets = config.targets.map((target) => {
        const known = targets.get(target.slot);
        const track = known?.isOf(config, target) === true ? known : new TargetTrack(config, target, this.options.scoreboard);
        this.targets.set(target.slot, track);
        return track;
      });
    }
    this.keptUpstreams = new Set([...this.upstreams.values()].filter(({ series }) => series !== undefined));
    this.keptTargets = new Set([...this.targets.values()].filter(({ series }) => series !== undefined));
  }
}

const EMPTY = new Window();

class Track {
  readonly window = new Window();
  series: Series | undefined = undefined;
}

class UpstreamTrack extends Track {
  slot = 0;
  targets: readonly TargetTrack[] = [];
}

class TargetTrack extends Track {
  readonly slot: number;
  private readonly upstream: string;
  private readonly name: string;
  /** As last read; undefined: nothing had been counted. */
  last: Counts | undefined = undefined;
  /** The sample at which its history was last asked for. */
  asked = 0;
  private begun = 0;
  private wasOpen = true;

  constructor(upstream: UpstreamConfig, target: TargetConfig, board: Scoreboard) {
    super();
    this.slot = target.slot;
    this.upstream = upstream.name;
    this.name = target.name;
    // What was counted before is nobody's rate.
    if (board.targets.sum(this.slot, TOTAL_REQUESTS) > 0) readTarget(board, this.slot, (this.last = new Uint32Array(COUNTS)));
  }

  isOf(upstream: UpstreamConfig, target: TargetConfig): boolean {
    return this.upstream === upstream.name && this.name === target.name;
  }

  /** Without a request that began or was open, nothing has been counted. */
  mayHaveCounted(board: Scoreboard): boolean {
    const begun = board.targets.sum(this.slot, TOTAL_REQUESTS);
    const isOpen = board.openRequests(this.slot) > 0;
    const may = begun !== this.begun || isOpen || this.wasOpen;
    this.begun = begun;
    this.wasOpen = isOpen;
    return may;
  }
}
