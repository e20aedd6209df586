/**
 * One tcp client and its target: picks, connects (to the next one if that fails), then moves bytes both ways.
 * It knows connections and nothing of what is said on them.
 */
import type { Arrival } from "../accept/arrival.ts";
import type { Faults } from "../faults/faults.ts";
import type { Attempting } from "../faults/faulty-targets.ts";
import { withFault } from "../faults/words.ts";
import { Connection } from "../net/connection.ts";
import type { Duplex } from "../net/duplex.ts";
import { formatEndpoint, plainAddress } from "../net/endpoint.ts";
import type { NetSocket, Network } from "../net/network.ts";
import { relayData, relayEnd } from "../net/relay.ts";
import type { TimerWheel } from "../net/timers.ts";
import { type Account, type Attempt, candidateNames, NO_REQUEST } from "../observability/account.ts";
import { CAUSES, type Cause } from "../observability/cause.ts";
import type { LimitedLog } from "../observability/limited-log.ts";
import type { Ended, Witnesses } from "../observability/witnesses.ts";
import type { RoutingRequest } from "../policies/policy.ts";
import { clientKey } from "../routing/key.ts";
import type { Client, Listener } from "../routing/listener.ts";
import type { Match } from "../routing/router.ts";
import { CLASS_DONE, CLASS_FAILED, TOTAL_RETRIES } from "../scoreboard/scoreboard.ts";
import { Placement } from "../upstream/placement.ts";
import { MAX_CONNECT_ATTEMPTS } from "../upstream/retry.ts";
import type { Target } from "../upstream/target.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { injects } from "./fault-injection.ts";
import { TcpTarget } from "./target.ts";

/** What tcp connections of one worker share. */
export interface TcpServices {
  readonly network: Network;
  readonly wheel: TimerWheel;
  readonly tcpLog: LimitedLog;
  readonly witnesses: Witnesses | undefined;
  /** Undefined: none is in force. */
  readonly faults: Faults | undefined;
}

const UNAVAILABLE = Buffer.from("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 19\r\nConnection: close\r\n\r\nService Unavailable");
const NO_TRIES: readonly Attempt[] = [];
/** How long a client that was told 503 may go on sending. */
const LINGER = 2_000;

/** The client's side: owns the pair. */
export class TcpClient extends Connection implements Client, Attempting, Ended {
  private readonly listener: Listener;
  private readonly services: TcpServices;
  private readonly arrival: Arrival | undefined;
  private match: Match<Upstream> | undefined = undefined;
  readonly placement: Placement;
  private target: TcpTarget | undefined = undefined;
  private request: RoutingRequest | undefined = undefined;
  clientAddress = "";
  private port = 0;
  private startedAt = 0;
  private over = false;
  // Kept for its account: numbers and references, and what failed.
  private tries = NO_TRIES;
  private lastTarget: Target | undefined = undefined;
  private attemptAt = 0;
  private connect = 0;
  /** When the target's first byte came, in exact clock ms; 0: none has. */
  private answeredAt = 0;
  private detail = "";
  private fault = "";
  private bytesIn = 0;
  private bytesOut = 0;
  /** Bytes that came before the target was there. */
  private early: Buffer | undefined = undefined;
  /** This side has sent its last byte. */
  ended = false;
  /** Where what the target sends goes: here, unless something comes between. */
  sink: Duplex = this;

  constructor(listener: Listener, services: TcpServices, arrival?: Arrival) {
    super(services.wheel, listener.counters);
    this.listener = listener;
    this.services = services;
    this.arrival = arrival;
    this.placement = new Placement(this, services.network);
  }

  protected opened(socket: NetSocket): void {
    this.startedAt = this.services.network.clock.precise();
    const { remoteAddress, remotePort } = this.arrival?.peer ?? socket;
    this.clientAddress = plainAddress(remoteAddress);
    this.port = remotePort ?? 0;
    const refused = this.listener.add(this);
    if (refused !== undefined) {
      // Who is turned away takes up no place while it listens to the reason.
      this.listener.remove(this);
      this.finish(refused, "", undefined);
      this.unavailable();
      return;
    }
    const request: RoutingRequest = { protocol: "tcp", clientAddress: this.clientAddress, clientPort: this.port, method: "", host: this.arrival?.hello?.serverName ?? "", path: "", key: clientKey(this.clientAddress), header: () => undefined };
    this.request = request;
    this.match = this.listener.router.route(request);
    if (this.match === undefined) this.turnedAway("no-route", "");
    else if (this.services.faults === undefined || !injects(this.services.faults, this, this.listener.config.name, this.match, request, this.services)) this.placement.seek(this.match.upstream, request);
  }

  /** Where it comes from, for targets that want to know. */
  get origin(): Arrival | undefined {
    const { arrival, socket } = this;
    return arrival ?? (socket === undefined ? undefined : { peer: socket });
  }

  placed(target: Target): void {
    this.attemptBegins(target);
    this.reach(target);
  }

  attemptBegins(target: Target): void {
    this.lastTarget = target;
    this.attemptAt = this.services.network.clock.precise();
    this.connect = 0;
  }

  reach(target: Target): void {
    this.target = new TcpTarget(target, this, this.services);
    this.target.connect();
  }

  unreached(cause: Cause, detail: string): void {
    const target = this.placement.target!;
    this.placement.leave(true, 0, this.services.network.clock.precise() - this.attemptAt);
    this.connectFailed(target, cause, detail);
  }

  injected(fault: string): void {
    this.fault = withFault(this.fault, fault);
  }

  /** What befell it, for its account. */
  tell(detail: string): void {
    this.detail = detail;
  }

  /** Break off, by no fault of anybody's. */
  breakOff(): void {
    this.finish("fault-injected", this.detail, undefined);
    this.abort();
  }

  turnedAway(cause: Cause, detail: string): void {
    this.finish(cause, detail, undefined);
    this.unavailable();
  }

  flush(): void {
    // What a client is told leaves at once.
  }

  /** Its target could not be reached; the place there is left. */
  connectFailed(target: Target, cause: Cause, detail: string): void {
    this.target = undefined;
    if (!this.isOpen) return;
    const { placement } = this;
    placement.upstream!.attemptFailed(cause);
    this.tries = [...this.tries, this.tryOf(target, cause, detail)];
    this.lastTarget = undefined;
    placement.avoid(target);
    const { retry } = placement.upstream!.config;
    if (cause !== "overloaded" && placement.hasOther && retry.retries > 0 && retry.onConnectFailure && placement.attempts < MAX_CONNECT_ATTEMPTS) {
      target.counters.add(TOTAL_RETRIES);
      placement.again();
      return;
    }
    this.finish(cause, detail, target);
    this.unavailable();
  }

  /** The target is put out of service. */
  cut(): void {
    this.finish("target-drained", "", this.target?.target);
    this.target?.abort();
    this.abort();
  }

  /** The target is there. @param connect how long that took, in ms */
  joined(connect: number): void {
    this.connect = connect;
    const { early, target } = this;
    this.early = undefined;
    this.active();
    if (early !== undefined) target!.write(early, 0, early.length);
    if (this.ended) target!.shutdown();
    if (target!.congested) this.pause();
    else this.resume();
  }

  /** So many bytes of the target went through. */
  relayed(length: number): void {
    if (this.bytesOut === 0) this.answeredAt = this.services.network.clock.precise();
    this.bytesOut += length;
    this.active();
  }

  /** A byte went through: the idle time starts anew. */
  active(): void {
    const idle = this.listener.config.timeouts.tunnelIdle;
    if (idle > 0 && !this.over) this.wheel.schedule(this, this.services.network.clock.now + idle);
  }

  onData(chunk: Buffer): void {
    if (this.over) return;
    this.meter!.received(chunk.length);
    this.bytesIn += chunk.length;
    const { target } = this;
    if (target?.ready !== true) {
      this.early = this.early === undefined ? chunk : Buffer.concat([this.early, chunk]);
      this.pause();
      return;
    }
    relayData(this, target, chunk);
    this.active();
  }

  protected atEnd(): void {
    this.ended = true;
    if (this.over) {
      this.sink.end();
      return;
    }
    const { target } = this;
    if (target?.ready === true) relayEnd(target, target.ended, this);
    else if (this.early === undefined) {
      // Gone before anything was said: there is nothing to deliver.
      this.end();
    }
  }

  protected writable(): void {
    if (!this.sink.congested) this.target?.resume();
  }

  /** What held back its target is over. */
  sourceMayGoOn(): void {
    if (!this.congested) this.target?.resume();
  }

  protected override progressed(): void {
    this.active();
  }

  protected closed(error: Error | undefined): void {
    this.listener.remove(this);
    const { target } = this;
    this.target = undefined;
    if (this.sink !== this) this.sink.abort();
    this.finish(error === undefined ? "done" : "client-closed", "", target?.target);
    if (error !== undefined || target?.ready !== true) target?.abort();
    else target.end();
  }

  /** The target's side is gone. */
  targetClosed(error: Error | undefined): void {
    const { target } = this;
    this.target = undefined;
    this.finish(error === undefined ? "done" : "target-reset", error?.message ?? "", target?.target);
    if (error !== undefined) this.abort();
    else this.sink.end();
  }

  protected due(): void {
    if (!this.over) this.finish("idle-timeout", "", this.target?.target);
    this.target?.abort();
    this.abort();
  }

  private unavailable(): void {
    if (this.listener.config.tcpUnavailable === "close") {
      this.end();
      return;
    }
    this.write(UNAVAILABLE, 0, UNAVAILABLE.length);
    this.shutdown();
    this.resume();
    this.wheel.schedule(this, this.services.network.clock.now + LINGER);
    if (this.ended) this.end();
  }

  /** The one end of the exchange, with its cause. */
  private finish(cause: Cause, detail: string, target: Target | undefined): void {
    if (this.over) return;
    this.over = true;
    const { upstream, attempts } = this.placement;
    this.placement.end();
    const { tcpLog: log, witnesses, network } = this.services;
    const client = formatEndpoint(this.clientAddress, this.port);
    if (CAUSES[cause].side !== "none" && log.allows(cause)) {
      const level = CAUSES[cause].side === "client" || cause === "idle-timeout" || cause === "fault-injected" ? "info" : "warn";
      log.write(level, { cause, phase: CAUSES[cause].phase, upstream: upstream?.name ?? "", target: target?.name ?? "", detail, client, listener: this.listener.config.name }, "Connection failed");
    }
    if (detail !== "") this.detail = detail;
    const milliseconds = network.clock.precise() - this.startedAt;
    this.listener.ended(cause, CAUSES[cause].side === "none" ? CLASS_DONE : CLASS_FAILED, milliseconds, upstream, this.match);
    witnesses?.ended(this, cause, 0, attempts, milliseconds);
  }

  get isTraced(): boolean {
    return false;
  }

  account(cause: Cause, status: number, milliseconds: number): Account {
    const { match, lastTarget, tries, connect, startedAt, answeredAt, detail, fault, bytesIn, bytesOut } = this;
    const { upstream, candidates, queued, attempts } = this.placement;
    return {
      protocol: "tcp",
      at: this.services.network.clock.wall() - milliseconds,
      listener: this.listener.config.name,
      route: match?.label ?? "",
      upstream: upstream?.name ?? "",
      target: lastTarget?.name ?? tries.at(-1)?.target ?? "",
      client: formatEndpoint(this.clientAddress, this.port),
      ...NO_REQUEST,
      // Of a ClientHello.
      host: this.request?.host ?? "",
      status,
      cause,
      detail,
      fault,
      milliseconds,
      queued,
      connect,
      firstByte: answeredAt === 0 ? 0 : answeredAt - startedAt,
      bytesIn,
      bytesOut,
      attempts,
      tries: lastTarget === undefined ? tries : [...tries, this.tryOf(lastTarget, cause, detail)],
      candidates: candidateNames(candidates),
      candidateCount: candidates.length,
    };
  }

  /** The attempt of the moment, which ends so. */
  private tryOf({ name: target }: Target, cause: Cause, detail: string): Attempt {
    const { attemptAt, answeredAt, connect } = this;
    const milliseconds = this.services.network.clock.precise() - attemptAt;
    return { target, at: attemptAt - this.startedAt, connect, firstByte: answeredAt === 0 ? 0 : answeredAt - attemptAt, milliseconds, status: 0, cause, detail, hedge: false };
  }

  drain(): void {
    // Bytes may be under way at any moment: the drain timeout ends what is left.
  }
}
