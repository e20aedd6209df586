/** One simulated world: virtual time, chance from one seed, and all that happens in it, in order. The same seed gives the same world. */
import { drainMicrotasks } from "bun:jsc";
import { Timeline } from "../../src/simulate/timeline.ts";
import { Dice } from "../support/random.ts";

/** What must never be was. */
export class Violation extends Error {
  /** Which of the invariants. */
  readonly invariant: string;

  constructor(invariant: string, detail: string) {
    super(detail);
    this.invariant = invariant;
  }
}

/** Whose turn it is. */
export interface Actor {
  readonly name: string;
  readonly alive: boolean;
  /** Nothing is heard by it before then, in ms: it hangs. */
  readonly blockedUntil: number;
}

interface Action {
  readonly actor: Actor;
  readonly run: () => void;
}

/** More than this in one world is a loop without an end. */
const MOST_EVENTS = 400_000;

export class World implements Actor {
  readonly name = "world";
  readonly alive = true;
  readonly blockedUntil = 0;
  readonly seed: number;
  /** Chance of the network; whoever else draws has dice of their own. */
  readonly dice: Dice;
  readonly traced: boolean;
  /** Of all that has happened. */
  hash = 0x81_1c_9d_c5;
  events = 0;
  private readonly timeline = new Timeline();
  private readonly actions: (Action | undefined)[] = [];
  private readonly free: number[] = [];
  private readonly lines: string[] = [];

  constructor(seed: number, traced: boolean) {
    this.seed = seed;
    this.traced = traced;
    this.dice = this.diceOf(1);
  }

  /** A stream of chance of its own, so that what one part draws changes nothing for another. */
  diceOf(stream: number, substream = 0): Dice {
    return new Dice(Math.imul(this.seed + 1, 0x9e_37_79_b1) ^ Math.imul(stream, 0x85_eb_ca_6b) ^ Math.imul(substream, 0xc2_b2_ae_35));
  }

  /** Virtual ms since the world began. */
  get now(): number {
    return this.timeline.now;
  }

  /** @param delay in ms, from 0 on @returns calls it off */
  after(delay: number, actor: Actor, run: () => void): () => void {
    const id = this.free.pop() ?? this.actions.length;
    const action: Action = { actor, run };
    this.actions[id] = action;
    this.timeline.add(this.now + delay, 0, id);
    return () => {
      // The place is given to another when its time has come, not before.
      if (this.actions[id] === action) this.actions[id] = undefined;
    };
  }

  /** Let things happen until `done`, or `until` ms. False: the time was up. */
  run(until: number, done: () => boolean): boolean {
    while (!done()) {
      if (this.now >= until || !this.timeline.next()) return false;
      const { id } = this.timeline;
      const action = this.actions[id];
      if (action !== undefined && action.actor.alive && action.actor.blockedUntil > this.now) {
        this.timeline.add(action.actor.blockedUntil, 0, id);
        continue;
      }
      this.actions[id] = undefined;
      this.free.push(id);
      if (action === undefined || !action.actor.alive) continue;
      if (++this.events > MOST_EVENTS) throw new Violation("every exchange ends", `${MOST_EVENTS} events, and no end`);
      this.within(action.actor, action.run);
    }
    return true;
  }

  /** Run code of an actor as one turn of its event loop: promises that are settled by it go on before anything else happens. */
  within(actor: Actor, run: () => void): void {
    try {
      run();
      drainMicrotasks();
    } catch (error) {
      if (error instanceof Violation) throw error;
      throw new Violation("no handler throws", `${actor.name}: ${error instanceof Error ? error.stack : String(error)}`);
    }
  }

  /** Something happened: it goes into the hash, and into the trace if there is one. */
  note(what: string, who: number, amount: number, name?: () => string, detail?: () => string): void {
    const { now } = this;
    let { hash } = this;
    hash = Math.imul(hash ^ ((now * 1000) | 0), 0x01_00_01_93);
    hash = Math.imul(hash ^ (who * 131 + what.length), 0x01_00_01_93);
    this.hash = Math.imul(hash ^ (amount + what.charCodeAt(0)), 0x01_00_01_93);
    if (this.traced) this.lines.push(`${now.toFixed(3).padStart(10)} ${name?.() ?? ""} ${what}${amount === 0 ? "" : ` ${amount}`}${detail?.() ?? ""}`);
  }

  get trace(): readonly string[] {
    return this.lines;
  }
}
