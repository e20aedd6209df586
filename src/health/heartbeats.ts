/**
 * Back ends that report themselves: who beats is in, who falls silent for longer than its beat is good for is out, and who was not in the file
 * joins by beating.
 *
 * Knows no requests and no sockets: the admin address hears the beats, and whoever owns the configuration adds the targets that joined.
 */
import { forbiddenTarget } from "../config/forbidden-target.ts";
import type { JoinedTarget } from "../config/joined.ts";
import type { Milliseconds, Snapshot } from "../config/snapshot.ts";
import { nearest } from "../config/suggestion.ts";
import { parseAddress } from "../config/values.ts";
import type { Clock } from "../net/network.ts";
import type { EventKind } from "../observability/event-kind.ts";
import type { Log } from "../observability/log.ts";
import { type Chronicle, NO_CHRONICLE } from "../observability/timeline.ts";
import { Flag } from "../scoreboard/scoreboard.ts";
import { formatDuration } from "./check.ts";
import type { Rotation } from "./rotation.ts";

/** A target that joined and has been silent for so many of its ttl, and at least this long, is forgotten. */
const FORGET_TTLS = 10;
const FORGET_AFTER = 60_000;
/** Nobody's address or zone is longer. */
const MAX_TEXT = 255;
/** So many may join one upstream. */
const MAX_JOINED = 10_000;

export interface Beat {
  /** How long it is good for; absent: as the upstream says. */
  readonly ttl?: Milliseconds;
  /** Its weight from now on; absent: the configured one, or 1. */
  readonly capacity?: number;
  readonly zone?: string;
  /** It will end soon: no new requests. */
  readonly draining?: boolean;
}

/** What a beat led to. */
export interface BeatResult {
  /** It was not known before. */
  readonly joined: boolean;
  readonly ttl: Milliseconds;
}

/** A beat that is not taken; the message is for whoever sent it. */
export class BeatRefused extends Error {
  readonly reason: "unknown" | "not-allowed" | "forbidden";

  constructor(reason: BeatRefused["reason"], message: string) {
    super(message);
    this.reason = reason;
  }
}

/** What the next supervisor needs to go on. */
export interface SavedBeat extends Beat {
  readonly upstream: string;
  readonly address: string;
  /** It is not in the file. */
  readonly joined: boolean;
  readonly ttl: Milliseconds;
}

export interface HeartbeatsOptions {
  readonly rotation: Rotation;
  readonly clock: Clock;
  readonly log: Log;
  /** Absent: nobody asks afterwards what happened. */
  readonly chronicle?: Chronicle;
  /** Other targets than before have joined, or what they say of themselves has changed. */
  readonly changed: () => void;
}

export class Heartbeats {
  private readonly options: HeartbeatsOptions;
  private snapshot: Snapshot | undefined = undefined;
  private readonly members = new Map<string, Member>();
  /** Row of each target in the scoreboard. */
  private slots = new Map<string, number>();

  constructor(options: HeartbeatsOptions) {
    this.options = options;
  }

  /** These are the targets from now on. The rotation must know them already. */
  apply(snapshot: Snapshot): void {
    this.snapshot = snapshot;
    const taking = snapshot.upstreams.filter(({ heartbeat }) => heartbeat !== undefined);
    this.slots = new Map(taking.flatMap(({ name, targets }) => targets.map((target) => [keyOf(name, target.name), target.slot])));
    const names = new Set(taking.map(({ name }) => name));
    for (const [key, member] of this.members) {
      if (names.has(member.upstream)) this.write(member);
      else this.forget(key, member);
    }
  }

  /** @throws BeatRefused */
  beat(upstream: string, address: string, beat: Beat): BeatResult {
    const config = this.configOf(upstream);
    const key = keyOf(upstream, address);
    let member = this.members.get(key);
    const known = this.slots.has(key);
    // Taken out of the file while it beats, it may join like any other.
    if (member !== undefined && !known && !member.joined) {
      this.forget(key, member);
      member = undefined;
    }
    const fresh = member === undefined;
    if (member === undefined) {
      if (!known) this.mayJoin(upstream, address, beat, config.register);
      member = new Member(upstream, address, !known);
      this.members.set(key, member);
    }
    const before = JSON.stringify(member.beat);
    member.beat = { ...beat, ttl: beat.ttl ?? config.ttl };
    const back = member.silent;
    member.silent = false;
    this.expectAnother(key, member);
    if (fresh && member.joined) {
      this.options.log.info({ upstream, target: address }, "Target has joined by its heartbeat");
      this.tell(member, "registered", `Registered by its heartbeat, good for ${formatDuration(member.beat.ttl)} at a time`);
    }
    else if (back) this.options.log.info({ upstream, target: address }, "Heartbeat is back");
    this.write(member);
    if (fresh || before !== JSON.stringify(member.beat)) this.options.changed();
    return { joined: fresh && member.joined, ttl: member.beat.ttl };
  }

  /** It has ended. False: nobody knows it. @throws BeatRefused */
  leave(upstream: string, address: string): boolean {
    this.configOf(upstream);
    const key = keyOf(upstream, address);
    const member = this.members.get(key);
    if (member === undefined) return false;
    this.options.log.info({ upstream, target: address }, "Target has left");
    if (member.joined) {
      this.tell(member, "deregistered", "Said good-bye");
      this.forget(key, member);
      this.options.changed();
    } else this.fallSilent(key, member, "it said good-bye");
    return true;
  }

  /** Targets that are not in the file, by upstream. */
  joined(): Map<string, JoinedTarget[]> {
    const joined = new Map<string, JoinedTarget[]>();
    for (const name of new Set([...this.members.values()].map(({ upstream }) => upstream))) {
      const targets = this.joinedTo(name).map(({ address, beat: { zone } }) => ({ address, ...(zone === undefined ? {} : { zone }) }));
      if (targets.length > 0) joined.set(name, targets);
    }
    return joined;
  }

  private joinedTo(upstream: string): Member[] {
    return [...this.members.values()].filter((member) => member.upstream === upstream && member.joined);
  }

  save(): SavedBeat[] {
    return [...this.members.values()].filter(({ silent }) => !silent).map(({ upstream, address, joined, beat }) => ({ upstream, address, joined, ...beat }));
  }

  /** Go on where another supervisor stopped: each has its whole time for the next beat. Before the first `apply`. */
  restore(saved: readonly SavedBeat[]): void {
    for (const { upstream, address, joined, ...beat } of saved) {
      const key = keyOf(upstream, address);
      const member = new Member(upstream, address, joined);
      member.beat = beat;
      this.members.set(key, member);
      this.expectAnother(key, member);
    }
  }

  stop(): void {
    for (const { cancel } of this.members.values()) cancel();
  }

  private configOf(upstream: string): { readonly ttl: Milliseconds; readonly register: boolean } {
    const found = this.snapshot?.upstreams.find(({ name }) => name === upstream);
    if (found === undefined) {
      const near = nearest(upstream, this.snapshot?.upstreams.map(({ name }) => name) ?? []);
      throw new BeatRefused("unknown", `there is no upstream "${upstream}"${near === undefined ? "" : ` (${near})`}`);
    }
    if (found.heartbeat === undefined) throw new BeatRefused("not-allowed", `upstream "${upstream}" takes no heartbeats; give it [upstreams.heartbeat]`);
    return found.heartbeat;
  }

  /** @throws BeatRefused */
  private mayJoin(upstream: string, address: string, { zone = "" }: Beat, register: boolean): void {
    if (!register) throw new BeatRefused("unknown", `${address} is no target of upstream "${upstream}", and its targets cannot register`);
    const parsed = parseAddress(address, false);
    if (parsed === undefined || address.startsWith(":")) throw new BeatRefused("not-allowed", `"${address}" is not an address, as "10.0.0.7:8080"`);
    const forbidden = forbiddenTarget(parsed, upstream, this.snapshot!);
    if (forbidden !== undefined) throw new BeatRefused("forbidden", forbidden);
    if (address.length > MAX_TEXT || zone.length > MAX_TEXT) throw new BeatRefused("not-allowed", `an address and a zone have at most ${MAX_TEXT} characters`);
    if (this.joinedTo(upstream).length >= MAX_JOINED) throw new BeatRefused("not-allowed", `upstream "${upstream}" has ${MAX_JOINED} registered targets already`);
  }

  private expectAnother(key: string, member: Member): void {
    member.cancel();
    member.cancel = this.options.clock.after(member.beat.ttl, () => {
      this.options.log.warn({ upstream: member.upstream, target: member.address, ttl: member.beat.ttl }, "Heartbeat has stopped; target is out");
      this.fallSilent(key, member, `no heartbeat for ${formatDuration(member.beat.ttl)}`);
    });
  }

  private fallSilent(key: string, member: Member, why: string): void {
    member.cancel();
    member.silent = true;
    this.write(member, why);
    if (!member.joined) return;
    member.cancel = this.options.clock.after(Math.max(FORGET_AFTER, member.beat.ttl * FORGET_TTLS), () => {
      this.options.log.info({ upstream: member.upstream, target: member.address }, "Target is forgotten: it has been silent for long");
      this.tell(member, "deregistered", "Forgotten: it has been silent for long");
      this.forget(key, member);
      this.options.changed();
    });
  }

  private forget(key: string, member: Member): void {
    member.cancel();
    this.members.delete(key);
    const slot = this.slots.get(key);
    // One that joined leaves the configuration in a moment: until then it must not take part again.
    if (slot === undefined || member.joined) return;
    const { rotation } = this.options;
    rotation.setUnhealthy(slot, Flag.SILENT, false);
    rotation.setCapacity(slot, undefined);
    rotation.setWithdrawn(slot, Flag.DRAINING, "heartbeat", false);
  }

  /** Tell the rotation; of a target that is just joining it is told when the configuration has it. */
  private write(member: Member, why = member.silent ? "no heartbeat" : "its heartbeat is heard again"): void {
    const slot = this.slots.get(keyOf(member.upstream, member.address));
    if (slot === undefined) return;
    const { rotation } = this.options;
    rotation.setCapacity(slot, member.beat.capacity);
    rotation.setWithdrawn(slot, Flag.DRAINING, "heartbeat", member.beat.draining === true);
    rotation.setUnhealthy(slot, Flag.SILENT, member.silent, { why, by: "heartbeat", ...(member.silent ? {} : { follows: "silent" }) });
  }

  private tell({ upstream, address }: Member, kind: EventKind, summary: string): void {
    const { chronicle = NO_CHRONICLE } = this.options;
    chronicle.record({ kind, upstream, target: address, summary, by: "heartbeat" });
  }
}

function keyOf(upstream: string, address: string): string {
  return `${upstream} ${address}`;
}

class Member {
  readonly upstream: string;
  readonly address: string;
  /** It is not in the file. */
  readonly joined: boolean;
  beat: Beat & { readonly ttl: Milliseconds } = { ttl: 0 };
  silent = false;
  cancel: () => void = () => {};

  constructor(upstream: string, address: string, joined: boolean) {
    this.upstream = upstream;
    this.address = address;
    this.joined = joined;
  }
}
