/** Comes between an exchange and its client: the reply's body goes on slowly, or breaks off. All else passes as it is. */
import type { ClientFault, FaultRule } from "../config/snapshot.ts";
import type { Faults } from "../faults/faults.ts";
import { Pacer } from "../faults/pacer.ts";
import type { Account } from "../observability/account.ts";
import type { Cause } from "../observability/cause.ts";
import type { Listener } from "../routing/listener.ts";
import type { Exchange } from "./exchange.ts";
import { type FramingKind, type Head, TrailerFields } from "./h1/head.ts";
import type { ReplyHead } from "./h1/reply-head.ts";
import type { OwnConnections } from "./own-connections.ts";
import type { RequestView } from "./request-view.ts";
import type { Services } from "./services.ts";
import type { Downstream, ErrorReply, UpstreamStream } from "./sides.ts";

export class FaultedReply implements Downstream {
  private readonly client: Downstream;
  private readonly exchange: Exchange;
  private readonly faults: Faults;
  private readonly rule: FaultRule;
  private readonly services: Services;
  private readonly pacer: Pacer | undefined;
  /** Bytes of the body until it breaks off. */
  private left: number;
  private isCut = false;
  /** The reply is whole, and its end waits behind its data. */
  private isWhole = false;
  private trailers: TrailerFields | undefined = undefined;
  /** While something waits. */
  private release: (() => void) | undefined = undefined;

  constructor(client: Downstream, exchange: Exchange, faults: Faults, rule: FaultRule, { throttle, truncate }: ClientFault, services: Services) {
    this.client = client;
    this.exchange = exchange;
    this.faults = faults;
    this.rule = rule;
    this.services = services;
    this.left = truncate ?? Number.POSITIVE_INFINITY;
    const { network, wheel } = services;
    this.pacer = throttle === 0 ? undefined : new Pacer(throttle, { clock: network.clock, wheel }, (buffer, start, end) => this.pass(buffer, start, end), () => this.drained());
  }

  replyData(buffer: Buffer, start: number, end: number): void {
    const { pacer, exchange } = this;
    if (!this.faults.isInForce(this.rule)) this.leaveAlone();
    const last = Math.min(end, start + this.left);
    this.left -= last - start;
    exchange.telemetry.bytesOut -= end - last;
    if (last > start) {
      if (pacer === undefined) this.client.replyData(buffer, start, last);
      else pacer.pass(buffer, start, last);
    }
    if (last < end && !this.isCut) {
      this.isCut = true;
      // Not in the middle of what the target's side is doing.
      if (pacer?.waits !== true) this.services.network.soon(() => this.breakOff());
    }
    if (pacer?.waits === true) this.release ??= this.faults.hold(this.rule, () => this.leaveAlone());
  }

  /** What has come goes on as it is, and so does what will. */
  private leaveAlone(): void {
    this.release?.();
    this.release = undefined;
    if (!this.isCut) this.left = Number.POSITIVE_INFINITY;
    this.pacer?.open();
  }

  /** Of the pacer. */
  private pass(buffer: Buffer, start: number, end: number): void {
    if (this.isOver) {
      this.forget();
      return;
    }
    this.client.replyData(buffer, start, end);
    this.client.flush();
  }

  /** The client has gone, or something else has ended the exchange. */
  private get isOver(): boolean {
    return !this.exchange.repliesThrough(this);
  }

  private forget(): void {
    this.release?.();
    this.release = undefined;
    this.pacer?.drop();
  }

  private drained(): void {
    this.release?.();
    this.release = undefined;
    if (this.isOver) return;
    if (this.isCut) this.breakOff();
    else if (this.isWhole) {
      this.client.replyEnd(this.trailers, undefined);
      this.client.flush();
    } else this.exchange.connection?.resume();
  }

  private breakOff(): void {
    if (this.isOver) return;
    const { exchange, client } = this;
    exchange.telemetry.failed("fault-injected", exchange.telemetry.detail, undefined);
    exchange.finish("fault-injected");
    client.replyAbort();
    client.flush();
  }

  replyEnd(trailers: Head | undefined, connection: UpstreamStream | undefined): void {
    if (this.isCut) return;
    if (this.pacer?.waits !== true) {
      this.client.replyEnd(trailers, connection);
      return;
    }
    this.isWhole = true;
    this.trailers = trailers === undefined ? undefined : copyOf(trailers);
  }

  /** What waits of a reply that is broken goes with it. */
  replyAbort(): void {
    this.forget();
    this.client.replyAbort();
  }

  /** The rest of its request has no taker, but the reply is whole: it is over when that has gone. */
  requestUnwanted(): void {
    if (!this.isWhole) this.client.requestUnwanted();
  }

  get replyCongested(): boolean {
    const { replyCongested } = this.client;
    return replyCongested || this.pacer?.waits === true;
  }

  /** A target that answers early is let go: what is left of its reply may take long. */
  get wantsMore(): boolean {
    return false;
  }

  // All else.

  sendRequest(connection: UpstreamStream): void {
    this.client.sendRequest(connection);
  }

  get canReplay(): boolean {
    return this.client.canReplay;
  }

  get requestDone(): boolean {
    return this.client.requestDone;
  }

  requestWritable(): void {
    this.client.requestWritable();
  }

  interim(head: ReplyHead): void {
    this.client.interim(head);
  }

  replyHead(head: ReplyHead, framing: FramingKind, lines: string): void {
    this.client.replyHead(head, framing, lines);
  }

  /** A tunnel's bytes do not come through here. */
  switchProtocols(head: ReplyHead, connection: UpstreamStream, lines: string): void {
    this.leaveAlone();
    this.client.switchProtocols(head, connection, lines);
  }

  tunnelActive(): void {
    this.client.tunnelActive();
  }

  tunnelTargetEnded(): void {
    this.client.tunnelTargetEnded();
  }

  tunnelClosed(broken: boolean): void {
    this.client.tunnelClosed(broken);
  }

  replyError(cause: Cause, retryAfter: number, saying?: ErrorReply): void {
    this.client.replyError(cause, retryAfter, saying);
  }

  abort(): void {
    this.client.abort();
  }

  flush(): void {
    this.client.flush();
  }

  get own(): OwnConnections {
    return this.client.own;
  }

  get listener(): Listener {
    return this.client.listener;
  }

  get protocol(): Account["protocol"] {
    return this.client.protocol;
  }

  get bytesIn(): number {
    return this.client.bytesIn;
  }

  get view(): RequestView {
    return this.client.view;
  }

  get clientName(): string {
    return this.client.clientName;
  }
}

/** Of its own memory. */
function copyOf({ buffer, start, end, count }: Head): TrailerFields {
  const bytes = Buffer.from(buffer.subarray(start, end));
  const copy = new TrailerFields(Math.max(1, count));
  copy.parse(bytes, 0, bytes.length, count);
  return copy;
}
