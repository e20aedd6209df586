/**
 * One request and its reply: picks a target, attaches a connection, tries again where that is safe, and ends in
 * exactly one place with one cause. It knows no wire format: the codecs on both sides do.
 */
import { CAUSES, type Cause } from "../observability/cause.ts";
import type { RoutingRequest } from "../policies/policy.ts";
import { OPEN_REQUESTS, TOTAL_FAILURES, TOTAL_REQUESTS, TOTAL_RETRIES } from "../scoreboard/scoreboard.ts";
import type { Target } from "../upstream/target.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { Services } from "./services.ts";
import type { Downstream, StreamOwner, UpstreamStream } from "./sides.ts";
import type { FramingKind, Head } from "./h1/head.ts";
import type { ReplyHead } from "./h1/reply-head.ts";

/** Connects that fail cost nothing to repeat elsewhere; this bounds how many for one request. */
const MAX_CONNECT_ATTEMPTS = 8;
const NONE: Target[] = [];

export class Exchange implements StreamOwner {
  open = false;
  upstream: Upstream | undefined = undefined;
  target: Target | undefined = undefined;
  connection: UpstreamStream | undefined = undefined;
  /** The request's method lets it be sent twice: RFC 9110 section 9.2.2. */
  idempotent = false;
  toHead = false;
  asksUpgrade = false;
  /** Status of the reply that the client got; 0: none yet. */
  status = 0;
  attempts = 0;
  private readonly client: Downstream;
  private readonly services: Services;
  private request: RoutingRequest | undefined = undefined;
  private tried: Target[] = NONE;
  private stale = false;
  private replyStarted = false;
  private replyDone = false;
  private startedAt = 0;
  private attemptAt = 0;
  /** Where the last attempt went, for the access log. */
  private lastTarget: Target | undefined = undefined;
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
    this.serial++;
    this.startedAt = this.services.network.clock.precise();
  }

  /** Send the request to a target of this upstream. */
  dispatch(upstream: Upstream, request: RoutingRequest): void {
    this.upstream = upstream;
    this.request = request;
    this.attempt();
  }

  private attempt(): void {
    const picked = this.upstream!.pick(this.request!, this.tried);
    if (!(picked instanceof Promise)) {
      this.use(picked);
      return;
    }
    const { serial } = this;
    void picked.then((target) => {
      // The client may have gone meanwhile.
      if (this.open && this.serial === serial) this.use(target);
    });
  }

  private use(target: Target | undefined): void {
    if (target === undefined) {
      this.fail("no-target", "");
      return;
    }
    this.target = target;
    this.attempts++;
    this.attemptAt = this.attempts === 1 ? this.startedAt : this.services.network.clock.precise();
    target.counters.add(OPEN_REQUESTS, 1);
    target.counters.add(TOTAL_REQUESTS, 1);
    if (!this.stale) {
      const idle = target.takeIdle() as UpstreamStream | undefined;
      if (idle !== undefined) {
        this.connection = idle;
        idle.attach(this);
        this.client.sendRequest(idle);
        return;
      }
    }
    const connection = this.services.openStream(target, this.upstream!);
    this.connection = connection;
    connection.attach(this);
    connection.connect();
  }

  /** The connection is up: the request goes out. */
  connected(connection: UpstreamStream): void {
    this.client.sendRequest(connection);
  }

  requestWritable(): void {
    this.client.requestWritable();
  }

  replyHead(head: ReplyHead, framing: FramingKind): void {
    this.replyStarted = true;
    this.status = head.status;
    this.client.replyHead(head, framing);
  }

  interim(head: ReplyHead): void {
    this.client.interim(head);
  }

  switchProtocols(head: ReplyHead, connection: UpstreamStream): void {
    this.replyStarted = true;
    this.status = head.status;
    this.client.switchProtocols(head, connection);
  }

  replyData(buffer: Buffer, start: number, end: number): void {
    this.client.replyData(buffer, start, end);
  }

  get wantsMore(): boolean {
    return this.client.wantsMore;
  }

  replyEnd(trailers: Head | undefined, connection: UpstreamStream | undefined): void {
    this.connection = connection;
    this.replyDone = true;
    this.client.replyEnd(trailers, connection);
  }

  get replyCongested(): boolean {
    return this.client.replyCongested;
  }

  tunnelActive(): void {
    this.client.tunnelActive();
  }

  tunnelTargetEnded(): void {
    this.client.tunnelTargetEnded();
  }

  tunnelClosed(broken: boolean): void {
    this.connection = undefined;
    this.client.tunnelClosed(broken);
  }

  /** The attempt came to nothing; the connection is gone already. */
  attemptFailed(cause: Cause, detail: string, reused: boolean): void {
    const { target } = this;
    this.connection = undefined;
    if (!this.open || target === undefined) return;
    if (this.replyDone) {
      this.client.requestUnwanted();
      return;
    }
    this.leaveTarget(true);
    if (this.replyStarted) {
      this.report(cause, detail, target);
      this.finish(cause);
      this.client.replyAbort();
      return;
    }
    if (this.mayRetry(cause, reused)) {
      target.counters.add(TOTAL_RETRIES, 1);
      if (this.services.log.allows(cause)) this.log("debug", cause, detail, target, "Attempt failed, trying again");
      // A pooled connection that the target had closed says nothing about the target.
      if (reused && !this.stale) this.stale = true;
      else this.tried = [...this.tried, target];
      this.retry(cause, detail, target);
      return;
    }
    this.fail(cause, detail, target);
  }

  private retry(cause: Cause, detail: string, failed: Target): void {
    const { usable } = this.upstream!;
    // Nobody else is there: say what went wrong with the one that is, not that none is usable.
    if (!usable.some((target) => !this.tried.includes(target))) this.fail(cause, detail, failed);
    else this.attempt();
  }

  private mayRetry(cause: Cause, reused: boolean): boolean {
    const { retries } = this.upstream!.config;
    switch (cause) {
      case "connect-refused":
      case "connect-failed":
        // Nothing was sent, so any request may go elsewhere.
        return retries > 0 && this.attempts < MAX_CONNECT_ATTEMPTS;
      case "connect-timeout":
        return this.attempts <= retries;
      case "target-closed":
      case "target-reset":
        if (!this.idempotent || !this.client.canReplay) return false;
        return (reused && !this.stale) || this.attempts <= retries + (this.stale ? 1 : 0);
      default:
        return false;
    }
  }

  /** Answer with the status of `cause` and end. */
  fail(cause: Cause, detail: string, target: Target | undefined = undefined): void {
    this.report(cause, detail, target);
    this.status = CAUSES[cause].status;
    this.client.replyError(cause);
  }

  /** The request is whole after all; its connection has gone back to the pool. */
  requestEnd(): void {
    this.connection = undefined;
    this.finish("done");
  }

  /** The one end of every exchange. Safe to call when it has ended. */
  finish(cause: Cause): void {
    if (!this.open) return;
    this.open = false;
    this.leaveTarget(CAUSES[cause].side === "target");
    const { connection } = this;
    this.connection = undefined;
    // What the client no longer waits for, the target need not do.
    connection?.abandon();
    const { accessLog } = this.services;
    if (accessLog !== undefined) {
      accessLog.write({
        ...this.client.describe(),
        status: this.status === 0 ? CAUSES[cause].status : this.status,
        upstream: this.upstream?.name ?? "",
        target: this.lastTarget?.name ?? "",
        attempts: this.attempts,
        milliseconds: this.services.network.clock.precise() - this.startedAt,
        cause,
      });
    }
    this.lastTarget = undefined;
  }

  private leaveTarget(failed: boolean): void {
    const { target } = this;
    if (target === undefined) return;
    const milliseconds = this.services.network.clock.precise() - this.attemptAt;
    target.counters.add(OPEN_REQUESTS, -1);
    if (failed) target.counters.add(TOTAL_FAILURES, 1);
    else target.counters.latency(milliseconds);
    this.target = undefined;
    this.lastTarget = target;
    this.upstream!.ended(target, failed, milliseconds);
  }

  private report(cause: Cause, detail: string, target: Target | undefined): void {
    if (this.services.log.allows(cause)) this.log(CAUSES[cause].side === "client" ? "info" : "warn", cause, detail, target, "Exchange failed");
  }

  private log(level: "debug" | "info" | "warn", cause: Cause, detail: string, target: Target | undefined, message: string): void {
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
        ...this.client.describe(),
      },
      message,
    );
  }

  get hasReply(): boolean {
    return this.replyStarted;
  }
}
