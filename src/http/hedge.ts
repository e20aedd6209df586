/**
 * A second attempt for a request that takes longer than usual: the first of the two answers is the answer.
 *
 * J. Dean and L. Barroso, "The Tail at Scale" (CACM 56(2), 2013): waiting for the 95th percentile bounds the extra load to about 5 %;
 * here the retry budget bounds it too.
 */
import type { Attempt } from "../observability/account.ts";
import { CAUSES, type Cause } from "../observability/cause.ts";
import { TOTAL_HEDGES, TOTAL_HEDGES_WON } from "../scoreboard/scoreboard.ts";
import type { Target } from "../upstream/target.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { FramingKind, Head } from "./h1/head.ts";
import type { ReplyHead } from "./h1/reply-head.ts";
import { type OwnConnections, takeIdle } from "./own-connections.ts";
import type { Services } from "./services.ts";
import type { StreamOwner, UpstreamStream } from "./sides.ts";

/** The exchange that has a hedge. */
export interface Hedged {
  readonly idempotent: boolean;
  readonly toHead: boolean;
  readonly asksUpgrade: boolean;
  readonly isCall: boolean;
  readonly wantsMore: boolean;
  readonly replyCongested: boolean;
  readonly own: OwnConnections;
  /** In exact clock ms. */
  readonly startedAt: number;
  /** Where to, counted in there; undefined: not now. */
  hedgeTarget(): Target | undefined;
  /** Write the request once more. */
  sendHedge(stream: UpstreamStream): void;
  /** The hedge is answered first. */
  hedgeWins(hedge: Hedge): StreamOwner;
  /** It was sent, and came to nothing. */
  hedgeEnded(attempt: Attempt): void;
}

/** Undefined: the request is not to be sent twice, or nobody knows yet what is usual. */
export function planHedge(exchange: Hedged, upstream: Upstream, services: Services): Hedge | undefined {
  if (!exchange.idempotent || exchange.asksUpgrade) return undefined;
  const { percentile, minDelay } = upstream.config.hedge!;
  const usual = upstream.durations!.at(percentile);
  return usual === undefined ? undefined : new Hedge(exchange, upstream, services, Math.max(minDelay, usual));
}

export class Hedge implements StreamOwner {
  readonly upstream: Upstream;
  startedAt = 0;
  /** As `Telemetry.span`. */
  span = "";
  /** How long it was being connected, in ms. */
  private connect = 0;
  private readonly exchange: Hedged;
  private readonly services: Services;
  private readonly cancelTimer: () => void;
  private target: Target | undefined = undefined;
  private stream: UpstreamStream | undefined = undefined;

  /** @param delay in ms */
  constructor(exchange: Hedged, upstream: Upstream, services: Services, delay: number) {
    this.exchange = exchange;
    this.upstream = upstream;
    this.services = services;
    this.cancelTimer = services.network.clock.after(delay, () => this.start());
  }

  /** It was sent, and its answer is awaited. */
  get isRunning(): boolean {
    return this.stream !== undefined;
  }

  private start(): void {
    const target = this.exchange.hedgeTarget();
    if (target === undefined) return;
    this.target = target;
    this.startedAt = this.services.network.clock.precise();
    this.upstream.column.add(TOTAL_HEDGES);
    const idle = takeIdle(target, this.upstream, this);
    const stream = idle ?? this.services.openStream(target, this.upstream);
    if (stream === undefined) {
      this.target = undefined;
      this.upstream.leaveEarly(target, 0);
      return;
    }
    this.stream = stream;
    stream.attach(this);
    if (idle === undefined) stream.connect();
    else this.exchange.sendHedge(stream);
  }

  /** The exchange goes on with it. */
  handOver(): { readonly target: Target; readonly stream: UpstreamStream; readonly startedAt: number; readonly connect: number } {
    const { target, stream, startedAt, connect } = this;
    this.target = undefined;
    this.stream = undefined;
    this.cancelTimer();
    return { target: target!, stream: stream!, startedAt, connect };
  }

  /** Not needed any more. @param cause the exchange has ended with it, or another attempt was answered first */
  cancel(cause: Cause): void {
    this.cancelTimer();
    const { target, stream } = this;
    this.target = undefined;
    this.stream = undefined;
    if (target !== undefined) {
      this.tell(target, cause, "", 0);
      this.upstream.leaveEarly(target, this.services.network.clock.precise() - this.startedAt);
    }
    stream?.abandon();
  }

  // What its connection tells.

  get own(): OwnConnections {
    return this.exchange.own;
  }

  get toHead(): boolean {
    return this.exchange.toHead;
  }

  get asksUpgrade(): boolean {
    return this.exchange.asksUpgrade;
  }

  get isCall(): boolean {
    return this.exchange.isCall;
  }

  get wantsMore(): boolean {
    return this.exchange.wantsMore;
  }

  get replyCongested(): boolean {
    return false;
  }

  replaced(stream: UpstreamStream): void {
    this.stream = stream;
  }

  connected(stream: UpstreamStream): void {
    if (!stream.reused) this.connect = this.services.network.clock.precise() - this.startedAt;
    this.exchange.sendHedge(stream);
  }

  claim(head: ReplyHead): StreamOwner | undefined {
    // An error is no answer while the first attempt may still give a good one.
    if (head.status >= 500) {
      this.fails("retry-status", `status ${head.status}`, head.status);
      return undefined;
    }
    this.upstream.column.add(TOTAL_HEDGES_WON);
    return this.exchange.hedgeWins(this);
  }

  attemptFailed(cause: Cause, detail: string, reused: boolean): void {
    // What this side lacks, or a pooled connection that had been closed, says nothing about the target.
    if (CAUSES[cause].side !== "balancer" && !(reused && (cause === "target-closed" || cause === "target-reset"))) {
      this.fails(cause, detail, 0);
      return;
    }
    const { target } = this;
    this.target = undefined;
    this.stream = undefined;
    if (target === undefined) return;
    this.tell(target, cause, detail, 0);
    this.upstream.leaveEarly(target, 0);
  }

  /** @param status of its reply; 0: none came */
  private fails(cause: Cause, detail: string, status: number): void {
    const { target } = this;
    this.target = undefined;
    this.stream = undefined;
    if (target === undefined) return;
    const { milliseconds } = this.tell(target, cause, detail, status);
    this.upstream.leave(target, { failed: status === 0, status, milliseconds });
  }

  private tell(target: Target, cause: Cause, detail: string, status: number): Attempt {
    const milliseconds = this.services.network.clock.precise() - this.startedAt;
    const attempt = { target: target.name, at: this.startedAt - this.exchange.startedAt, connect: this.connect, firstByte: status > 0 ? milliseconds : 0, milliseconds, status, cause, detail, hedge: true, ...(this.span === "" ? {} : { span: this.span }) };
    this.exchange.hedgeEnded(attempt);
    return attempt;
  }

  requestWritable(): void {
    // All of the request went out when it was sent, or waits in the connection's queue.
  }

  interim(): void {
    // The first attempt's are passed on; two of each would be one too many.
  }

  replyHead(_head: ReplyHead, _framing: FramingKind): never {
    throw new Error("a hedge hands its reply over before it begins");
  }

  switchProtocols(): never {
    throw new Error("a request to switch protocols is not hedged");
  }

  replyData(): never {
    throw new Error("a hedge hands its reply over before it begins");
  }

  replyEnd(_trailers: Head | undefined): never {
    throw new Error("a hedge hands its reply over before it begins");
  }

  tunnelActive(): void {
    // There is no tunnel.
  }

  tunnelTargetEnded(): void {
    // There is no tunnel.
  }

  tunnelClosed(): void {
    // There is no tunnel.
  }
}
