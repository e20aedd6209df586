/** The target's side of a tcp client and its target: the connection to it, and what is learnt of the target by that. */
import { proxyHeader } from "../accept/proxy-header-writer.ts";
import { Connection } from "../net/connection.ts";
import { relayData, relayEnd } from "../net/relay.ts";
import type { Cause } from "../observability/cause.ts";
import { Connecting, type Opener } from "../upstream/connecting.ts";
import type { Pooled, Target } from "../upstream/target.ts";
import type { TcpClient, TcpServices } from "./relay.ts";

export class TcpTarget extends Connection implements Pooled, Opener {
  readonly target: Target;
  private readonly client: TcpClient;
  private readonly services: TcpServices;
  private readonly connecting: Connecting;
  private gone = false;
  ready = false;
  /** This side has sent its last byte. */
  ended = false;

  constructor(target: Target, client: TcpClient, services: TcpServices) {
    super(services.wheel, target.counters);
    this.target = target;
    this.client = client;
    this.services = services;
    this.connecting = new Connecting(target, services.network, services.wheel, this);
  }

  connect(): void {
    const { proxyProtocol, timeouts } = this.client.placement.upstream!.config;
    this.target.opens(this);
    this.connecting.start(timeouts.connect, this.target.tlsWithin, proxyProtocol === undefined ? undefined : proxyHeader(proxyProtocol, this.client.origin));
  }

  /** @param failed the target could not be reached, or broke off */
  private leave(failed: boolean): boolean {
    if (this.gone) return false;
    this.gone = true;
    this.wheel.remove(this);
    this.target.closes(this);
    const elapsed = this.services.network.clock.precise() - this.connecting.startedAt;
    const { placement } = this.client;
    // What was to be learnt of it was learnt when it stood.
    if (this.ready) placement.leaveLearnt(elapsed);
    else if (failed) placement.leave(true, 0, elapsed);
    else placement.leaveEarly(elapsed);
    return true;
  }

  protected opened(): void {
    this.ready = true;
    const { milliseconds } = this.connecting;
    this.client.placement.learn(milliseconds);
    this.client.joined(milliseconds);
  }

  connectFailed(cause: Cause, detail: string): void {
    // A shortage of ours says nothing about the target.
    if (this.leave(cause !== "overloaded")) this.client.connectFailed(this.target, cause, detail);
  }

  protected due(): void {
    // It has none: its client's counts.
  }

  onData(chunk: Buffer): void {
    this.meter!.received(chunk.length);
    // Counted first: what has gone on is no more.
    this.client.relayed(chunk.length);
    relayData(this, this.client.sink, chunk);
  }

  protected atEnd(): void {
    this.ended = true;
    relayEnd(this.client.sink, this.client.ended, this);
  }

  protected writable(): void {
    this.client.resume();
  }

  protected override progressed(): void {
    this.client.active();
  }

  override abort(): void {
    this.leave(false);
    this.connecting.giveUp();
    super.abort();
  }

  /** It is never idle: there is nothing to retire. */
  retire(): void {
    this.abort();
  }

  cut(): void {
    this.client.cut();
  }

  protected closed(error: Error | undefined): void {
    if (this.leave(false)) this.client.targetClosed(error);
  }
}
