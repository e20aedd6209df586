/** Virtual time: a heap of events, and the clock that goes with it. */
import type { Clock } from "../net/network.ts";

/** What happens at a moment. */
export const Event = { ARRIVAL: 0, DONE: 1, RETRY: 2, TIMER: 3 } as const;

/** The earliest event first; those of the same time in the order in which they were added. */
export class Timeline {
  /** Milliseconds since the start. */
  now = 0;
  /** Of the event that `next` gave last. */
  kind = 0;
  id = 0;
  stamp = 0;
  private size = 0;
  private sequence = 0;
  private at = new Float64Array(1024);
  private order = new Float64Array(1024);
  private kinds = new Uint8Array(1024);
  private ids = new Int32Array(1024);
  private stamps = new Int32Array(1024);

  add(at: number, kind: number, id: number, stamp = 0): void {
    if (this.size === this.at.length) this.grow();
    let index = this.size++;
    const order = this.sequence++;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.at[parent]! <= at) break;
      this.move(parent, index);
      index = parent;
    }
    this.set(index, at, order, kind, id, stamp);
  }

  /** Go on to the next event. False: there is none. */
  next(): boolean {
    if (this.size === 0) return false;
    this.now = this.at[0]!;
    this.kind = this.kinds[0]!;
    this.id = this.ids[0]!;
    this.stamp = this.stamps[0]!;
    this.size--;
    if (this.size > 0) this.sink(this.size);
    return true;
  }

  /** Put what stands at `from` where the first was, and down to its place. */
  private sink(from: number): void {
    const at = this.at[from]!;
    const order = this.order[from]!;
    const kind = this.kinds[from]!;
    const id = this.ids[from]!;
    const stamp = this.stamps[from]!;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && this.before(child + 1, child)) child++;
      if (this.at[child]! > at || (this.at[child] === at && this.order[child]! > order)) break;
      this.move(child, index);
      index = child;
    }
    this.set(index, at, order, kind, id, stamp);
  }

  private before(a: number, b: number): boolean {
    return this.at[a]! < this.at[b]! || (this.at[a] === this.at[b] && this.order[a]! < this.order[b]!);
  }

  private move(from: number, to: number): void {
    this.set(to, this.at[from]!, this.order[from]!, this.kinds[from]!, this.ids[from]!, this.stamps[from]!);
  }

  private set(index: number, at: number, order: number, kind: number, id: number, stamp: number): void {
    this.at[index] = at;
    this.order[index] = order;
    this.kinds[index] = kind;
    this.ids[index] = id;
    this.stamps[index] = stamp;
  }

  private grow(): void {
    const larger = <T extends Float64Array | Int32Array | Uint8Array>(old: T): T => {
      const fresh = new (old.constructor as new (length: number) => T)(old.length * 2);
      fresh.set(old as never);
      return fresh;
    };
    this.at = larger(this.at);
    this.order = larger(this.order);
    this.kinds = larger(this.kinds);
    this.ids = larger(this.ids);
    this.stamps = larger(this.stamps);
  }
}

/** The clock that the product's code is given in a simulation. */
export class VirtualClock implements Clock {
  private readonly timeline: Timeline;
  private readonly timers = new Map<number, () => void>();
  private nextTimer = 0;

  constructor(timeline: Timeline) {
    this.timeline = timeline;
  }

  get now(): number {
    return this.timeline.now;
  }

  precise(): number {
    return this.timeline.now;
  }

  wall(): number {
    return this.timeline.now;
  }

  everyTick(): () => void {
    throw new Error("nothing ticks in a simulation");
  }

  after(delay: number, run: () => void): () => void {
    const id = this.nextTimer++;
    this.timers.set(id, run);
    this.timeline.add(this.timeline.now + delay, Event.TIMER, id);
    return () => void this.timers.delete(id);
  }

  /** The timeline has come to this timer. */
  ring(id: number): void {
    const run = this.timers.get(id);
    this.timers.delete(id);
    run?.();
  }
}
