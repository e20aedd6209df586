/**
 * What has happened, in order, each event with the one that it follows from: a log for each target, for each upstream and for the instance.
 *
 * Kept for a day in bounded memory. A target that has much to tell loses the oldest of what it told most of; when all together have too
 * much, the target with the most loses first, so that one that flaps does not push out what is known of the others.
 * No time and no files in here: the clock is given, and who keeps it on disk subscribes.
 */
import type { EventKind } from "./event-kind.ts";

/** How long an event is kept, in ms. */
export const KEPT_FOR = 86_400_000;
/** Events of one target, and of one upstream beyond those of its targets. */
export const EVENTS_OF_TARGET = 100;
/** Events that are nobody's but the instance's. */
export const EVENTS_OF_INSTANCE = 1_000;
/** Of all together, in bytes, as `costOf` counts them. */
export const MEMORY = 16 * 1024 * 1024;
/** Characters of a summary. */
const MAX_SUMMARY = 500;
/** What an event takes beside its summary, and what a log does beside its events, in bytes; measured, and rounded up. */
const EVENT_COST = 200;
const LOG_COST = 700;
/** Between two looks for what has grown old, in ms. */
const SWEEP_EVERY = 60_000;

export interface TimelineEvent {
  /** Counts up, over all targets. */
  readonly id: number;
  /** Wall-clock ms since 1970. */
  readonly at: number;
  /** "": it is the instance's. */
  readonly upstream: string;
  /** "": it is the upstream's, or the instance's. */
  readonly target: string;
  readonly kind: EventKind;
  /** A sentence. */
  readonly summary: string;
  /** The event that it follows from; 0: none that is known. It may be forgotten already. */
  readonly cause: number;
  /** Who made it happen: "check", "outlier-detection", "config", "agent", "heartbeat", "api:" and the caller's name, …; "": nobody. */
  readonly by: string;
}

export interface Happening {
  readonly kind: EventKind;
  readonly summary: string;
  readonly upstream?: string;
  readonly target?: string;
  readonly cause?: number;
  readonly by?: string;
}

/** Takes down what happens. */
export interface Chronicle {
  /** @returns the event's id */
  record(happening: Happening): number;
  /** The newest event of a target, of any of these kinds if some are given. */
  latest(upstream: string, target: string, ...kinds: readonly EventKind[]): TimelineEvent | undefined;
}

/** For those whom nobody asks afterwards. */
export const NO_CHRONICLE: Chronicle = { record: () => 0, latest: () => undefined };

export interface EventQuery {
  readonly upstream?: string | undefined;
  readonly target?: string | undefined;
  readonly kinds?: readonly EventKind[] | undefined;
  /** Wall-clock ms since 1970. */
  readonly since?: number | undefined;
  /** Those with greater ids only. */
  readonly after?: number | undefined;
  readonly limit: number;
}

export class Timeline implements Chronicle {
  private readonly wall: () => number;
  private readonly memory: number;
  private readonly logs = new Map<string, EventLog>();
  /** Logs of targets and upstreams by how many events they have: who has most loses first. */
  private readonly bySize: Set<EventLog>[] = Array.from({ length: EVENTS_OF_TARGET + 1 }, () => new Set());
  private readonly subscribers = new Set<(event: TimelineEvent) => void>();
  private lastId = 0;
  private sweptAt = Number.NEGATIVE_INFINITY;
  private cost = 0;
  private count = 0;

  /** @param wall wall-clock ms since 1970 */
  constructor(wall: () => number, memory = MEMORY) {
    this.wall = wall;
    this.memory = memory;
  }

  /** Events that are kept. */
  get size(): number {
    return this.count;
  }

  /** What they take, in bytes. */
  get bytes(): number {
    return this.cost;
  }

  record({ kind, summary, upstream = "", target = "", cause = 0, by = "" }: Happening): number {
    const at = this.wall();
    this.sweep(at);
    const text = summary.length > MAX_SUMMARY ? `${summary.slice(0, MAX_SUMMARY - 1)}…` : summary;
    const event = this.keep({ id: ++this.lastId, at, upstream, target, kind, summary: text, cause, by });
    for (const subscriber of this.subscribers) {
      try {
        subscriber(event);
      } catch {
        // Whoever cannot be told any more has gone; what happens goes on.
        this.subscribers.delete(subscriber);
      }
    }
    return event.id;
  }

  latest(upstream: string, target: string, ...kinds: readonly EventKind[]): TimelineEvent | undefined {
    return this.logs.get(keyOf(upstream, target))?.events.findLast(({ kind }) => kinds.length === 0 || kinds.includes(kind));
  }

  /** Newest first. */
  query({ upstream, target, kinds, since = 0, after = 0, limit }: EventQuery): TimelineEvent[] {
    const from = Math.max(since, this.wall() - KEPT_FOR);
    const found: TimelineEvent[] = [];
    for (const log of this.logs.values()) {
      if ((upstream !== undefined && log.upstream !== upstream) || (target !== undefined && log.target !== target)) continue;
      for (const event of log.events) if (event.at >= from && event.id > after && (kinds === undefined || kinds.includes(event.kind))) found.push(event);
    }
    return found.sort((a, b) => b.id - a.id).slice(0, limit);
  }

  /** Hear of each event as it is recorded. @returns call it to hear no more */
  subscribe(subscriber: (event: TimelineEvent) => void): () => void {
    this.subscribers.add(subscriber);
    return () => void this.subscribers.delete(subscriber);
  }

  /** Everything, oldest first. */
  all(): TimelineEvent[] {
    return this.query({ limit: Infinity }).toReversed();
  }

  /**
   * Go on where another instance stopped. Nobody is told.
   * @param events oldest first @param room so many ids are left free for what the other one still has to tell
   */
  restore(events: readonly TimelineEvent[], room = 0): void {
    const from = this.wall() - KEPT_FOR;
    for (const event of events) if (event.at >= from) this.keep(event);
    // What another one told late may be older than what we have told.
    for (const log of this.logs.values()) log.events.sort((a, b) => a.id - b.id);
    this.lastId = Math.max(this.lastId, ...events.slice(-1).map(({ id }) => id)) + room;
  }

  private keep(event: TimelineEvent): TimelineEvent {
    const { upstream, target } = event;
    const key = keyOf(upstream, target);
    let log = this.logs.get(key);
    if (log === undefined) {
      this.logs.set(key, (log = { key, upstream, target, events: [], room: key === INSTANCE ? EVENTS_OF_INSTANCE : EVENTS_OF_TARGET }));
      this.cost += LOG_COST;
    }
    if (log.events.length === log.room) this.forget(log, mostTold(log));
    // One text for all of a target's events.
    const kept = upstream === log.upstream && target === log.target ? { ...event, upstream: log.upstream, target: log.target } : event;
    this.resized(log, () => log.events.push(kept));
    this.cost += costOf(kept);
    this.count++;
    while (this.cost > this.memory) {
      const fullest = this.fullest();
      if (fullest === undefined) break;
      this.forget(fullest, mostTold(fullest));
    }
    return kept;
  }

  private fullest(): EventLog | undefined {
    for (let size = EVENTS_OF_TARGET; size > 0; size--) {
      const [first] = this.bySize[size]!;
      if (first !== undefined) return first;
    }
    return undefined;
  }

  private forget(log: EventLog, index: number): void {
    const [event] = this.resized(log, () => log.events.splice(index, 1));
    this.cost -= costOf(event!);
    this.count--;
    if (log.events.length > 0) return;
    this.logs.delete(log.key);
    this.cost -= LOG_COST;
  }

  private resized<T>(log: EventLog, change: () => T): T {
    if (log.key === INSTANCE) return change();
    this.bySize[log.events.length]!.delete(log);
    const result = change();
    if (log.events.length > 0) this.bySize[log.events.length]!.add(log);
    return result;
  }

  private sweep(now: number): void {
    if (now - this.sweptAt < SWEEP_EVERY) return;
    this.sweptAt = now;
    for (const log of this.logs.values()) while (log.events.length > 0 && log.events[0]!.at < now - KEPT_FOR) this.forget(log, 0);
  }
}

interface EventLog {
  readonly key: string;
  readonly upstream: string;
  readonly target: string;
  /** Oldest first. */
  readonly events: TimelineEvent[];
  readonly room: number;
}

/** The instance's own log. */
const INSTANCE = keyOf("", "");

function keyOf(upstream: string, target: string): string {
  return `${upstream} ${target}`;
}

function costOf({ summary }: TimelineEvent): number {
  return EVENT_COST + 2 * summary.length;
}

/** The oldest event of the kind of which there are most: a hundred weights do not push out the one ejection. */
function mostTold({ events }: EventLog): number {
  const counts = new Map<EventKind, number>();
  let most: EventKind | undefined;
  for (const { kind } of events) {
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    if (most === undefined || count > counts.get(most)!) most = kind;
  }
  return events.findIndex(({ kind }) => kind === most);
}
