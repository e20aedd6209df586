/**
 * The stage of a TLS handshake: holds a client from accept until it may speak, then hands its socket to the protocol's owner.
 * It counts as a client all the while, so handshakes that are begun and not ended are bounded like connections.
 */
import { Connection } from "../net/connection.ts";
import { formatEndpoint, plainAddress } from "../net/endpoint.ts";
import type { HandshakeOwner, NetSocket, SocketOwner } from "../net/network.ts";
import type { Handshake, HandshakeFailure } from "../net/tls.ts";
import { CAUSES, type Cause } from "../observability/cause.ts";
import type { Client, Listener } from "../routing/listener.ts";
import { TOTAL_TLS_FULL, TOTAL_TLS_RESUMED } from "../scoreboard/scoreboard.ts";
import type { Arrival, Peer } from "./arrival.ts";
import type { StageServices } from "./stage.ts";
import { normalName } from "./tls-termination.ts";

const FAILURES = {
  "certificate-missing": "client-certificate-missing",
  "certificate-refused": "client-certificate-refused",
  "cleartext": "tls-handshake-failed",
  "protocol": "tls-handshake-failed",
  "closed": "tls-handshake-failed",
} as const satisfies Record<HandshakeFailure["kind"], Cause>;

export class TlsHandshake extends Connection implements Client, HandshakeOwner {
  private readonly listener: Listener;
  private readonly services: StageServices;
  private readonly nextOwner: (arrival: Arrival) => SocketOwner;
  private readonly arrival: Arrival | undefined;
  private peer: Peer | undefined;

  /**
   * @param nextOwner makes whoever goes on with the socket
   * @param arrival what a stage before this one has found out; absent: the socket says all
   */
  constructor(listener: Listener, services: StageServices, nextOwner: (arrival: Arrival) => SocketOwner, arrival?: Arrival) {
    super(services.wheel);
    this.listener = listener;
    this.services = services;
    this.nextOwner = nextOwner;
    this.arrival = arrival;
    this.peer = arrival?.peer;
  }

  protected opened(socket: NetSocket): void {
    this.peer ??= socket;
    const refused = this.listener.add(this);
    if (refused !== undefined) {
      // There is no way to say it before the handshake, and the handshake is the costly part.
      this.fail(refused, "");
      return;
    }
    this.wheel.schedule(this, this.services.network.clock.now + this.listener.config.timeouts.tlsHandshake);
  }

  onHandshake({ failure, resumed, alpn, serverName, clientSubject }: Handshake): void {
    const { peer } = this;
    if (peer === undefined || !this.isOpen) return;
    if (failure !== undefined) {
      // Whoever only looks whether the port is open does it again and again.
      this.say(FAILURES[failure.kind], failure.reason, failure.kind === "closed" ? "debug" : "info");
      // What the handshake has answered reaches the client.
      this.end();
      return;
    }
    this.listener.counters.add(resumed ? TOTAL_TLS_RESUMED : TOTAL_TLS_FULL);
    this.listener.remove(this);
    this.handOver(this.nextOwner({ ...this.arrival, peer, tls: { alpn, serverName: normalName(serverName), clientSubject } }));
  }

  private fail(cause: Cause, reason: string): void {
    this.say(cause, reason);
    this.abort();
  }

  private say(cause: Cause, reason: string, level: "debug" | "info" = "info"): void {
    this.listener.failed(cause);
    const { tlsLog: log } = this.services;
    if (log.allows(cause)) log.write(level, { cause, phase: CAUSES[cause].phase, reason, client: formatEndpoint(this.clientAddress, this.peer?.remotePort ?? 0), listener: this.listener.config.name }, "TLS handshake failed");
  }

  get clientAddress(): string {
    return plainAddress(this.peer?.remoteAddress);
  }

  protected due(): void {
    this.fail("tls-handshake-timeout", `none within ${this.listener.config.timeouts.tlsHandshake} ms`);
  }

  protected closed(): void {
    this.listener.remove(this);
  }

  drain(): void {
    // Who shakes hands is about to speak: its deadline is near enough.
  }

  onData(): void {}
  protected atEnd(): void {}
  protected writable(): void {}
}
