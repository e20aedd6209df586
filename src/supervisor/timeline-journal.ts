/**
 * The timeline on disk, for the supervisor that goes on here: one line an event, appended once a second while there are any, and written anew
 * when most of the file is forgotten events. A line that is torn or another version's is left out.
 */
import type { Clock } from "../net/network.ts";
import { EVENT_KINDS } from "../observability/event-kind.ts";
import type { Log } from "../observability/log.ts";
import type { Timeline, TimelineEvent } from "../observability/timeline.ts";
import type { RuntimeDirectory } from "./runtime-directory.ts";

/** From an event to its being written, in ms; a supervisor that is killed takes so much of the timeline with it. */
const WRITE_AFTER = 1_000;
/** Lines beyond twice the events that are kept: then the file is written anew. */
const SLACK = 1_000;
/** Ids that are left free for what the supervisor before us tells while we start. */
const ROOM = 10_000;

export class TimelineJournal {
  private readonly timeline: Timeline;
  private readonly directory: RuntimeDirectory;
  private readonly clock: Clock;
  private readonly log: Log;
  private readonly unsubscribe: () => void;
  private pending: TimelineEvent[] = [];
  /** In the file; Infinity: it must be written anew. */
  private lines = Number.POSITIVE_INFINITY;
  /** Of what was restored. */
  private readonly last: number;
  private cancel: (() => void) | undefined = undefined;
  private isOpen = false;

  /** Goes on where the supervisor before us stopped; writes nothing yet, for it may still run. */
  constructor(timeline: Timeline, directory: RuntimeDirectory, clock: Clock, log: Log) {
    this.timeline = timeline;
    this.directory = directory;
    this.clock = clock;
    this.log = log;
    const kept = this.read();
    this.last = kept.at(-1)?.id ?? 0;
    timeline.restore(kept, this.last === 0 ? 0 : ROOM);
    this.unsubscribe = timeline.subscribe((event) => {
      this.pending.push(event);
      this.writeSoon();
    });
  }

  /** Nobody else writes here any more, or will stop in a moment. */
  open(): void {
    this.isOpen = true;
    this.writeSoon();
  }

  /** Write what there is. */
  flush(): void {
    this.cancel?.();
    this.cancel = undefined;
    if (!this.isOpen) return;
    const { timeline, directory, pending } = this;
    this.pending = [];
    try {
      if (this.lines === Number.POSITIVE_INFINITY) this.adoptLate();
      if (this.lines + pending.length > 2 * timeline.size + SLACK) {
        directory.writeEvents(textOf(timeline.all()));
        this.lines = timeline.size;
      } else if (pending.length > 0) {
        directory.appendEvents(textOf(pending));
        this.lines += pending.length;
      }
    } catch (error) {
      this.lines = Number.POSITIVE_INFINITY;
      this.log.error({ reason: (error as Error).message }, "Events cannot be kept for a takeover");
    }
  }

  /** Write what there is, and no more: another supervisor does, or nobody. */
  close(): void {
    this.flush();
    this.unsubscribe();
    this.isOpen = false;
  }

  private writeSoon(): void {
    if (this.isOpen) this.cancel ??= this.clock.after(WRITE_AFTER, () => this.flush());
  }

  /** What the supervisor before us told after we had read. */
  private adoptLate(): void {
    if (this.last === 0) return;
    const known = new Set(this.timeline.all().map(({ id }) => id));
    this.timeline.restore(this.read().filter(({ id }) => id > this.last && id <= this.last + ROOM && !known.has(id)));
  }

  private read(): TimelineEvent[] {
    return this.directory
      .readEvents()
      .split("\n")
      .flatMap((line) => eventOf(line) ?? []);
  }
}

function textOf(events: readonly TimelineEvent[]): string {
  return events.map(({ id, at, upstream, target, kind, summary, cause, by }) => `${JSON.stringify([id, at, upstream, target, kind, summary, cause, by])}\n`).join("");
}

function eventOf(line: string): TimelineEvent | undefined {
  try {
    const [id, at, upstream, target, kind, summary, cause, by] = JSON.parse(line) as [number, number, string, string, TimelineEvent["kind"], string, number, string];
    const known = Number.isSafeInteger(id) && Number.isSafeInteger(at) && Number.isSafeInteger(cause) && Object.hasOwn(EVENT_KINDS, kind) && [upstream, target, summary, by].every((text) => typeof text === "string");
    return known ? { id, at, upstream, target, kind, summary, cause, by } : undefined;
  } catch {
    return undefined;
  }
}
