/** Lets bytes pass at so many a second: a token bucket. What it holds back is a copy, and whoever feeds it stops while it `waits`. */
import type { Clock } from "../net/network.ts";
import { TICK, Timed, type TimerWheel } from "../net/timers.ts";

/** The bucket holds what so many ms bring, and a byte: enough for a wheel that is two ticks late. */
const BURST = 100;

export interface PacerHost {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
}

export class Pacer extends Timed {
  private readonly rate: number;
  private readonly host: PacerHost;
  private readonly out: (buffer: Buffer, start: number, end: number) => void;
  private readonly drained: () => void;
  /** Oldest first. */
  private readonly queue: Buffer[] = [];
  /** Bytes of the first that have passed. */
  private offset = 0;
  private tokens: number;
  private filledAt: number;
  private isOpen = false;

  /**
   * @param rate bytes a second, above zero
   * @param out takes what passes; it may be called within `pass`
   * @param drained nothing waits any more; not called within `pass`
   */
  constructor(rate: number, host: PacerHost, out: (buffer: Buffer, start: number, end: number) => void, drained: () => void) {
    super();
    this.rate = rate;
    this.host = host;
    this.out = out;
    this.drained = drained;
    this.tokens = this.most;
    this.filledAt = host.clock.precise();
  }

  /** Something is held back: stop the source. */
  get waits(): boolean {
    return this.queue.length > 0;
  }

  private get most(): number {
    return 1 + (this.rate * BURST) / 1000;
  }

  /** The caller keeps `buffer`. */
  pass(buffer: Buffer, start: number, end: number): void {
    let from = start;
    if (!this.waits) {
      from += this.isOpen ? end - start : this.take(end - start);
      if (from > start) this.out(buffer, start, from);
    }
    if (from === end) return;
    this.queue.push(Buffer.from(buffer.subarray(from, end)));
    this.await();
  }

  /** As fast as it comes from now on. */
  open(): void {
    this.isOpen = true;
    this.goOn();
  }

  /** Nobody wants the rest. */
  drop(): void {
    this.queue.length = 0;
    this.host.wheel.remove(this);
  }

  onDeadline(): void {
    this.goOn();
  }

  private goOn(): void {
    if (!this.waits) return;
    for (let first = this.queue[0]; first !== undefined; first = this.queue[0]) {
      const left = first.length - this.offset;
      const taken = this.isOpen ? left : this.take(left);
      if (taken > 0) this.out(first, this.offset, this.offset + taken);
      this.offset += taken;
      // It may have been dropped by what took it.
      if (!this.waits) return;
      if (taken < left) {
        this.await();
        return;
      }
      this.offset = 0;
      this.queue.shift();
    }
    this.host.wheel.remove(this);
    this.drained();
  }

  /** Take as many tokens as there are, up to `wanted`. */
  private take(wanted: number): number {
    const now = this.host.clock.precise();
    this.tokens = Math.min(this.most, this.tokens + ((now - this.filledAt) * this.rate) / 1000);
    this.filledAt = now;
    const taken = Math.min(wanted, Math.floor(this.tokens));
    this.tokens -= taken;
    return taken;
  }

  private await(): void {
    const { clock, wheel } = this.host;
    wheel.schedule(this, clock.now + Math.max(TICK, Math.ceil(((1 - this.tokens) * 1000) / this.rate)));
  }
}
