/**
 * What is told of an exchange: numbers and references while it goes on; counts, log lines and, if a witness wants one, an account when it, or one
 * of its attempts, has ended. Nothing that happens depends on it.
 */
import { type Account, type Attempt, type Trace, wholeOf, withoutQuery } from "../observability/account.ts";
import { CAUSES, type Cause } from "../observability/cause.ts";
import type { Passing } from "../observability/head-text.ts";
import type { Ended } from "../observability/witnesses.ts";
import type { Match } from "../routing/router.ts";
import { classOf, TOTAL_RETRIES } from "../scoreboard/scoreboard.ts";
import type { Placement } from "../upstream/placement.ts";
import type { Target } from "../upstream/target.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { withFault } from "../faults/words.ts";
import { HttpAccount } from "./account.ts";
import { grpcStatusFor } from "./grpc.ts";
import type { RequestHead } from "./h1/request-head.ts";
import type { Services } from "./services.ts";
import type { Downstream } from "./sides.ts";

export class Telemetry implements Ended {
  match: Match<Upstream> | undefined = undefined;
  /** Made by us. */
  requestId: string | undefined = undefined;
  trace: Trace | undefined = undefined;
  /** In exact clock ms, as all moments here. */
  startedAt = 0;
  /** What the client got; 0: nothing yet. */
  status = 0;
  /** What a gRPC call said of itself; -1: nothing. */
  grpcStatus = -1;
  detail = "";
  /** Names of those that were injected, with a comma between several. */
  fault = "";
  /** Of the reply's body, or to the client through its tunnel. */
  bytesOut = 0;
  // Of the attempt of the moment.
  attemptAt = 0;
  /** When its reply began; 0: it has not. */
  answeredAt = 0;
  /** As its target was told; "": of none. */
  span = "";
  /** How long it was being connected, in ms. */
  connect = 0;
  private isHedge = false;
  /** It has not ended. */
  private attempting = false;
  /** The last one tried. */
  target: Target | undefined = undefined;
  /** Those that have ended. */
  tries: Attempt[] | undefined = undefined;
  /** Undefined: nobody has wanted any. */
  private told: HttpAccount | undefined = undefined;
  private isCall = false;
  private readonly client: Downstream;
  private readonly services: Services;
  private readonly placement: Placement;

  constructor(client: Downstream, services: Services, placement: Placement) {
    this.client = client;
    this.services = services;
    this.placement = placement;
  }

  begin(): void {
    this.match = undefined;
    this.requestId = undefined;
    this.trace = undefined;
    this.startedAt = this.services.network.clock.precise();
    this.status = 0;
    this.grpcStatus = -1;
    this.told?.begin();
    this.detail = "";
    this.fault = "";
    this.bytesOut = 0;
    this.answeredAt = 0;
    this.connect = 0;
    this.attempting = false;
    this.target = undefined;
    this.tries = undefined;
  }

  get listenerName(): string {
    return this.client.listener.config.name;
  }

  /** An account will tell of the request: now its head is at hand. */
  describe(head: RequestHead): void {
    this.teller.mark(head);
  }

  private get teller(): HttpAccount {
    return (this.told ??= new HttpAccount(this, this.placement, this.client, this.services));
  }

  /** A fault befalls it, or one of its attempts. */
  injected(name: string): void {
    this.fault = withFault(this.fault, name);
  }

  // Attempts.

  /** @param at in exact clock ms */
  attemptBegins(target: Target, at: number): void {
    this.target = target;
    this.attempting = true;
    this.attemptAt = at;
    this.answeredAt = 0;
    this.span = "";
    this.connect = 0;
    this.isHedge = false;
  }

  connected(): void {
    this.connect = this.services.network.clock.precise() - this.attemptAt;
  }

  replyBegins(status: number): void {
    this.answeredAt = this.services.network.clock.precise();
    this.status = status;
  }

  /** It is over, and the exchange is not. @param status of its reply; 0: none came */
  attemptEnds(cause: Cause, detail: string, status: number): void {
    this.attempting = false;
    const now = this.services.network.clock.precise();
    this.tell(this.attemptOf(cause, detail, status, now, status > 0 && this.answeredAt === 0 ? now : this.answeredAt));
  }

  /** An attempt that has ended, this or a hedge. */
  tell(attempt: Attempt): void {
    this.placement.upstream!.attemptFailed(attempt.cause);
    (this.tries ??= []).push(attempt);
  }

  /** The hedge is the attempt of the moment now. @param connect ms */
  hedgeTakesOver(target: Target, startedAt: number, connect: number, span: string): void {
    this.attemptBegins(target, startedAt);
    this.connect = connect;
    this.span = span;
    this.isHedge = true;
  }

  /** What an attempt at this target came to is tried once more. */
  retried(target: Target, cause: Cause, detail: string): void {
    target.counters.add(TOTAL_RETRIES);
    if (this.services.log.allows(cause)) this.log("debug", cause, detail, target, "Attempt failed, trying again");
  }

  private attemptOf(cause: Cause, detail: string, status: number, now: number, answeredAt: number): Attempt {
    const { target, attemptAt, connect, isHedge, span } = this;
    return {
      target: target!.name,
      at: attemptAt - this.startedAt,
      connect,
      firstByte: answeredAt === 0 ? 0 : answeredAt - attemptAt,
      milliseconds: now - attemptAt,
      status,
      cause,
      detail,
      hedge: isHedge,
      span: span === "" ? undefined : span,
    };
  }

  // The end.

  failed(cause: Cause, detail: string, target: Target | undefined): void {
    if (this.services.log.allows(cause)) this.log(CAUSES[cause].side === "client" || cause === "fault-injected" ? "info" : "warn", cause, detail, target, "Exchange failed");
  }

  ended(cause: Cause, detail: string, isCall: boolean, now: number): void {
    this.detail = detail;
    this.isCall = isCall;
    const { match, status, tries, startedAt, placement } = this;
    const milliseconds = now - startedAt;
    this.client.listener.ended(cause, classOf(status), milliseconds, placement.upstream, match);
    // Hedges that lost and pooled connections that turned out closed are worth being told of too.
    const tried = tries === undefined ? placement.attempts : tries.length + (this.attempting ? 1 : 0);
    this.services.witnesses?.ended(this, cause, status === 0 ? CAUSES[cause].status : status, tried, milliseconds);
    this.told?.letGo();
    this.target = undefined;
  }

  get isTraced(): boolean {
    return this.trace?.sampled === true;
  }

  account(cause: Cause, status: number, milliseconds: number): Account {
    return wholeOf(this.passing(cause, status, milliseconds));
  }

  passing(cause: Cause, status: number, milliseconds: number): Passing {
    return this.teller.end(cause, status, milliseconds);
  }

  /** What the client of a call was told; undefined: nothing, or it was no call. */
  callStatus(cause: Cause, status: number): number | undefined {
    if (!this.isCall) return undefined;
    if (this.grpcStatus >= 0) return this.grpcStatus;
    return this.answeredAt > 0 || CAUSES[cause].side === "client" ? undefined : grpcStatusFor(cause, status);
  }

  /** The attempt that ended with the exchange; undefined: there was none. @param milliseconds that the exchange took */
  lastTry(cause: Cause, milliseconds: number): Attempt | undefined {
    const { answeredAt } = this;
    if (!this.attempting) return undefined;
    return this.attemptOf(cause, this.detail, answeredAt === 0 ? 0 : this.status, this.startedAt + milliseconds, answeredAt);
  }

  private log(level: "debug" | "info" | "warn", cause: Cause, detail: string, target: Target | undefined, message: string): void {
    const { view, clientName } = this.client;
    const described = view.describe(clientName, this.services.toldHead);
    const { upstream, attempts } = this.placement;
    this.services.log.write(
      level,
      {
        cause,
        phase: CAUSES[cause].phase,
        ...(upstream === undefined ? {} : { upstream: upstream.name }),
        ...(target === undefined ? {} : { target: target.name }),
        ...(detail === "" ? {} : { detail }),
        status: this.answeredAt === 0 ? CAUSES[cause].status : this.status,
        attempts,
        ...described,
        path: withoutQuery(described.path),
        requestId: this.requestId ?? described.requestId,
      },
      message,
    );
  }
}
