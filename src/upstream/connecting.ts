/**
 * The way to a connection to a target: from the first packet to the end of the TLS handshake. It owns the socket until then, and hands it on.
 *
 * A connect that nobody waits for any longer cannot be called off. Who gives up hears no more of it: what then comes of it is closed here.
 */
import { NOBODY } from "../net/leaving.ts";
import type { ConnectOwner, NetSocket, Network, SocketOwner } from "../net/network.ts";
import { Timed, type TimerWheel } from "../net/timers.ts";
import type { TlsClient } from "../net/tls.ts";
import { connectCause, type Cause } from "../observability/cause.ts";
import { TOTAL_CONNECTS } from "../scoreboard/scoreboard.ts";
import type { Target } from "./target.ts";

/** Gets the socket, by onOpen, or hears that there will be none. */
export interface Opener extends SocketOwner {
  connectFailed(cause: Cause, detail: string): void;
}

export class Connecting extends Timed implements ConnectOwner {
  /** How long it took, in ms; 0: it is not there yet. */
  milliseconds = 0;
  /** In exact clock ms. */
  startedAt = 0;
  private readonly target: Target;
  private readonly network: Network;
  private readonly wheel: TimerWheel;
  /** Undefined: it is over, or nobody waits any longer. */
  private opener: Opener | undefined;
  /** While its handshake runs. */
  private socket: NetSocket | undefined = undefined;
  private timeout = 0;

  constructor(target: Target, network: Network, wheel: TimerWheel, opener: Opener) {
    super();
    this.target = target;
    this.network = network;
    this.wheel = wheel;
    this.opener = opener;
  }

  /**
   * The opener may hear that it failed before this returns.
   * @param timeout in ms
   * @param preface what is said before all else, TLS too
   */
  start(timeout: number, tls: TlsClient | undefined, preface?: Buffer): void {
    const { target } = this;
    target.counters.add(TOTAL_CONNECTS);
    this.startedAt = this.network.clock.precise();
    if (target.isUnreachable) {
      this.failed("connect-timeout", "too many connects to it hang");
      return;
    }
    this.within(timeout);
    this.network.connect(target.address, this, tls, preface);
  }

  /** It has so many ms from now. */
  within(timeout: number): void {
    this.timeout = timeout;
    this.wheel.schedule(this, this.network.clock.now + timeout);
  }

  /** Nobody waits any longer. */
  giveUp(): void {
    if (this.opener === undefined) return;
    const { socket } = this;
    this.over();
    if (socket === undefined) this.target.countHanging(1);
    else cut(socket);
  }

  private over(): void {
    this.opener = undefined;
    this.socket = undefined;
    this.wheel.remove(this);
  }

  private failed(cause: Cause, detail: string): void {
    const { opener } = this;
    this.over();
    opener?.connectFailed(cause, detail);
  }

  onSecuring(socket: NetSocket): void {
    if (this.opener !== undefined) this.socket = socket;
    else this.cameLate(socket);
  }

  onOpen(socket: NetSocket): void {
    const { opener } = this;
    if (opener === undefined) {
      this.cameLate(socket);
      return;
    }
    this.over();
    this.milliseconds = this.network.clock.precise() - this.startedAt;
    this.target.connected(this.milliseconds);
    socket.data = opener;
    opener.onOpen(socket);
  }

  onConnectError(code: string, reason?: string): void {
    if (this.opener === undefined) this.target.countHanging(-1);
    else this.failed(connectCause(code), reason ?? code);
  }

  private cameLate(socket: NetSocket): void {
    this.target.countHanging(-1);
    cut(socket);
  }

  onDeadline(): void {
    const { opener, timeout } = this;
    this.giveUp();
    opener?.connectFailed("connect-timeout", `no connection within ${timeout} ms`);
  }

  // Nothing is heard of a socket before it is open.
  onData(): void {}
  onDrain(): void {}
  onEnd(): void {}
  onClose(): void {}
}

function cut(socket: NetSocket): void {
  socket.data = NOBODY;
  socket.terminate();
}
