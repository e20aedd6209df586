/** One backend address at work: its state and counters in the scoreboard, and its connections in this worker. */
import type { Address, TargetConfig } from "../config/snapshot.ts";
import { least } from "../net/least.ts";
import type { TlsClient } from "../net/tls.ts";
import type { BalancedTarget } from "../policies/balanced.ts";
import { type Column, Flag, type Scoreboard, type TargetColumn, UNHEALTHY, WITHDRAWN } from "../scoreboard/scoreboard.ts";
import { decayed, type LatencyClock } from "./latency.ts";

/** A connection that can wait in a pool. */
export interface Pooled {
  /** Close it: nobody will use it again. */
  retire(): void;
  /** End what goes on over it at once. */
  cut(): void;
}

/** A connection that serves many exchanges at a time. */
export interface Shared extends Pooled {
  /** It takes another. */
  readonly hasRoom: boolean;
}

/**
 * A connect that nobody waits for any longer cannot be called off: the system gives up on it after about two minutes, and until
 * then it holds a descriptor. This bounds how many one target may hold in one worker.
 */
const MAX_HANGING_CONNECTS = 64;

export class Target implements BalancedTarget {
  readonly name: string;
  readonly address: Address;
  /** Undefined: it is spoken to in the clear. */
  readonly tls: TlsClient | undefined;
  /** The same for what a client says without us looking: which protocol is its own business. */
  readonly tlsWithin: TlsClient | undefined;
  readonly slot: number;
  readonly zone: string;
  readonly tier: number;
  readonly configuredWeight: number;
  /** Requests (tcp: connections) that may be open over all workers; 0: any number. */
  readonly limit: number;
  /** This worker's counters of it. */
  readonly counters: TargetColumn;
  /** False once a snapshot without it came: what is open ends, nothing is pooled. */
  current = true;
  /** What follows is as the upstream last read it from the scoreboard. */
  weight: number;
  share = 1000;
  flags = 0;
  isUsable = false;
  /** What it chose, where it may choose; undefined: it was not asked yet. */
  speaks: "h1" | "h2" | undefined = undefined;
  /** Streams that it allows on a connection, as far as it has said. */
  maxStreams = 2 ** 31 - 1;
  private hanging = 0;
  private readonly board: Scoreboard;
  private readonly clock: LatencyClock;
  /** Last in, first out: the warmest connection is used, the coldest times out. */
  private readonly idle: Pooled[] = [];
  /** Connects under way that nobody waits for any more. */
  private readonly opening: Pooled[] = [];
  /** Those that take further exchanges, or will again. */
  private readonly shared: Shared[] = [];
  /** All of them, idle, in use or opening. */
  private readonly connections = new Set<Pooled>();

  /** @param upstream what this worker counts of the upstream that it belongs to */
  constructor(config: TargetConfig, board: Scoreboard, workerSlot: number, clock: LatencyClock, tls?: TlsClient, upstream?: Column) {
    this.name = config.name;
    this.address = config.address;
    this.tls = tls;
    this.tlsWithin = tls === undefined ? undefined : { ...tls, alpn: [] };
    this.slot = config.slot;
    this.zone = config.zone;
    this.tier = config.tier;
    this.configuredWeight = config.weight;
    this.weight = config.weight;
    this.limit = least(config.maxRequests, config.maxConnections);
    this.board = board;
    this.clock = clock;
    this.counters = board.column(workerSlot, config.slot, upstream);
  }

  /** Read its state; what is idle or over is closed here when the state asks for it. */
  refresh(): void {
    this.flags = this.board.flags(this.slot);
    this.share = this.board.share(this.slot);
    this.weight = (this.configuredWeight * this.share) / 1000;
    if ((this.flags & WITHDRAWN) !== 0) this.closeIdle();
    if ((this.flags & Flag.CUT) !== 0) for (const connection of [...this.connections]) connection.cut();
  }

  /** New requests are wanted there, whether it can answer them or not. */
  get isWanted(): boolean {
    return this.weight > 0 && (this.flags & WITHDRAWN) === 0;
  }

  get isHealthy(): boolean {
    return (this.flags & UNHEALTHY) === 0;
  }

  /** Nothing is known that would keep it from answering who is there already. */
  get mayGoOn(): boolean {
    return this.isUsable || (this.isHealthy && (this.flags & Flag.CUT) === 0);
  }

  /** Clients that were there before may stay. */
  get isDraining(): boolean {
    return (this.flags & WITHDRAWN) === Flag.DRAINING;
  }

  get openConnections(): number {
    return this.board.openConnections(this.slot);
  }

  get openRequests(): number {
    return this.board.openRequests(this.slot);
  }

  get latency(): number {
    return decayed(this.board, this.slot, this.clock.stamp);
  }

  get isFull(): boolean {
    return this.limit > 0 && this.openRequests >= this.limit;
  }

  /** Count a request in. False when it has as many as it may: exact, however many workers ask at a time. */
  begin(): boolean {
    this.counters.requestBegins();
    if (this.limit === 0 || this.openRequests <= this.limit) return true;
    this.counters.requestTurnedAway();
    return false;
  }

  /** Packets to it vanish: another connect would only hold another descriptor. */
  get isUnreachable(): boolean {
    return this.hanging >= MAX_HANGING_CONNECTS;
  }

  /** A connect was given up (+1), or the system has finished with one that was (-1). */
  countHanging(change: 1 | -1): void {
    this.hanging += change;
  }

  /** A connection stands, after so many ms. */
  connected(milliseconds: number): void {
    this.counters.connected(this.board.bounds.bucketOf(milliseconds), milliseconds);
  }

  /** A connection is opened. */
  opens(connection: Pooled): void {
    this.counters.connectionBegins();
    this.connections.add(connection);
  }

  /** A connection, idle or not, is gone. */
  closes(connection: Pooled): void {
    this.counters.connectionEnds();
    this.connections.delete(connection);
  }

  get hasConnections(): boolean {
    return this.connections.size > 0;
  }

  takeIdle(): Pooled | undefined {
    return this.idle.pop();
  }

  /** A connect that was left under way: it is for the next exchange, so that clients who come and go cost no more connects than who stays. */
  takeOpening(): Pooled | undefined {
    return this.opening.pop();
  }

  /** False: the target is gone, or nobody may want it soon. */
  keepOpening(connection: Pooled): boolean {
    if (!this.current || (this.flags & WITHDRAWN) !== 0) return false;
    this.opening.push(connection);
    return true;
  }

  forgetOpening(connection: Pooled): void {
    const at = this.opening.lastIndexOf(connection);
    if (at >= 0) this.opening.splice(at, 1);
  }

  /** Keep for the next exchange. False when the pool is full or the target is gone: then it is the caller's to close. */
  keepIdle(connection: Pooled, limit: number): boolean {
    if (!this.current || this.idle.length >= limit || (this.flags & WITHDRAWN) !== 0) return false;
    this.idle.push(connection);
    return true;
  }

  /** It closed, or its time is up. */
  forgetIdle(connection: Pooled): void {
    const at = this.idle.lastIndexOf(connection);
    if (at >= 0) this.idle.splice(at, 1);
  }

  /** A connection that takes another exchange: the first, so that few are needed. */
  sharedWithRoom(): Shared | undefined {
    for (let i = 0; i < this.shared.length; i++) if (this.shared[i]!.hasRoom) return this.shared[i];
    return undefined;
  }

  keepShared(connection: Shared): void {
    this.shared.push(connection);
  }

  forgetShared(connection: Shared): void {
    const at = this.shared.indexOf(connection);
    if (at >= 0) this.shared.splice(at, 1);
  }

  retire(): void {
    this.current = false;
    this.closeIdle();
  }

  closeIdle(): void {
    for (const connection of [...this.idle.splice(0), ...this.opening.splice(0), ...this.shared.splice(0)]) connection.retire();
  }
}
