/**
 * One request and its reply: has a place at a target found for it, attaches a connection, tries again where that is right, and ends in
 * exactly one place with one cause. It knows no wire format: the codecs on both sides do.
 */
import type { Attempt, Trace } from "../observability/account.ts";
import { CAUSES, type Cause } from "../observability/cause.ts";
import type { RoutingRequest } from "../policies/policy.ts";
import type { Match } from "../routing/router.ts";
import type { Attempting } from "../faults/faulty-targets.ts";
import { Placement, RETRY_AFTER } from "../upstream/placement.ts";
import { mayRetry, mayRetryCall, mayRetryStatus } from "../upstream/retry.ts";
import type { Target } from "../upstream/target.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { injects } from "./fault-injection.ts";
import { failureOf, grpcStatusOf } from "./grpc.ts";
import { type Hedge, type Hedged, planHedge } from "./hedge.ts";
import { type OwnConnections, takeIdle } from "./own-connections.ts";
import type { Services } from "./services.ts";
import type { Downstream, ErrorReply, StreamOwner, UpstreamStream } from "./sides.ts";
import { Telemetry } from "./telemetry.ts";
import type { FramingKind, Head } from "./h1/head.ts";
import type { ReplyHead } from "./h1/reply-head.ts";

/** Instead of a slot: no pooled connection turned out closed, or one did and its target is given up. */
const NONE = -1;
const GIVEN_UP = -2;

export class Exchange implements StreamOwner, Attempting, Hedged {
  open = false;
  connection: UpstreamStream | undefined = undefined;
  /** The request's method lets it be sent twice: RFC 9110 section 9.2.2. */
  idempotent = false;
  toHead = false;
  asksUpgrade = false;
  /** A gRPC call: either side may be silent for as long as it likes. */
  isCall = false;
  /** Something of a target's reply is on its way to the client. */
  hasReply = false;
  readonly telemetry: Telemetry;
  private readonly placement: Placement;
  private readonly owner: Downstream;
  /** Who is told of the reply: its owner, unless somebody came between. */
  private client: Downstream;
  private readonly services: Services;
  private request: RoutingRequest | undefined = undefined;
  /** The connection that has the request's head. */
  private sentTo: UpstreamStream | undefined = undefined;
  /** Slot of the target of which a pooled connection turned out closed: the next one is to be a new one. */
  private stale = NONE;
  private replyDone = false;
  private hedge: Hedge | undefined = undefined;
  /** What the call's own status counts as for the target; 0: as what its HTTP status is. */
  private callFailure = 0;

  constructor(client: Downstream, services: Services) {
    this.owner = client;
    this.client = client;
    this.services = services;
    this.placement = new Placement(this, services.network);
    this.telemetry = new Telemetry(client, services, this.placement);
  }

  begin(): void {
    this.open = true;
    this.client = this.owner;
    this.connection = undefined;
    this.request = undefined;
    this.stale = NONE;
    this.hasReply = false;
    this.replyDone = false;
    this.isCall = false;
    this.callFailure = 0;
    this.placement.begin();
    this.telemetry.begin();
  }

  /** Send the request to a target of the upstream that its route says. */
  dispatch(match: Match<Upstream>, request: RoutingRequest): void {
    this.telemetry.match = match;
    this.request = request;
    const { faults } = this.services;
    if (faults !== undefined && injects(faults, this, this.placement, match, request, this.services)) return;
    this.placement.seek(match.upstream, request);
  }

  /** Somebody comes between, and is told of the reply, until another exchange begins. */
  replyThrough(between: (client: Downstream) => Downstream): void {
    this.client = between(this.owner);
  }

  /** The reply goes through this one. */
  repliesThrough(client: Downstream): boolean {
    return this.open && this.client === client;
  }

  turnedAway(cause: Cause, detail: string, retryAfter: number): void {
    this.fail(cause, detail, undefined, retryAfter);
  }

  placed(target: Target, atOnce: boolean): void {
    this.attemptBegins(target, atOnce);
    this.reach(target);
  }

  attemptBegins(target: Target, atOnce: boolean): void {
    const { telemetry } = this;
    telemetry.attemptBegins(target, atOnce ? telemetry.startedAt : this.services.network.clock.precise());
  }

  injected(fault: string): void {
    this.telemetry.injected(fault);
  }

  unreached(cause: Cause, detail: string): void {
    this.attemptFailed(cause, detail, false);
  }

  reach(target: Target): void {
    const { placement, services } = this;
    const upstream = placement.upstream!;
    if (upstream.durations !== undefined && this.hedge === undefined) this.hedge = planHedge(this, upstream, services);
    const idle = this.stale !== NONE ? undefined : takeIdle(target, upstream, this);
    if (idle !== undefined) {
      this.connection = idle;
      this.sentTo = idle;
      idle.attach(this);
      this.client.sendRequest(idle);
      return;
    }
    const connection = services.openStream(target, upstream);
    if (connection === undefined) {
      this.attemptFailed("overloaded", "no descriptor is left", false);
      return;
    }
    this.connection = connection;
    connection.attach(this);
    connection.connect();
  }

  flush(): void {
    this.client.flush();
  }

  // The attempt's way.

  get upstream(): Upstream | undefined {
    return this.placement.upstream;
  }

  get own(): OwnConnections {
    return this.client.own;
  }

  get requestId(): string | undefined {
    return this.telemetry.requestId;
  }

  get trace(): Trace | undefined {
    return this.telemetry.trace;
  }

  replaced(connection: UpstreamStream): void {
    this.connection = connection;
  }

  /** The connection is up: the request goes out. */
  connected(connection: UpstreamStream): void {
    this.sentTo = connection;
    if (!connection.reused) this.telemetry.connected();
    this.client.sendRequest(connection);
  }

  /** Its connection has the request's head, so the body may follow. One that is still to open has the whole request when it has opened. */
  get isSent(): boolean {
    return this.connection !== undefined && this.connection === this.sentTo;
  }

  /** What a target is told that its spans are children of. @param stream the way to it */
  spanOf(stream: UpstreamStream): string {
    const { trace, hedge } = this;
    if (trace?.sampled !== true) return trace?.span ?? "";
    const span = this.services.tracing?.newSpan() ?? trace.span;
    if (stream === this.connection) this.telemetry.span = span;
    else if (hedge !== undefined) hedge.span = span;
    return span;
  }

  requestWritable(): void {
    this.client.requestWritable();
  }

  /** Of the body so many bytes are kept to be sent once more. A target of HTTP/2 can say of any request that it has not looked at it. */
  get keepsBody(): number {
    const { retry, protocol } = this.upstream!.config;
    return this.idempotent || protocol !== "h1" ? retry.buffer : 0;
  }

  claim({ status, grpcStatus }: ReplyHead): StreamOwner | undefined {
    const { placement, telemetry } = this;
    if (this.hedge !== undefined) {
      // An error is no answer while another may come.
      if (status >= 500 && this.hedge.isRunning) {
        this.connection = undefined;
        telemetry.attemptEnds("retry-status", `status ${status}`, status);
        this.leave(false, status);
        this.adopt(this.hedge);
        return undefined;
      }
      this.endHedge();
    }
    const { retry } = placement.upstream!.config;
    telemetry.grpcStatus = grpcStatus;
    if (grpcStatus > 0) this.callFailure = failureOf(grpcStatus);
    const again = grpcStatus > 0 ? mayRetryCall(retry, grpcStatus, placement.attempts) : mayRetryStatus(retry, status, placement.attempts, this.idempotent);
    if (!again || !this.client.canReplay || !placement.takeBudget()) return this;
    const target = placement.target!;
    const said = grpcStatus > 0 ? `grpc-status ${grpcStatus}` : `status ${status}`;
    this.connection = undefined;
    telemetry.attemptEnds("retry-status", said, status);
    this.leave(false, this.callFailure === 0 ? status : this.callFailure);
    this.callFailure = 0;
    telemetry.grpcStatus = -1;
    telemetry.retried(target, "retry-status", said);
    placement.avoid(target);
    placement.againLater();
    return undefined;
  }

  replyHead(head: ReplyHead, framing: FramingKind): void {
    this.hasReply = true;
    this.telemetry.replyBegins(head.status);
    this.client.replyHead(head, framing, this.stickyLine());
  }

  private stickyLine(): string {
    const { upstream, target } = this.placement;
    const { sticky } = upstream!;
    return sticky === undefined ? "" : (sticky.line(this.request!, target!) ?? "");
  }

  interim(head: ReplyHead): void {
    this.client.interim(head);
  }

  switchProtocols(head: ReplyHead, connection: UpstreamStream): void {
    this.hasReply = true;
    this.telemetry.replyBegins(head.status);
    this.client.switchProtocols(head, connection, this.stickyLine());
  }

  replyData(buffer: Buffer, start: number, end: number): void {
    this.telemetry.bytesOut += end - start;
    this.client.replyData(buffer, start, end);
  }

  get wantsMore(): boolean {
    return this.client.wantsMore;
  }

  replyEnd(trailers: Head | undefined, connection: UpstreamStream | undefined): void {
    this.connection = connection;
    this.replyDone = true;
    if (trailers !== undefined && this.isCall) {
      const status = grpcStatusOf(trailers);
      this.telemetry.grpcStatus = status;
      this.callFailure = failureOf(status);
    }
    this.client.replyEnd(trailers, connection);
  }

  get replyCongested(): boolean {
    return this.client.replyCongested;
  }

  tunnelActive(length: number): void {
    this.telemetry.bytesOut += length;
    this.client.tunnelActive();
  }

  tunnelTargetEnded(): void {
    this.client.tunnelTargetEnded();
  }

  tunnelClosed(broken: boolean): void {
    this.connection = undefined;
    this.client.tunnelClosed(broken);
  }

  // When it fails.

  /** The attempt came to nothing; the connection is gone already. */
  attemptFailed(cause: Cause, detail: string, reused: boolean): void {
    const { placement, telemetry } = this;
    const { target } = placement;
    this.connection = undefined;
    if (!this.open || target === undefined) return;
    if (this.replyDone) {
      this.client.requestUnwanted();
      return;
    }
    // A pooled connection that the target had closed, and what this side lacks or does, say nothing about the target.
    const stale = reused && this.stale === NONE && !this.hasReply && (cause === "target-closed" || cause === "target-reset") && this.idempotent && this.client.canReplay;
    telemetry.attemptEnds(cause, detail, this.hasReply ? telemetry.status : 0);
    if (stale || CAUSES[cause].side === "balancer") placement.leaveEarly(0);
    else this.leave(true, telemetry.status);
    if (cause === "overloaded") {
      this.fail(cause, detail, target, RETRY_AFTER);
      return;
    }
    if (this.hasReply) {
      telemetry.failed(cause, detail, target);
      this.finish(cause, detail);
      this.client.replyAbort();
      return;
    }
    if (this.hedge?.isRunning === true) {
      this.adopt(this.hedge);
      return;
    }
    this.endHedge();
    if (stale) this.repeat(cause, detail, target);
    else this.retry(cause, detail, target);
  }

  /** On another connection, at once: what has failed was no attempt. */
  private repeat(cause: Cause, detail: string, target: Target): void {
    const { placement } = this;
    this.stale = target.slot;
    placement.uncount();
    this.telemetry.retried(target, cause, detail);
    if (placement.upstream!.usable.length === 0) this.fail(cause, detail, target);
    else placement.again();
  }

  private retry(cause: Cause, detail: string, target: Target): void {
    const { placement } = this;
    const { config } = placement.upstream!;
    const how = mayRetry(config, cause, placement.attempts, (this.idempotent || cause === "stream-refused") && this.client.canReplay);
    placement.avoid(target);
    const elsewhere = placement.hasOther;
    const dying = elsewhere && how === "within budget" && this.isDying(target, cause);
    if (how === "no" || (how === "within budget" && !dying && !placement.takeBudget())) {
      this.fail(cause, detail, target);
      return;
    }
    this.telemetry.retried(target, cause, detail);
    if ((how === "at once" || dying) && elsewhere) placement.again();
    else if (elsewhere || placement.attempts <= config.retry.retries) placement.againLater();
    // Nobody else is there: say what went wrong with the one that is, not that none is usable.
    else this.fail(cause, detail, target);
  }

  /**
   * It ended a pooled connection and then the new one that this request went to, both without a reply. A process that dies closes its connections before its listening socket, which lets others in for a
   * moment: what meets that was as good as refused, and who is refused goes elsewhere outside the budget. Said once of a request.
   */
  private isDying(target: Target, cause: Cause): boolean {
    if (this.stale !== target.slot || (cause !== "target-closed" && cause !== "target-reset")) return false;
    this.stale = GIVEN_UP;
    return true;
  }

  /** No target has a say: its client is told this … */
  answerInstead(reply: ErrorReply): void {
    this.client.replyError("fault-injected", 0, reply);
  }

  /** … or nothing at all. */
  abort(): void {
    this.client.abort();
  }

  /** Answer with the status of `cause` and end. @param retryAfter in ms; 0: not said */
  fail(cause: Cause, detail: string, target: Target | undefined = undefined, retryAfter = 0): void {
    this.telemetry.failed(cause, detail, target);
    this.telemetry.detail = detail;
    this.telemetry.status = CAUSES[cause].status;
    this.client.replyError(cause, retryAfter);
  }

  // Hedging.

  /** In exact clock ms. */
  get startedAt(): number {
    return this.telemetry.startedAt;
  }

  hedgeTarget(): Target | undefined {
    if (!this.open || this.hasReply || this.placement.target === undefined || !this.client.requestDone || !this.client.canReplay) return undefined;
    return this.services.openFiles.isExhausted ? undefined : this.placement.beside();
  }

  sendHedge(stream: UpstreamStream): void {
    this.client.sendRequest(stream);
    this.client.flush();
  }

  /** The hedge has the answer: it is ours now, and the first attempt is called off. */
  hedgeWins(hedge: Hedge): StreamOwner {
    const { connection, placement, telemetry } = this;
    if (placement.target !== undefined) {
      telemetry.attemptEnds("hedge-lost", "", 0);
      placement.leaveEarly(this.services.network.clock.precise() - telemetry.attemptAt);
    }
    this.connection = undefined;
    connection?.abandon();
    this.adopt(hedge);
    return this;
  }

  /** Go on with the second attempt as if it were the first. */
  private adopt(hedge: Hedge): void {
    const { target, stream, startedAt, connect } = hedge.handOver();
    this.hedge = undefined;
    this.placement.adopt(target);
    this.telemetry.hedgeTakesOver(target, startedAt, connect, hedge.span);
    this.connection = stream;
    stream.reassign(this);
  }

  private endHedge(cause: Cause = "hedge-lost"): void {
    this.hedge?.cancel(cause);
    this.hedge = undefined;
  }

  hedgeEnded(attempt: Attempt): void {
    this.telemetry.tell(attempt);
  }

  // Its end.

  /** The request is whole after all; its connection has gone back to the pool. */
  requestEnd(): void {
    this.connection = undefined;
    this.finish("done");
  }

  /** The one end of every exchange. Safe to call when it has ended. */
  finish(cause: Cause, detail = this.telemetry.detail): void {
    if (!this.open) return;
    this.open = false;
    const { placement, telemetry, connection } = this;
    const now = this.services.network.clock.precise();
    this.endHedge(cause);
    if (placement.target !== undefined) {
      const { side } = CAUSES[cause];
      if ((side === "client" || side === "balancer") && !this.replyDone) placement.leaveEarly(telemetry.answeredAt === 0 ? now - telemetry.attemptAt : 0);
      else this.leave(side === "target", this.callFailure === 0 ? telemetry.status : this.callFailure, now);
    }
    this.connection = undefined;
    this.sentTo = undefined;
    // What the client no longer waits for, the target need not do.
    connection?.abandon();
    placement.end();
    telemetry.ended(cause, detail, this.isCall, now);
  }

  /** The target had its say. @param status of its reply; 0: none came */
  private leave(failed: boolean, status: number, now = this.services.network.clock.precise()): void {
    const { attemptAt, answeredAt } = this.telemetry;
    this.placement.leave(failed, status, now - attemptAt, (answeredAt === 0 ? now : answeredAt) - attemptAt);
  }
}
