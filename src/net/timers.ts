/**
 * Deadlines for many connections at almost no cost: a hashed timer wheel with lazy moves.
 *
 * Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987). A deadline that moves later, as each request does
 * to its connection's, is one number written; the wheel finds out when the old slot comes round.
 */

/** Granularity of every timeout, in ms. */
export const TICK = 20;
const SLOTS = 1024;
const MASK = SLOTS - 1;

/** Something with one deadline: a connection. */
export abstract class Timed {
  /** When onDeadline is due, in clock milliseconds; 0: never. Written by TimerWheel only. */
  deadline = 0;
  /** The tick whose slot this stands in; 0: in none. */
  linkedTick = 0;
  previous: Timed | undefined = undefined;
  next: Timed | undefined = undefined;

  abstract onDeadline(): void;
}

export class TimerWheel {
  private readonly slots: (Timed | undefined)[] = new Array<Timed | undefined>(SLOTS).fill(undefined);
  /** Last tick that was swept. */
  private swept: number;
  private readonly due: Timed[] = [];

  constructor(now: number) {
    this.swept = Math.floor(now / TICK);
  }

  /** Clock ms of the last sweep. */
  get now(): number {
    return this.swept * TICK;
  }

  /** Be called at `at` (clock ms), never earlier and at most two ticks later, unless moved before. */
  schedule(timed: Timed, at: number): void {
    timed.deadline = at;
    const tick = Math.ceil(at / TICK);
    if (timed.linkedTick === 0) this.link(timed, tick);
    else if (tick < timed.linkedTick) {
      this.unlink(timed);
      this.link(timed, tick);
    }
  }

  /** Never be called; costs one write. */
  cancel(timed: Timed): void {
    timed.deadline = 0;
  }

  /** Let go of it at once, so that the wheel does not keep it alive. */
  remove(timed: Timed): void {
    timed.deadline = 0;
    if (timed.linkedTick !== 0) this.unlink(timed);
  }

  /** Fire all that is due. */
  sweep(now: number): void {
    const current = Math.floor(now / TICK);
    // After a long stall one round visits every slot; more would visit them twice.
    for (let tick = Math.max(this.swept + 1, current - MASK); tick <= current; tick++) {
      for (let timed = this.slots[tick & MASK]; timed !== undefined; ) {
        const next: Timed | undefined = timed.next;
        if (timed.linkedTick <= current) {
          this.unlink(timed);
          this.due.push(timed);
        }
        timed = next;
      }
    }
    this.swept = current;
    for (const timed of this.due) {
      // One that fired before it may have moved or cancelled it.
      if (timed.deadline === 0 || timed.linkedTick !== 0) continue;
      if (timed.deadline > now) {
        this.link(timed, Math.ceil(timed.deadline / TICK));
      } else {
        timed.deadline = 0;
        timed.onDeadline();
      }
    }
    this.due.length = 0;
  }

  private link(timed: Timed, tick: number): void {
    timed.linkedTick = Math.max(tick, this.swept + 1);
    const slot = timed.linkedTick & MASK;
    const first = this.slots[slot];
    timed.previous = undefined;
    timed.next = first;
    if (first !== undefined) first.previous = timed;
    this.slots[slot] = timed;
  }

  private unlink(timed: Timed): void {
    const { previous, next } = timed;
    if (previous === undefined) this.slots[timed.linkedTick & MASK] = next;
    else previous.next = next;
    if (next !== undefined) next.previous = previous;
    timed.previous = undefined;
    timed.next = undefined;
    timed.linkedTick = 0;
  }
}
