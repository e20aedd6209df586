/**
 * What every stage between accept and protocol has in common: it is a client of its listener while it waits, has one deadline, and hands the
 * socket to the next owner, or closes it and says why.
 */
import { Connection } from "../net/connection.ts";
import { formatEndpoint, plainAddress } from "../net/endpoint.ts";
import type { Network, SocketOwner } from "../net/network.ts";
import type { TimerWheel } from "../net/timers.ts";
import { CAUSES, type Cause } from "../observability/cause.ts";
import type { LimitedLog } from "../observability/limited-log.ts";
import type { Client, Listener } from "../routing/listener.ts";
import type { Arrival, Peer } from "./arrival.ts";

/** What stages of one worker share. */
export interface StageServices {
  readonly network: Network;
  readonly wheel: TimerWheel;
  readonly tlsLog: LimitedLog;
}

/** Makes the owner that comes after a stage. @param arrival undefined: the socket says all */
export type NextOwner = (arrival: Arrival | undefined) => SocketOwner;

export abstract class Stage extends Connection implements Client {
  /** Who it is counted as while it waits; "": nobody, it is not known yet. */
  abstract readonly clientAddress: string;
  protected readonly listener: Listener;
  protected readonly services: StageServices;
  private readonly nextOwner: NextOwner;
  /** What came so far. */
  private received: Buffer | undefined = undefined;

  constructor(listener: Listener, services: StageServices, nextOwner: NextOwner) {
    super(services.wheel);
    this.listener = listener;
    this.services = services;
    this.nextOwner = nextOwner;
  }

  /** Look at all that has come so far: hand on, refuse, or wait for more. */
  protected abstract read(bytes: Buffer): void;
  /** The client ended before there was enough to go on with. */
  protected abstract cutShort(): void;
  /** The peer as it is known here. */
  protected abstract get peer(): Peer | undefined;

  /** @param milliseconds until due */
  protected within(milliseconds: number): void {
    this.wheel.schedule(this, this.services.network.clock.now + milliseconds);
  }

  onData(chunk: Buffer): void {
    if (!this.isOpen) return;
    this.received = this.received === undefined ? chunk : Buffer.concat([this.received, chunk]);
    this.read(this.received);
  }

  /** The next owner takes the socket, and first of all `rest`. */
  protected pass(arrival: Arrival | undefined, rest?: Buffer): void {
    this.listener.remove(this);
    const next = this.nextOwner(arrival);
    this.handOver(next);
    if (rest !== undefined && rest.length > 0) next.onData(rest);
  }

  /** Close, and say why. */
  protected refuse(cause: Cause, detail: string): void {
    const { tlsLog: log } = this.services;
    const peer = this.peer;
    this.listener.failed(cause);
    if (log.allows(cause)) {
      const client = formatEndpoint(plainAddress(peer?.remoteAddress), peer?.remotePort ?? 0);
      log.write("info", { cause, phase: CAUSES[cause].phase, detail, client, listener: this.listener.config.name }, "Connection refused");
    }
    this.abort();
  }

  protected atEnd(): void {
    // Half a greeting is worth a word; who only looked whether the port is open is not.
    if (this.received === undefined) this.end();
    else if (this.isOpen) this.cutShort();
  }

  protected closed(): void {
    this.listener.remove(this);
  }

  protected writable(): void {
    // A stage writes nothing.
  }

  drain(): void {
    // It is let go on, to be drained as what it becomes; its own deadline is short.
  }
}
