/**
 * One tcp client and its target: picks, connects (to the next one if that fails), then moves bytes both ways.
 * It knows connections and nothing of what is said on them.
 */
import { Connection } from "../net/connection.ts";
import type { NetSocket, Network } from "../net/network.ts";
import { relayData, relayEnd } from "../net/relay.ts";
import type { TimerWheel } from "../net/timers.ts";
import type { AccessLog } from "../observability/access-log.ts";
import { CAUSES, connectCause, type Cause } from "../observability/cause.ts";
import type { LimitedLog } from "../observability/limited-log.ts";
import type { RoutingRequest } from "../policies/policy.ts";
import type { Client, Listener } from "../routing/listener.ts";
import { OPEN_CONNECTIONS, OPEN_REQUESTS, TOTAL_CONNECTS, TOTAL_FAILURES, TOTAL_REQUESTS, TOTAL_RETRIES } from "../scoreboard/scoreboard.ts";
import type { Target } from "../upstream/target.ts";
import type { Upstream } from "../upstream/upstream.ts";

/** What tcp connections of one worker share. */
export interface TcpServices {
  readonly network: Network;
  readonly wheel: TimerWheel;
  readonly log: LimitedLog;
  accessLog: AccessLog | undefined;
}

const UNAVAILABLE = Buffer.from("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 19\r\nConnection: close\r\n\r\nService Unavailable");
/** Failed connects for one client. */
const MAX_CONNECT_ATTEMPTS = 8;
/** How long a client that was told 503 may go on sending. */
const LINGER = 2_000;

/** The client's side: owns the pair. */
export class TcpClient extends Connection implements Client {
  private readonly listener: Listener;
  private readonly services: TcpServices;
  private upstream: Upstream | undefined = undefined;
  private target: TcpTarget | undefined = undefined;
  private tried: Target[] = [];
  private attempts = 0;
  private address = "";
  private port = 0;
  private startedAt = 0;
  private over = false;
  /** Bytes that came before the target was there. */
  private early: Buffer | undefined = undefined;
  /** This side has sent its last byte. */
  ended = false;

  constructor(listener: Listener, services: TcpServices) {
    super(services.wheel);
    this.listener = listener;
    this.services = services;
  }

  protected opened(socket: NetSocket): void {
    this.startedAt = this.services.network.clock.precise();
    const counted = this.listener.add(this);
    this.address = socket.remoteAddress ?? "";
    this.port = socket.remotePort ?? 0;
    if (!counted) {
      // Who is turned away takes up no place while it listens to the reason.
      this.listener.remove(this);
      this.finish("too-many-connections", "", undefined);
      this.unavailable();
      return;
    }
    const request: RoutingRequest = { protocol: "tcp", clientAddress: this.address, clientPort: this.port, method: "", host: "", path: "", header: () => undefined };
    this.upstream = this.listener.router.route(request);
    if (this.upstream === undefined) {
      this.finish("no-route", "", undefined);
      this.unavailable();
      return;
    }
    this.attempt(request);
  }

  private attempt(request: RoutingRequest): void {
    const picked = this.upstream!.pick(request, this.tried);
    if (picked instanceof Promise) void picked.then((target) => this.isOpen && this.use(target, request));
    else this.use(picked, request);
  }

  private use(target: Target | undefined, request: RoutingRequest): void {
    if (target === undefined) {
      this.finish("no-target", "", undefined);
      this.unavailable();
      return;
    }
    this.attempts++;
    this.target = new TcpTarget(target, this, this.services, (cause, detail) => this.connectFailed(target, cause, detail, request));
    this.target.connect(this.upstream!.config.timeouts.connect);
  }

  private connectFailed(target: Target, cause: Cause, detail: string, request: RoutingRequest): void {
    this.target = undefined;
    if (!this.isOpen) return;
    this.upstream!.ended(target, true, 0);
    target.counters.add(TOTAL_FAILURES, 1);
    this.tried = [...this.tried, target];
    const left = this.upstream!.usable.some((other) => !this.tried.includes(other));
    if (left && this.upstream!.config.retries > 0 && this.attempts < MAX_CONNECT_ATTEMPTS) {
      target.counters.add(TOTAL_RETRIES, 1);
      this.attempt(request);
      return;
    }
    this.finish(cause, detail, target);
    this.unavailable();
  }

  /** The target is there. */
  joined(): void {
    const { early, target } = this;
    this.early = undefined;
    this.active();
    if (early !== undefined) target!.write(early, 0, early.length);
    if (this.ended) target!.shutdown();
    if (target!.congested) this.pause();
    else this.resume();
  }

  /** A byte went through: the idle time starts anew. */
  active(): void {
    const idle = this.listener.config.timeouts.tunnelIdle;
    if (idle > 0) this.wheel.schedule(this, this.services.network.clock.now + idle);
  }

  onData(chunk: Buffer): void {
    if (this.over) return;
    const { target } = this;
    if (target?.ready !== true) {
      this.early = this.early === undefined ? chunk : Buffer.concat([this.early, chunk]);
      this.pause();
      return;
    }
    relayData(this, target, chunk);
    this.active();
  }

  onEnd(): void {
    this.ended = true;
    if (this.over) {
      this.end();
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
    this.target?.resume();
  }

  protected closed(error: Error | undefined): void {
    this.listener.remove(this);
    const { target } = this;
    this.target = undefined;
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
    else this.end();
  }

  onConnectError(): void {
    // Accepted sockets are connected.
  }

  onDeadline(): void {
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
    const { log, accessLog, network } = this.services;
    const client = `${this.address}:${this.port}`;
    if (CAUSES[cause].side !== "none" && log.allows(cause)) {
      const level = CAUSES[cause].side === "client" || cause === "idle-timeout" ? "info" : "warn";
      log.write(level, { cause, phase: CAUSES[cause].phase, upstream: this.upstream?.name ?? "", target: target?.name ?? "", detail, client, listener: this.listener.config.name }, "Connection failed");
    }
    accessLog?.write({
      client,
      method: "TCP",
      host: "",
      path: "",
      status: 0,
      upstream: this.upstream?.name ?? "",
      target: target?.name ?? "",
      attempts: this.attempts,
      milliseconds: network.clock.precise() - this.startedAt,
      cause,
      requestId: "",
    });
  }

  drain(): void {
    // Bytes may be under way at any moment: the drain timeout ends what is left.
  }
}

/** The target's side of the pair. */
class TcpTarget extends Connection {
  readonly target: Target;
  private readonly client: TcpClient;
  private readonly services: TcpServices;
  private readonly failed: (cause: Cause, detail: string) => void;
  private startedAt = 0;
  private gone = false;
  ready = false;
  /** This side has sent its last byte. */
  ended = false;

  constructor(target: Target, client: TcpClient, services: TcpServices, failed: (cause: Cause, detail: string) => void) {
    super(services.wheel);
    this.target = target;
    this.client = client;
    this.services = services;
    this.failed = failed;
  }

  connect(timeout: number): void {
    const { counters } = this.target;
    counters.add(OPEN_CONNECTIONS, 1);
    counters.add(OPEN_REQUESTS, 1);
    counters.add(TOTAL_CONNECTS, 1);
    counters.add(TOTAL_REQUESTS, 1);
    const { clock } = this.services.network;
    this.startedAt = clock.precise();
    if (this.target.isUnreachable) {
      this.leave();
      this.failed("connect-timeout", "too many connects to it hang");
      return;
    }
    if (timeout > 0) this.wheel.schedule(this, clock.now + timeout);
    this.services.network.connect(this.target.address, this);
  }

  private leave(): boolean {
    if (this.gone) return false;
    this.gone = true;
    this.wheel.remove(this);
    const { counters } = this.target;
    counters.add(OPEN_CONNECTIONS, -1);
    counters.add(OPEN_REQUESTS, -1);
    return true;
  }

  protected opened(): void {
    if (this.gone) {
      this.target.countHanging(-1);
      super.abort();
      return;
    }
    this.ready = true;
    this.wheel.cancel(this);
    this.client.joined();
  }

  onConnectError(code: string): void {
    if (this.leave()) this.failed(connectCause(code), code);
    else this.target.countHanging(-1);
  }

  onDeadline(): void {
    if (this.ready || !this.leave()) return;
    this.target.countHanging(1);
    super.abort();
    this.failed("connect-timeout", "");
  }

  onData(chunk: Buffer): void {
    relayData(this, this.client, chunk);
    this.client.active();
  }

  onEnd(): void {
    this.ended = true;
    relayEnd(this.client, this.client.ended, this);
  }

  protected writable(): void {
    this.client.resume();
  }

  override abort(): void {
    // While it connects there is no socket to close yet: opened() will.
    if (this.leave() && !this.ready) this.target.countHanging(1);
    super.abort();
  }

  protected closed(error: Error | undefined): void {
    const { ready } = this;
    if (this.leave()) {
      if (!ready) {
        this.failed("connect-failed", error?.message ?? "closed");
        return;
      }
      this.target.counters.latency(this.services.network.clock.precise() - this.startedAt);
      this.client.targetClosed(error);
    }
  }
}
