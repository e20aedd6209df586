/** One backend address at work: its counters in the scoreboard and its pool of idle connections in this worker. */
import type { Address, TargetConfig } from "../config/snapshot.ts";
import type { RoutingTarget } from "../policies/policy.ts";
import { OPEN_CONNECTIONS, OPEN_REQUESTS, type Scoreboard, type TargetColumn } from "../scoreboard/scoreboard.ts";

/** A connection that can wait in a pool. */
export interface Pooled {
  /** Close it: nobody will use it again. */
  retire(): void;
}

/**
 * A connect that nobody waits for any longer cannot be called off: the system gives up on it after about two minutes, and until
 * then it holds a descriptor. This bounds how many one target may hold in one worker.
 */
const MAX_HANGING_CONNECTS = 64;

export class Target implements RoutingTarget {
  readonly name: string;
  readonly address: Address;
  readonly slot: number;
  readonly weight: number;
  /** This worker's counters of it. */
  readonly counters: TargetColumn;
  /** False once a snapshot without it came: what is open ends, nothing is pooled. */
  current = true;
  private hanging = 0;
  private readonly board: Scoreboard;
  /** Last in, first out: the warmest connection is used, the coldest times out. */
  private readonly idle: Pooled[] = [];

  constructor(config: TargetConfig, board: Scoreboard, workerSlot: number) {
    this.name = config.name;
    this.address = config.address;
    this.slot = config.slot;
    this.weight = config.weight;
    this.board = board;
    this.counters = board.column(workerSlot, config.slot);
  }

  get openConnections(): number {
    return this.board.sum(this.slot, OPEN_CONNECTIONS);
  }

  get openRequests(): number {
    return this.board.sum(this.slot, OPEN_REQUESTS);
  }

  get isUp(): boolean {
    return this.board.isUp(this.slot);
  }

  /** Packets to it vanish: another connect would only hold another descriptor. */
  get isUnreachable(): boolean {
    return this.hanging >= MAX_HANGING_CONNECTS;
  }

  /** A connect was given up (+1), or the system has finished with one that was (-1). */
  countHanging(change: 1 | -1): void {
    this.hanging += change;
  }

  takeIdle(): Pooled | undefined {
    return this.idle.pop();
  }

  /** Keep for the next exchange. False when the pool is full or the target is gone: then it is the caller's to close. */
  keepIdle(connection: Pooled, limit: number): boolean {
    if (!this.current || this.idle.length >= limit) return false;
    this.idle.push(connection);
    return true;
  }

  /** It closed, or its time is up. */
  forgetIdle(connection: Pooled): void {
    const at = this.idle.lastIndexOf(connection);
    if (at >= 0) this.idle.splice(at, 1);
  }

  retire(): void {
    this.current = false;
    this.closeIdle();
  }

  closeIdle(): void {
    for (const connection of this.idle.splice(0)) connection.retire();
  }
}
