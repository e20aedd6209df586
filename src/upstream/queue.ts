/**
 * Who waits while every target of an upstream is full: first come, first served, over all workers.
 *
 * Each worker holds its own waiters; a number drawn from a common counter says who came first. A worker lets its oldest go on only if no
 * other worker's oldest is older. What becomes free in another worker is found by looking every 2 ms while somebody waits.
 */
import type { QueueConfig } from "../config/snapshot.ts";
import type { Clock } from "../net/network.ts";
import { type Column, QUEUED, QUEUE_HEAD, QUEUE_TICKET, QUEUE_TIMES, type Scoreboard, TOTAL_QUEUED, TOTAL_QUEUE_FULL, TOTAL_QUEUE_TIMEOUTS } from "../scoreboard/scoreboard.ts";

/** Between two looks, in ms. */
const LOOK_EVERY = 2;
/** After so many looks at room that an older waiter elsewhere does not take, its worker is taken to hang. */
const PATIENCE = 50;

export interface Waiter {
  /** There may be room. True: it went on (or ended); false: there was none after all, it waits on. */
  goOn(): boolean;
  /** It has waited too long. */
  timedOut(): void;
}

interface Place {
  readonly waiter: Waiter;
  readonly ticket: number;
  readonly since: number;
}

export class Queue {
  private config: QueueConfig = { size: 0, timeout: 0 };
  private readonly board: Scoreboard;
  private readonly upstream: number;
  private readonly column: Column;
  private readonly clock: Clock;
  private hasRoom: () => boolean = () => false;
  private places: Place[] = [];
  private cancelLook: (() => void) | undefined = undefined;
  private looks = 0;
  private serving = false;

  constructor(board: Scoreboard, upstream: number, column: Column, clock: Clock) {
    this.board = board;
    this.upstream = upstream;
    this.column = column;
    this.clock = clock;
  }

  /** From now on it is so long. @param hasRoom is any target not full? */
  apply(config: QueueConfig, hasRoom: () => boolean): void {
    this.config = config;
    this.hasRoom = hasRoom;
  }

  /** Somebody waits, in whichever worker: who comes now comes after them. */
  get isWaitedIn(): boolean {
    return this.length > 0;
  }

  /** Over all workers. */
  get length(): number {
    return this.board.upstreams.held(this.upstream, QUEUED);
  }

  /** False: the queue is full. */
  enter(waiter: Waiter): boolean {
    if (this.length >= this.config.size) {
      this.column.add(TOTAL_QUEUE_FULL);
      return false;
    }
    const ticket = Atomics.add(this.board.words, this.board.upstreamWordAt(this.upstream, QUEUE_TICKET), 1) & 0x3f_ff_ff_ff;
    this.places.push({ waiter, ticket, since: this.clock.precise() });
    this.column.hold(QUEUED, 1);
    this.column.add(TOTAL_QUEUED);
    this.publish();
    this.cancelLook ??= this.clock.after(LOOK_EVERY, () => this.look());
    return true;
  }

  /** It waits no more: its client has gone. */
  leave(waiter: Waiter): void {
    const at = this.places.findIndex((place) => place.waiter === waiter);
    if (at < 0) return;
    this.remove(at);
  }

  /** A place became free in this worker. */
  serve(): void {
    if (this.serving) return;
    this.serving = true;
    while (this.places.length > 0 && this.isNext() && this.hasRoom()) {
      const { waiter } = this.places[0]!;
      if (!waiter.goOn()) break;
      // It has entered its target, or ended, and left by itself.
      if (this.places[0]?.waiter === waiter) this.remove(0);
    }
    this.serving = false;
  }

  private look(): void {
    this.cancelLook = undefined;
    this.expire();
    this.looks = this.places.length > 0 && this.hasRoom() ? this.looks + 1 : 0;
    this.serve();
    if (this.places.length > 0) this.cancelLook ??= this.clock.after(LOOK_EVERY, () => this.look());
  }

  private expire(): void {
    const { timeout } = this.config;
    const now = this.clock.precise();
    while (this.places.length > 0 && now - this.places[0]!.since >= timeout) {
      const { waiter } = this.places[0]!;
      this.column.add(TOTAL_QUEUE_TIMEOUTS);
      this.remove(0);
      waiter.timedOut();
    }
  }

  /** Nobody older waits in another worker, or that worker does nothing about it. */
  private isNext(): boolean {
    if (this.looks > PATIENCE) return true;
    const mine = this.places[0]!.ticket;
    return this.board.upstreams.everyHeld(this.upstream, QUEUE_HEAD, (head) => head === 0 || before(mine, head - 1) || mine === head - 1);
  }

  private remove(at: number): void {
    const [place] = this.places.splice(at, 1);
    this.column.hold(QUEUED, -1);
    const waited = this.clock.precise() - place!.since;
    this.column.observe(QUEUE_TIMES, this.board.bounds.bucketOf(waited), waited);
    this.publish();
  }

  private publish(): void {
    this.column.set(QUEUE_HEAD, this.places.length === 0 ? 0 : this.places[0]!.ticket + 1);
  }
}

/** Tickets wrap at 2^30. */
function before(a: number, b: number): boolean {
  return ((a - b) & 0x3f_ff_ff_ff) > 0x1f_ff_ff_ff;
}
