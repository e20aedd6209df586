/**
 * Targets that no configuration names: those that joined by a heartbeat, and those that we started. Heartbeats are kept, for the supervisor after us.
 *
 * Asks those who know, and tells when there are others; whoever owns the configuration adds them.
 */
import type { JoinedTarget } from "../config/joined.ts";
import type { Snapshot } from "../config/snapshot.ts";
import { Heartbeats } from "../health/heartbeats.ts";
import type { Logs } from "../observability/log.ts";
import { Supervised, type SupervisedOptions } from "../supervised/supervised.ts";
import type { RuntimeDirectory } from "./runtime-directory.ts";

/** Targets that join or leave within this time are one change, in ms. */
const PAUSE = 20;
/** And when that did not work, it is tried again after this, in ms. */
const PAUSE_AFTER_FAILURE = 1_000;

/** Targets beyond the file's, by upstream. */
export type JoinedTargets = ReadonlyMap<string, readonly JoinedTarget[]>;

export interface MembershipOptions extends Omit<SupervisedOptions, "log"> {
  readonly logs: Logs;
  readonly directory: RuntimeDirectory;
  /** Targets have joined or left, or what they say of themselves has changed. */
  readonly changed: () => void;
}

export class Membership {
  readonly heartbeats: Heartbeats;
  readonly supervised: Supervised;
  private readonly options: MembershipOptions;
  private isOpen = false;
  private timer: Timer | undefined = undefined;
  /** Those that the configuration has; undefined: not those that it should have. */
  private applied: string | undefined = keyOf(new Map());

  constructor(options: MembershipOptions) {
    const { rotation, network, logs } = options;
    const changed = (): void => this.moved();
    this.options = options;
    this.heartbeats = new Heartbeats({ rotation, clock: network.clock, log: logs.of("health"), chronicle: options.chronicle, changed });
    this.supervised = new Supervised({ ...options, log: logs.of("supervised"), changed });
  }

  /** These are the targets from now on. The rotation must know them already. */
  apply(snapshot: Snapshot): void {
    this.heartbeats.apply(snapshot);
    this.supervised.follow(snapshot);
  }

  /** From now on changes are told; those that came before at once. */
  open(): void {
    this.isOpen = true;
    this.moved();
  }

  /** Nobody joins or falls silent any more; what we started goes on. */
  close(): void {
    this.isOpen = false;
    clearTimeout(this.timer);
    this.heartbeats.stop();
  }

  /** Some target has joined or left, or says something else of itself. */
  moved(pause = PAUSE): void {
    if (!this.isOpen) return;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.options.changed();
    }, pause);
  }

  /** Those that have joined by now. */
  joined(): JoinedTargets {
    const joined = new Map<string, readonly JoinedTarget[]>(this.heartbeats.joined());
    for (const [upstream, targets] of this.supervised.joined()) joined.set(upstream, [...(joined.get(upstream) ?? []), ...targets]);
    return joined;
  }

  /** The same, to be applied; undefined: they are, or could not be. */
  toApply(): JoinedTargets | undefined {
    const joined = this.joined();
    if (keyOf(joined) === this.applied) return undefined;
    this.applied = keyOf(joined);
    return joined;
  }

  /** The configuration has these now. */
  hasApplied(joined: JoinedTargets): void {
    this.applied = keyOf(joined);
  }

  /** What was to be applied is not, and may be the next time. */
  hasFailed(): void {
    this.applied = undefined;
    this.moved(PAUSE_AFTER_FAILURE);
  }

  /** Keep the heartbeats, for a takeover. */
  save(): void {
    const { directory, logs } = this.options;
    const beats = this.heartbeats.save();
    if (beats.length + directory.readBeats().length === 0) return;
    try {
      directory.writeBeats(beats);
    } catch (error) {
      logs.of("supervisor").error({ reason: (error as Error).message }, "State for a takeover cannot be written");
    }
  }

  /** Go on with the heartbeats that were heard before us. Before the first snapshot is applied. */
  restoreBeats(): void {
    this.heartbeats.restore(this.options.directory.readBeats());
  }
}

function keyOf(joined: JoinedTargets): string {
  return JSON.stringify([...joined]);
}
