/**
 * Looks at the scoreboard's totals once a second, and knows what follows: rates and percentiles of the last seconds, and an hour of points
 * for the whole instance, each upstream, and as many targets as there is room for.
 *
 * What nobody uses costs nothing: a target without traffic is one sum a second, and no memory. It rests while there is no admin address.
 */
import type { Snapshot } from "../config/snapshot.ts";
import type { Clock } from "../net/network.ts";
import { routeLabel } from "../routing/router.ts";
import { OPEN_EXCHANGES, OTHER_ROUTES, type Scoreboard } from "../scoreboard/scoreboard.ts";
import { COUNTS, type Counts } from "./counts.ts";
import { type History, Series, STEP, Steps } from "./history.ts";
import { type Rates, ratesOf } from "./rates.ts";
import { RowTrack, TargetTrack, Track } from "./track.ts";
import { KEPT, type Window } from "./window.ts";

/** Between two samples, in ms. */
const INTERVAL = 1_000;
/** Rates and percentiles are of so many of the last samples. */
const RATE_SAMPLES = 5;
const PERCENTILE_SAMPLES = 10;
/** Upstreams, and targets, whose history is kept: 15 MB each when all of it is there. */
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
  private listeners: ReadonlyMap<number, RowTrack> = new Map();
  private routes: ReadonlyMap<number, RowTrack> = new Map();
  private upstreams: ReadonlyMap<number, RowTrack> = new Map();
  private targets: ReadonlyMap<number, TargetTrack> = new Map();
  private readonly all = new Track();
  /** Those that have a series. */
  private keptTargets = new Set<TargetTrack>();
  private keptUpstreams = new Set<RowTrack>();
  /** Number of the newest sample; a window's first one is never of a number below 0. */
  private sample = KEPT;
  /** When the last samples were taken, in clock ms. */
  private readonly times: number[] = [];
  private readonly steps = new Steps();
  private readonly subscribers = new Set<() => void>();
  private cancel: (() => void) | undefined = undefined;
  private readonly counts: Counts = new Float64Array(COUNTS);
  /** Of the histograms, in ms, as they are in this second. */
  private bounds: readonly number[] = [];

  constructor(options: SamplerOptions) {
    this.options = options;
  }

  /** Once a second from now on. What was known before a rest says nothing about now, but for the history. */
  start(): void {
    if (this.cancel !== undefined) return;
    this.follow();
    for (const tracks of this.tables) for (const track of tracks.values()) track.counted(this.counts);
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
    this.subscribers.add(sampled);
    return () => this.subscribers.delete(sampled);
  }

  /** Take a sample. */
  look(): void {
    this.follow();
    this.sample++;
    this.times.push(this.options.clock.precise());
    if (this.times.length > KEPT + 1) this.times.shift();
    this.count();
    if (this.sample % STEP === 0) this.step();
    if (this.sample % REST_EVERY === 0) for (const tracks of [[this.all], ...this.tables.map((table) => table.values())]) for (const track of tracks) track.window.rest(this.sample);
    for (const sampled of this.subscribers) sampled();
  }

  private get tables(): readonly ReadonlyMap<number, RowTrack>[] {
    return [this.listeners, this.routes, this.upstreams, this.targets];
  }

  private count(): void {
    const { sample, counts } = this;
    const counted = (track: RowTrack): boolean => {
      if (!track.counted(counts)) return false;
      track.window.add(sample, counts);
      return true;
    };
    // What clients see is what the instance does.
    for (const listener of this.listeners.values()) if (counted(listener)) this.all.window.add(sample, counts);
    for (const route of this.routes.values()) counted(route);
    for (const upstream of this.upstreams.values()) if (counted(upstream)) this.keep(upstream, this.keptUpstreams);
    for (const target of this.targets.values()) if (counted(target)) this.keep(target, this.keptTargets);
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
      const ofUpstream = options.scoreboard.upstreams.held(upstream.row, OPEN_EXCHANGES);
      open += ofUpstream;
      if (upstream.series !== undefined) this.point(upstream, ofUpstream);
    }
    for (const target of this.keptTargets) this.point(target, options.scoreboard.openRequests(target.row));
    this.point(this.all, open);
  }

  private point({ window, series }: Track, open: number): void {
    series?.add(this.steps.number, this.ratesIn(window, STEP, STEP), open);
  }

  private ratesIn(window: Window, samples: number, percentileSamples: number): Rates {
    if (window.isEmpty) return NOTHING;
    const counts = new Float64Array(COUNTS);
    window.sum(this.sample, samples, counts);
    const durations = percentileSamples === samples ? counts : new Float64Array(COUNTS);
    if (durations !== counts) window.sum(this.sample, percentileSamples, durations);
    const since = this.times.at(-1 - samples) ?? this.times[0] ?? 0;
    return ratesOf(this.bounds, counts, ((this.times.at(-1) ?? 0) - since) / 1000, durations);
  }

  /** Of the last seconds: of the whole instance, … */
  get instance(): Rates {
    return this.lately(this.all);
  }

  /** … of a listener, … */
  listener(slot: number): Rates {
    return this.lately(this.listeners.get(slot));
  }

  /** … of a route (those without a row of their own together), … */
  route(slot: number): Rates {
    return this.lately(this.routes.get(slot));
  }

  /** … of an upstream, … */
  upstream(slot: number): Rates {
    return this.lately(this.upstreams.get(slot));
  }

  /** … of a target. */
  target(slot: number): Rates {
    return this.lately(this.targets.get(slot));
  }

  private lately(track: Track | undefined): Rates {
    return track === undefined ? NOTHING : this.ratesIn(track.window, RATE_SAMPLES, PERCENTILE_SAMPLES);
  }

  /** Exchanges of a target that ended in the same time. */
  ended(slot: number): number {
    return this.targets.get(slot)?.window.total(this.sample, RATE_SAMPLES) ?? 0;
  }

  get instanceHistory(): History {
    return this.historyOf(this.all);
  }

  upstreamHistory(slot: number): History {
    return this.historyOf(this.upstreams.get(slot));
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
    this.bounds = this.options.scoreboard.bounds.list;
    const snapshot = this.options.snapshot();
    if (snapshot === this.snapshot) return;
    this.snapshot = snapshot;
    const { scoreboard } = this.options;
    this.listeners = followed(this.listeners, snapshot.listeners, ({ name }) => name, (slot, name) => new RowTrack(scoreboard.listeners, slot, name));
    this.routes = followed(this.routes, snapshot.routes, (route) => (route.slot === OTHER_ROUTES ? "" : routeLabel(route)), (slot, name) => new RowTrack(scoreboard.routes, slot, name));
    this.upstreams = followed(this.upstreams, snapshot.upstreams, ({ name }) => name, (slot, name) => new RowTrack(scoreboard.upstreams, slot, name));
    const targets = snapshot.upstreams.flatMap(({ name: upstream, targets: all }) => all.map(({ slot, name }) => ({ slot, name: `${upstream} ${name}` })));
    this.targets = followed(this.targets, targets, ({ name }) => name, (slot, name) => new TargetTrack(scoreboard, slot, name));
    this.keptUpstreams = new Set([...this.upstreams.values()].filter(({ series }) => series !== undefined));
    this.keptTargets = new Set([...this.targets.values()].filter(({ series }) => series !== undefined));
  }
}

const NOTHING = ratesOf([], new Float64Array(COUNTS), 0);

/** Whose row is whose it was goes on. */
function followed<Config extends { readonly slot: number }, Kind extends RowTrack>(before: ReadonlyMap<number, Kind>, configs: readonly Config[], nameOf: (config: Config) => string, begin: (slot: number, name: string) => Kind): Map<number, Kind> {
  return new Map(
    configs.map((config) => {
      const name = nameOf(config);
      const known = before.get(config.slot);
      return [config.slot, known?.name === name ? known : begin(config.slot, name)];
    }),
  );
}
