/**
 * One request and its reply: picks a target, attaches a connection, waits or tries again where that is right, and ends in
 * exactly one place with one cause. It knows no wire format: the codecs on both sides do.
 */
import type { Account, Attempt, Trace } from "../observability/account.ts";
import { CAUSES, type Cause } from "../observability/cause.ts";
import type { Ended } from "../observability/witnesses.ts";
import type { RoutingRequest } from "../policies/policy.ts";
import type { Match } from "../routing/router.ts";
import { classOf, TOTAL_RETRIES } from "../scoreboard/scoreboard.ts";
import type { Waiter } from "../upstream/queue.ts";
import type { Target } from "../upstream/target.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { accountOf, type Kept } from "./account.ts";
import { failureOf, grpcStatusOf } from "./grpc.ts";
import { Hedge, type Hedged } from "./hedge.ts";
import type { OwnConnections } from "./own-connections.ts";
import { backoff, mayRetry, mayRetryCall, mayRetryStatus } from "./retry.ts";
import type { Services } from "./services.ts";
import type { Downstream, StreamOwner, UpstreamStream } from "./sides.ts";
import type { FramingKind, Head } from "./h1/head.ts";
import type { RequestHead } from "./h1/request-head.ts";
import type { RequestDescription } from "./request-view.ts";
import type { ReplyHead } from "./h1/reply-head.ts";

const NONE: Target[] = [];
const NO_FIELDS: readonly string[] = [];
/** What a client that is turned away is told to wait, in ms. */
const RETRY_AFTER = 1_000;

export class Exchange implements StreamOwner, Waiter, Hedged, Ended, Kept {
  open = false;
  upstream: Upstream | undefined = undefined;
  target: Target | undefined = undefined;
  connection: UpstreamStream | undefined = undefined;
  /** The request's method lets it be sent twice: RFC 9110 section 9.2.2. */
  idempotent = false;
  toHead = false;
  asksUpgrade = false;
  /** A gRPC call: either side may be silent for as long as it likes. */
  isCall = false;
  /** What the call says of itself: its grpc-status; -1: nothing. */
  grpcStatus = -1;
  /** Made by us. */
  requestId: string | undefined = undefined;
  /** Status of the reply that the client got; 0: none yet. */
  status = 0;
  attempts = 0;
  // Kept for its account: see account.ts.
  match: Match<Upstream> | undefined = undefined;
  fields = NO_FIELDS;
  described: RequestDescription | undefined = undefined;
  candidates: readonly Target[] = NONE;
  tries: Attempt[] | undefined = undefined;
  lastTarget: Target | undefined = undefined;
  attempting = false;
  isHedge = false;
  startedAt = 0;
  attemptAt = 0;
  connect = 0;
  answeredAt = 0;
  queued = 0;
  detail = "";
  bytesOut = 0;
  trace: Trace | undefined = undefined;
  /** Of the attempt of the moment; "": its target was told of none. */
  span = "";
  private readonly client: Downstream;
  private readonly services: Services;
  /** The connection that has the request's head. */
  private sentTo: UpstreamStream | undefined = undefined;
  private request: RoutingRequest | undefined = undefined;
  private tried: Target[] = NONE;
  private stale = false;
  private replyStarted = false;
  private replyDone = false;
  /** Since when it waits for a place; 0: it does not. */
  private queuedAt = 0;
  /** It holds a place of the retry budget. */
  private retrying = false;
  /** The circuit breaker let it through to try, and no target has had a say yet. */
  private probe = false;
  /** A policy's answer is awaited. */
  private picking = false;
  /** Calls off the pause before the next attempt. */
  private cancelPause: (() => void) | undefined = undefined;
  private hedge: Hedge | undefined = undefined;
  /** What the call's own status counts as for the target; 0: as what its HTTP status is. */
  private callFailure = 0;
  /** Of the attempt that has ended. */
  private readonly outcome = { failed: false, milliseconds: 0, status: 0 };
  /** Tells answers of an earlier exchange's policy from this one's. */
  private serial = 0;

  constructor(client: Downstream, services: Services) {
    this.client = client;
    this.services = services;
  }

  begin(): void {
    this.open = true;
    this.upstream = undefined;
    this.target = undefined;
    this.connection = undefined;
    this.request = undefined;
    this.status = 0;
    this.attempts = 0;
    this.tried = NONE;
    this.stale = false;
    this.replyStarted = false;
    this.replyDone = false;
    this.match = undefined;
    this.fields = NO_FIELDS;
    this.described = undefined;
    this.candidates = NONE;
    this.tries = undefined;
    this.attempting = false;
    this.connect = 0;
    this.answeredAt = 0;
    this.queued = 0;
    this.detail = "";
    this.bytesOut = 0;
    this.trace = undefined;
    this.probe = false;
    this.picking = false;
    this.requestId = undefined;
    this.isCall = false;
    this.callFailure = 0;
    this.grpcStatus = -1;
    this.serial++;
    this.startedAt = this.services.network.clock.precise();
  }

  get own(): OwnConnections {
    return this.client.own;
  }

  /** Its connection has the request's head, so the body may follow. One that is still to open has the whole request when it has opened. */
  get isSent(): boolean {
    return this.connection !== undefined && this.connection === this.sentTo;
  }

  /** Send the request to a target of the upstream that its route says. */
  dispatch(match: Match<Upstream>, request: RoutingRequest): void {
    const { upstream } = match;
    this.match = match;
    this.upstream = upstream;
    this.request = request;
    const admission = upstream.admits();
    this.probe = admission === "probe";
    if (admission === "no") this.fail("circuit-open", "", undefined, upstream.breaker!.retryAfter);
    // Who came before goes before.
    else if (upstream.isWaitedFor) this.wait();
    else this.attempt();
  }

  private attempt(): void {
    const picked = this.upstream!.pick(this.request!, this.tried);
    if (this.attempts === 0) this.candidates = this.upstream!.candidates;
    if (!(picked instanceof Promise)) {
      this.use(picked);
      return;
    }
    const { serial } = this;
    this.picking = true;
    void picked.then((target) => {
      // The client may have gone meanwhile.
      if (!this.open || this.serial !== serial) return;
      this.picking = false;
      this.use(target);
      this.client.flush();
    });
  }

  private use(target: Target | undefined): void {
    const upstream = this.upstream!;
    if (target === undefined || !upstream.enter(target)) {
      if (upstream.isFull(this.tried)) this.wait();
      else this.fail("no-target", "");
      return;
    }
    if (this.queuedAt !== 0) this.endWait();
    this.target = target;
    this.attempts++;
    this.attempting = true;
    this.isHedge = false;
    this.span = "";
    this.connect = 0;
    this.answeredAt = 0;
    this.attemptAt = this.attempts === 1 && this.queued === 0 ? this.startedAt : this.services.network.clock.precise();
    if (upstream.durations !== undefined) this.planHedge(upstream);
    if (!this.stale) {
      const idle = upstream.config.proxyProtocol === undefined ? (target.takeIdle() as UpstreamStream | undefined) : this.own.take(target);
      if (idle !== undefined) {
        this.connection = idle;
        this.sentTo = idle;
        idle.attach(this);
        this.client.sendRequest(idle);
        return;
      }
    }
    const connection = this.services.openStream(target, upstream);
    if (connection === undefined) {
      this.attemptFailed("overloaded", "no descriptor is left", false);
      return;
    }
    this.connection = connection;
    connection.attach(this);
    connection.connect();
  }

  // Waiting for a place.

  private wait(): void {
    // It keeps its place.
    if (this.queuedAt !== 0) return;
    if (!this.upstream!.queue.enter(this)) {
      this.fail("queue-full", "", undefined, RETRY_AFTER);
      return;
    }
    this.queuedAt = this.services.network.clock.precise();
  }

  private endWait(): void {
    this.upstream!.queue.leave(this);
    this.queued = this.services.network.clock.precise() - this.queuedAt;
    this.queuedAt = 0;
  }

  /** There may be room. */
  goOn(): boolean {
    // Its policy is still thinking.
    if (this.picking) return false;
    // A reload may have brought other targets, or other limits.
    this.upstream = this.upstream!.current;
    // Better one that failed than none, and than to hold up who waits behind.
    if (this.tried.length > 0 && !this.upstream.hasRoom(this.tried)) this.tried = NONE;
    this.attempt();
    this.client.flush();
    return this.queuedAt === 0;
  }

  timedOut(): void {
    this.queued = this.services.network.clock.precise() - this.queuedAt;
    this.queuedAt = 0;
    this.fail("queue-timeout", `no place within ${this.upstream!.config.queue.timeout} ms`, undefined, RETRY_AFTER);
    this.client.flush();
  }

  // The attempt's way.

  replaced(connection: UpstreamStream): void {
    this.connection = connection;
  }

  /** The connection is up: the request goes out. */
  connected(connection: UpstreamStream): void {
    this.sentTo = connection;
    if (!connection.reused) this.connect = this.services.network.clock.precise() - this.attemptAt;
    this.client.sendRequest(connection);
  }

  get isTraced(): boolean {
    return this.trace?.sampled === true;
  }

  /** What a target is told that its spans are children of. @param stream the way to it */
  spanOf(stream: UpstreamStream): string {
    const { trace, hedge } = this;
    if (trace?.sampled !== true) return trace?.span ?? "";
    const span = this.services.tracing?.newSpan() ?? trace.span;
    if (stream === this.connection) this.span = span;
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

  claim(head: ReplyHead, _stream: UpstreamStream): StreamOwner | undefined {
    const { target, upstream } = this;
    if (this.hedge !== undefined) {
      // An error is no answer while another may come.
      if (head.status >= 500 && this.hedge.isRunning) {
        this.connection = undefined;
        this.attemptEnds("retry-status", `status ${head.status}`, head.status);
        this.leaveTarget(false, head.status);
        this.adopt(this.hedge);
        return undefined;
      }
      this.endHedge();
    }
    const { retry } = upstream!.config;
    const { grpcStatus } = head;
    this.grpcStatus = grpcStatus;
    if (grpcStatus > 0) this.callFailure = failureOf(grpcStatus);
    const again = grpcStatus > 0 ? mayRetryCall(retry, grpcStatus, this.attempts) : mayRetryStatus(retry, head.status, this.attempts, this.idempotent);
    if (!again || !this.client.canReplay || !this.takeBudget()) return this;
    this.connection = undefined;
    const said = grpcStatus > 0 ? `grpc-status ${grpcStatus}` : `status ${head.status}`;
    this.attemptEnds("retry-status", said, head.status);
    this.leaveTarget(false, this.callFailure === 0 ? head.status : this.callFailure);
    this.callFailure = 0;
    this.grpcStatus = -1;
    target!.counters.add(TOTAL_RETRIES);
    if (this.services.log.allows("retry-status")) this.log("debug", "retry-status", said, target, "Attempt failed, trying again");
    this.pauseThenRetry(target!);
    return undefined;
  }

  replyHead(head: ReplyHead, framing: FramingKind): void {
    this.replyStarted = true;
    this.answeredAt = this.services.network.clock.precise();
    this.status = head.status;
    this.client.replyHead(head, framing, this.stickyLine());
  }

  private stickyLine(): string {
    const { sticky } = this.upstream!;
    return sticky === undefined ? "" : (sticky.line(this.request!, this.target!) ?? "");
  }

  interim(head: ReplyHead): void {
    this.client.interim(head);
  }

  switchProtocols(head: ReplyHead, connection: UpstreamStream): void {
    this.replyStarted = true;
    this.answeredAt = this.services.network.clock.precise();
    this.status = head.status;
    this.client.switchProtocols(head, connection, this.stickyLine());
  }

  replyData(buffer: Buffer, start: number, end: number): void {
    this.bytesOut += end - start;
    this.client.replyData(buffer, start, end);
  }

  get wantsMore(): boolean {
    return this.client.wantsMore;
  }

  replyEnd(trailers: Head | undefined, connection: UpstreamStream | undefined): void {
    this.connection = connection;
    this.replyDone = true;
    if (trailers !== undefined && this.isCall) {
      this.grpcStatus = grpcStatusOf(trailers);
      this.callFailure = failureOf(this.grpcStatus);
    }
    this.client.replyEnd(trailers, connection);
  }

  get replyCongested(): boolean {
    return this.client.replyCongested;
  }

  tunnelActive(length: number): void {
    this.bytesOut += length;
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
    const { target } = this;
    this.connection = undefined;
    if (!this.open || target === undefined) return;
    if (this.replyDone) {
      this.client.requestUnwanted();
      return;
    }
    // A pooled connection that the target had closed, and what this side lacks or does, say nothing about the target.
    const stale = reused && !this.stale && !this.replyStarted && (cause === "target-closed" || cause === "target-reset") && this.idempotent && this.client.canReplay;
    this.attemptEnds(cause, detail, this.replyStarted ? this.status : 0);
    if (stale || CAUSES[cause].side === "balancer") this.leaveTargetEarly(0);
    else this.leaveTarget(true, this.status);
    if (cause === "overloaded") {
      this.fail(cause, detail, target, RETRY_AFTER);
      return;
    }
    if (this.replyStarted) {
      this.report(cause, detail, target);
      this.finish(cause, detail);
      this.client.replyAbort();
      return;
    }
    if (this.hedge?.isRunning === true) {
      this.adopt(this.hedge);
      return;
    }
    this.endHedge();
    if (stale) {
      this.stale = true;
      this.attempts--;
      this.retry(cause, detail, target);
      return;
    }
    const how = mayRetry(this.upstream!.config, cause, this.attempts, (this.idempotent || cause === "stream-refused") && this.client.canReplay);
    if (how === "no" || (how === "within budget" && !this.takeBudget())) {
      this.fail(cause, detail, target);
      return;
    }
    target.counters.add(TOTAL_RETRIES);
    if (this.services.log.allows(cause)) this.log("debug", cause, detail, target, "Attempt failed, trying again");
    this.tried = [...this.tried, target];
    const elsewhere = this.upstream!.hasOther(this.tried);
    if (how === "at once" && elsewhere) this.attempt();
    else if (elsewhere || this.attempts <= this.upstream!.config.retry.retries) this.pauseThenRetry(target);
    // Nobody else is there: say what went wrong with the one that is, not that none is usable.
    else this.fail(cause, detail, target);
  }

  /** The same request on another connection, at once. */
  private retry(cause: Cause, detail: string, failed: Target): void {
    failed.counters.add(TOTAL_RETRIES);
    if (this.services.log.allows(cause)) this.log("debug", cause, detail, failed, "Attempt failed, trying again");
    if (this.upstream!.usable.length === 0) this.fail(cause, detail, failed);
    else this.attempt();
  }

  /** Once more after a while, elsewhere if there is another target. */
  private pauseThenRetry(failed: Target): void {
    const { network } = this.services;
    if (!this.tried.includes(failed)) this.tried = [...this.tried, failed];
    if (!this.upstream!.hasOther(this.tried)) this.tried = NONE;
    const pause = backoff(this.upstream!.config.retry, this.attempts, network.random());
    if (pause === 0) {
      this.attempt();
      return;
    }
    this.cancelPause = network.clock.after(pause, () => {
      this.cancelPause = undefined;
      this.attempt();
      this.client.flush();
    });
  }

  private takeBudget(): boolean {
    if (!this.retrying) this.retrying = this.upstream!.retryBegins();
    return this.retrying;
  }

  /** Answer with the status of `cause` and end. @param retryAfter in ms; 0: not said */
  fail(cause: Cause, detail: string, target: Target | undefined = undefined, retryAfter = 0): void {
    this.report(cause, detail, target);
    this.detail = detail;
    this.status = CAUSES[cause].status;
    this.client.replyError(cause, retryAfter);
  }

  // Hedging.

  private planHedge(upstream: Upstream): void {
    const { percentile, minDelay } = upstream.config.hedge!;
    if (!this.idempotent || this.asksUpgrade || this.hedge !== undefined) return;
    const usual = upstream.durations!.at(percentile);
    if (usual === undefined) return;
    this.hedge = new Hedge(this, upstream, this.services, Math.max(minDelay, usual));
  }

  /** A second attempt may begin: where to, if anywhere. */
  hedgeTarget(): Target | undefined {
    const { upstream, target } = this;
    if (!this.open || this.replyStarted || target === undefined || !this.client.requestDone || !this.client.canReplay) return undefined;
    if (!upstream!.usable.some((other) => other !== target && !this.tried.includes(other))) return undefined;
    if (this.services.openFiles.isExhausted) return undefined;
    const picked = upstream!.pick(this.request!, [...this.tried, target]);
    if (picked === undefined || picked instanceof Promise || picked === target || !this.takeBudget()) return undefined;
    return upstream!.enter(picked) ? picked : undefined;
  }

  sendHedge(stream: UpstreamStream): void {
    this.client.sendRequest(stream);
    this.client.flush();
  }

  /** The hedge has the answer: it is ours now, and the first attempt is called off. */
  hedgeWins(hedge: Hedge): StreamOwner {
    const { connection } = this;
    if (this.target !== undefined) {
      this.attemptEnds("hedge-lost", "", 0);
      this.upstream!.leaveEarly(this.target, this.services.network.clock.precise() - this.attemptAt);
      this.target = undefined;
    }
    this.connection = undefined;
    connection?.abandon();
    this.adopt(hedge);
    return this;
  }

  /** Go on with the second attempt as if it were the first. */
  private adopt(hedge: Hedge): void {
    const { target, stream, startedAt, connect } = hedge.handOver();
    this.span = hedge.span;
    this.hedge = undefined;
    this.attempts++;
    this.target = target;
    this.connection = stream;
    this.attemptAt = startedAt;
    this.attempting = true;
    this.isHedge = true;
    this.connect = connect;
    this.answeredAt = 0;
    stream.reassign(this);
  }

  private endHedge(cause: Cause = "hedge-lost"): void {
    this.hedge?.cancel(cause);
    this.hedge = undefined;
  }

  hedgeEnded(attempt: Attempt): void {
    this.upstream!.attemptFailed(attempt.cause);
    (this.tries ??= []).push(attempt);
  }

  // Its end.

  /** The request is whole after all; its connection has gone back to the pool. */
  requestEnd(): void {
    this.connection = undefined;
    this.finish("done");
  }

  /** The one end of every exchange. Safe to call when it has ended. */
  finish(cause: Cause, detail = this.detail): void {
    if (!this.open) return;
    this.open = false;
    this.detail = detail;
    const now = this.services.network.clock.precise();
    const { side } = CAUSES[cause];
    if (this.queuedAt !== 0) this.endWait();
    this.cancelPause?.();
    this.cancelPause = undefined;
    this.endHedge(cause);
    if (this.target !== undefined && (side === "client" || side === "balancer") && !this.replyDone) this.leaveTargetEarly(this.answeredAt === 0 ? now - this.attemptAt : 0);
    else this.leaveTarget(side === "target", this.callFailure === 0 ? this.status : this.callFailure, now);
    const { connection } = this;
    this.connection = undefined;
    this.sentTo = undefined;
    // What the client no longer waits for, the target need not do.
    connection?.abandon();
    if (this.retrying) {
      this.retrying = false;
      this.upstream!.retryEnds();
    }
    if (this.probe) {
      this.probe = false;
      this.upstream!.probeUnused();
    }
    this.client.listener.ended(cause, classOf(this.status), now - this.startedAt, this.upstream, this.match);
    // Hedges that lost and pooled connections that turned out closed are worth being told of too.
    const tried = this.tries === undefined ? this.attempts : this.tries.length + (this.attempting ? 1 : 0);
    this.services.witnesses?.ended(this, cause, this.status === 0 ? CAUSES[cause].status : this.status, tried, now - this.startedAt);
    this.lastTarget = undefined;
  }

  /** Its account will tell of its request: now the head is at hand. */
  describe(head: RequestHead): void {
    this.described = this.client.describe(head);
  }

  account(cause: Cause, status: number, milliseconds: number): Account {
    return accountOf(this, this.client, cause, status, this.services.network.clock.wall() - milliseconds, milliseconds);
  }

  /** The attempt of the moment is over, and the exchange is not: that is to be told of it. @param status of its reply; 0: none came */
  private attemptEnds(cause: Cause, detail: string, status: number): void {
    this.attempting = false;
    this.upstream!.attemptFailed(cause);
    const now = this.services.network.clock.precise();
    const answeredAt = status > 0 && this.answeredAt === 0 ? now : this.answeredAt;
    (this.tries ??= []).push({
      target: this.target!.name,
      at: this.attemptAt - this.startedAt,
      connect: this.connect,
      firstByte: answeredAt === 0 ? 0 : answeredAt - this.attemptAt,
      milliseconds: now - this.attemptAt,
      status,
      cause,
      detail,
      hedge: this.isHedge,
      ...(this.span === "" ? {} : { span: this.span }),
    });
  }

  private leaveTarget(failed: boolean, status: number, now = this.services.network.clock.precise()): void {
    const { target } = this;
    if (target === undefined) return;
    this.target = undefined;
    this.lastTarget = target;
    const milliseconds = now - this.attemptAt;
    const { outcome } = this;
    outcome.failed = failed;
    outcome.milliseconds = milliseconds;
    outcome.status = status;
    this.upstream!.leave(target, outcome, this.answeredAt === 0 ? milliseconds : this.answeredAt - this.attemptAt, this.probe);
    this.probe = false;
  }

  /** @param waited ms without an answer; 0: that says nothing */
  private leaveTargetEarly(waited: number): void {
    const target = this.target!;
    this.target = undefined;
    this.lastTarget = target;
    this.upstream!.leaveEarly(target, waited);
  }

  private report(cause: Cause, detail: string, target: Target | undefined): void {
    if (this.services.log.allows(cause)) this.log(CAUSES[cause].side === "client" ? "info" : "warn", cause, detail, target, "Exchange failed");
  }

  private log(level: "debug" | "info" | "warn", cause: Cause, detail: string, target: Target | undefined, message: string): void {
    const described = this.described ?? this.client.describe();
    this.services.log.write(
      level,
      {
        cause,
        phase: CAUSES[cause].phase,
        ...(this.upstream === undefined ? {} : { upstream: this.upstream.name }),
        ...(target === undefined ? {} : { target: target.name }),
        ...(detail === "" ? {} : { detail }),
        status: this.replyStarted ? this.status : CAUSES[cause].status,
        attempts: this.attempts,
        ...described,
        requestId: this.requestId ?? described.requestId,
      },
      message,
    );
  }

  get hasReply(): boolean {
    return this.replyStarted;
  }
}
