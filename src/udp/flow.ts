/**
 * One udp client (its address and port, at one listener) and its target. The first datagram picks the target; all go there over a socket of
 * the flow's own, and what comes back over it goes to the client. When the target refuses (ICMP), is taken out or leaves the configuration,
 * the next datagram picks another one. A flow ends when all replies have come, or nothing has for a while.
 */
import type { DatagramOwner, DatagramPeer, DatagramSocket } from "../net/datagram.ts";
import { formatEndpoint, plainAddress } from "../net/endpoint.ts";
import { release } from "../net/release.ts";
import { Timed } from "../net/timers.ts";
import { type Account, type Attempt, candidateNames, NO_REQUEST } from "../observability/account.ts";
import { CAUSES, connectCause, type Cause, OUR_SHORTAGES } from "../observability/cause.ts";
import type { Ended } from "../observability/witnesses.ts";
import type { RoutingRequest } from "../policies/policy.ts";
import { clientKey } from "../routing/key.ts";
import type { Client } from "../routing/listener.ts";
import type { Match } from "../routing/router.ts";
import { CLASS_DONE, CLASS_FAILED, TOTAL_CLIENTS, TOTAL_CONNECTS, TOTAL_RETRIES } from "../scoreboard/scoreboard.ts";
import { type Applicant, Placement } from "../upstream/placement.ts";
import type { Pooled, Target } from "../upstream/target.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { UdpRelay } from "./relay.ts";

/** Targets tried for one datagram. */
const MAX_ATTEMPTS = 8;
/** Datagrams of one client that wait while its target is picked, or the target's name resolved; more are lost. */
const MAX_EARLY = 16;
/** How long replies are still relayed by a worker that leaves, in ms. */
const LINGER = 2_000;
/** Targets that a flow tells of; it may see more of them. */
const MOST_TRIES = 32;
const NO_HEADERS = (): undefined => undefined;
const NO_TRIES: readonly Attempt[] = [];
/** The target's system has said that nobody is there. */
const UNREACHABLE: ReadonlySet<string> = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH"]);

export class Flow extends Timed implements Client, Pooled, DatagramOwner, Applicant, Ended {
  readonly clientAddress: string;
  private readonly relay: UdpRelay;
  private readonly key: string;
  private readonly peer: DatagramPeer;
  private readonly request: RoutingRequest;
  private readonly startedAt: number;
  /** When its last datagram came or went, in exact clock ms. */
  private lastAt = 0;
  private match: Match<Upstream> | undefined = undefined;
  private readonly placement: Placement;
  /** The name of the last one. */
  private targetName = "";
  private socket: DatagramSocket | undefined = undefined;
  /** Datagrams that wait for the socket; undefined: none is being made. */
  private early: Buffer[] | undefined = undefined;
  /** The first datagram to this target, as long as it is the only one and has no reply: it can be sent once more. */
  private kept: Buffer | undefined = undefined;
  private resent = 0;
  // Of the target of now.
  private pickedAt = 0;
  private sent = 0;
  private answered = 0;
  /** When its first reply came, in exact clock ms; 0: none has. */
  private answeredAt = 0;
  // Of all of them.
  private datagramsIn = 0;
  private datagramsOut = 0;
  private bytesIn = 0;
  private bytesOut = 0;
  /** When the first reply of all came. */
  private firstReplyAt = 0;
  private tries = NO_TRIES;
  /** It was there when the flow ended. */
  private lastTarget: Target | undefined = undefined;
  private detail = "";
  /** Its client has spoken after a reply: its address is not forged. */
  private isProven = false;
  private over = false;

  constructor(relay: UdpRelay, key: string, peer: DatagramPeer) {
    super();
    this.relay = relay;
    this.key = key;
    this.peer = peer;
    // A datagram is not worth waiting with: its client will say it again, or something newer.
    this.placement = new Placement(this, relay.services.network, false);
    const clientAddress = plainAddress(peer.address);
    this.clientAddress = clientAddress;
    this.startedAt = relay.services.network.clock.precise();
    this.request = { protocol: "udp", clientAddress, clientPort: peer.port, method: "", host: "", path: "", key: clientKey(clientAddress), header: NO_HEADERS };
  }

  /** False: there are too many clients, and this is none. */
  admit(): boolean {
    const { relay } = this;
    const { listener } = relay;
    listener.counters.add(TOTAL_CLIENTS);
    let refused = relay.flows.hasPlace() ? listener.add(this) : "overloaded";
    if (refused === "too-many-connections" && relay.dropOldest(refused)) {
      listener.remove(this);
      refused = listener.add(this);
    }
    if (refused === undefined) return true;
    this.end(refused);
    return false;
  }

  /** A datagram of the client. */
  forward(bytes: Buffer): void {
    this.datagramsIn++;
    this.bytesIn += bytes.length;
    this.relay.listener.counters.received(bytes.length);
    if (!this.isProven && this.datagramsOut > 0) {
      this.isProven = true;
      this.relay.prove(this);
    }
    this.active();
    if (this.early !== undefined) {
      if (this.early.length < MAX_EARLY) this.early.push(bytes);
      return;
    }
    if (this.placement.target !== undefined && !this.stays()) this.leaveDrained();
    if (this.socket === undefined) this.seek([bytes]);
    else {
      this.send(bytes);
      this.endIfAnswered();
    }
  }

  private active(): void {
    const { wheel, network, draining } = this.relay.services;
    const { clock } = network;
    this.lastAt = clock.precise();
    if (!draining) wheel.schedule(this, clock.now + this.relay.listener.config.timeouts.udpIdle);
  }

  /** Its target may go on with it, under the configuration and the states of now. */
  private stays(): boolean {
    const { placement } = this;
    const match = this.relay.listener.router.route(this.request);
    const upstream = match?.upstream;
    if (upstream !== placement.upstream) {
      const target = placement.target!;
      const same = upstream?.targets.find(({ slot }) => slot === target.slot);
      if (same === undefined) return false;
      this.match = match;
      placement.renew(upstream!, same);
      if (same !== target) {
        target.closes(this);
        same.opens(this);
      }
    }
    placement.upstream!.refresh();
    // It may have been cut by that.
    return placement.target?.mayGoOn !== false;
  }

  /** @param waiting datagrams, for the target that is found */
  private seek(waiting: Buffer[]): void {
    this.early = waiting;
    this.match = this.relay.listener.router.route(this.request);
    if (this.match === undefined) this.end("no-route");
    else this.placement.seek(this.match.upstream, this.request);
  }

  turnedAway(cause: Cause): void {
    this.end(cause);
  }

  flush(): void {
    // Datagrams leave at once.
  }

  placed(target: Target): void {
    const { network } = this.relay.services;
    this.targetName = target.name;
    this.pickedAt = network.clock.precise();
    this.sent = 0;
    this.answered = 0;
    this.answeredAt = 0;
    target.opens(this);
    target.counters.add(TOTAL_CONNECTS);
    network.datagrams.connect(target.address, this);
  }

  onReady(socket: DatagramSocket): void {
    if (this.over || this.placement.target === undefined) {
      socket.close();
      return;
    }
    this.socket = socket;
    const waiting = this.early!;
    this.early = undefined;
    for (const bytes of waiting) this.send(bytes);
    this.endIfAnswered();
  }

  private send(bytes: Buffer): void {
    const { socket, placement } = this;
    if (socket === undefined) {
      // One before it has found nobody there.
      this.early?.push(bytes);
      return;
    }
    const code = socket.send(bytes);
    if (code !== undefined && UNREACHABLE.has(code)) {
      this.refused(code, bytes);
      return;
    }
    if (code === undefined) {
      this.sent++;
      placement.target!.counters.sent(bytes.length);
    }
    if (this.sent === 1 && this.answered === 0 && bytes.length <= placement.upstream!.config.retry.buffer) this.kept = bytes;
    else {
      this.kept = undefined;
      release(bytes);
    }
  }

  onReply(bytes: Buffer): void {
    if (this.over) return;
    this.datagramsOut++;
    this.bytesOut += bytes.length;
    this.relay.listener.counters.sent(bytes.length);
    this.placement.target?.counters.received(bytes.length);
    this.active();
    this.relay.reply(bytes, this.peer);
    release(bytes);
    if (this.answered++ === 0) this.learn();
    this.endIfAnswered();
  }

  private endIfAnswered(): void {
    const { udpResponses } = this.relay.listener.config;
    if (udpResponses !== undefined && this.socket !== undefined && this.answered >= udpResponses * this.sent) this.end("done");
  }

  /** The first reply says how its target does. */
  private learn(): void {
    const now = this.relay.services.network.clock.precise();
    this.answeredAt = now;
    if (this.firstReplyAt === 0) this.firstReplyAt = now;
    this.kept = undefined;
    this.resent = 0;
    this.placement.forgive();
    this.placement.learn(now - this.pickedAt);
  }

  onError(code: string): void {
    if (this.over || this.placement.target === undefined) return;
    if (this.socket === undefined && OUR_SHORTAGES.has(code)) this.end("overloaded", code);
    // Something was too large for the way, or the like: it is lost, and that is all.
    else if (this.socket === undefined || UNREACHABLE.has(code)) this.refused(code, undefined);
  }

  /** Nobody is there. @param unsent a datagram that did not even leave */
  private refused(code: string, unsent: Buffer | undefined): void {
    const { placement, kept, early } = this;
    const target = placement.target!;
    const { retry } = placement.upstream!.config;
    this.attemptEnds(connectCause(code), code);
    this.leave(true);
    placement.avoid(target);
    if (!placement.hasOther || placement.avoided >= MAX_ATTEMPTS) {
      this.end(connectCause(code), code);
      return;
    }
    const again = kept !== undefined && this.resent < retry.retries && retry.onConnectFailure ? kept : undefined;
    if (again !== undefined) {
      this.resent++;
      target.counters.add(TOTAL_RETRIES);
    }
    const waiting = [again, unsent, ...(early ?? [])].filter((bytes) => bytes !== undefined);
    // Without any, the next one goes elsewhere.
    if (waiting.length > 0) this.seek(waiting);
  }

  /** Away from its target. @param failed it could not be reached, or did not answer */
  private leave(failed: boolean): void {
    const { placement } = this;
    const elapsed = this.relay.services.network.clock.precise() - this.pickedAt;
    this.socket?.close();
    this.socket = undefined;
    this.kept = undefined;
    this.early = undefined;
    placement.target!.closes(this);
    if (failed) placement.leave(true, 0, elapsed);
    // What was to be learnt of it was learnt with its first reply.
    else if (this.answered > 0) placement.leaveLearnt(elapsed);
    else placement.leaveEarly(0);
  }

  private leaveDrained(): void {
    this.attemptEnds("target-drained", "");
    this.leave(false);
  }

  /** Another target may follow. */
  private attemptEnds(cause: Cause, detail: string): void {
    this.placement.upstream!.attemptFailed(cause);
    if (this.tries.length < MOST_TRIES) this.tries = [...this.tries, this.tryOf(this.placement.target!, cause, detail)];
  }

  onDeadline(): void {
    const { listener, services } = this.relay;
    const expected = (listener.config.udpResponses ?? 0) > 0 && this.sent > 0;
    if (this.placement.target === undefined || !expected || this.answered > 0 || services.draining) {
      this.end("done");
      return;
    }
    this.attemptEnds("response-timeout", "");
    this.leave(true);
    this.end("response-timeout");
  }

  /** The target is put out of service: the next datagram goes to another one. While the socket is made it is not let go of: stays() will see. */
  cut(): void {
    if (this.socket !== undefined) this.leaveDrained();
  }

  /** It is never idle: there is nothing to retire. */
  retire(): void {
    this.abort();
  }

  abort(): void {
    this.end("shutdown");
  }

  /** Its worker leaves: nothing more will come from the client here. */
  drain(): void {
    const { draining, network, wheel } = this.relay.services;
    if (draining) wheel.schedule(this, Math.min(this.deadline, network.clock.now + LINGER));
  }

  /** Its place is given to another one. */
  drop(cause: Cause): void {
    this.end(cause, "its place was given to another");
  }

  /** The one end of the flow, with its cause. */
  private end(cause: Cause, detail = ""): void {
    if (this.over) return;
    this.over = true;
    const { listener, services } = this.relay;
    const { udpLog: log, witnesses, wheel } = services;
    this.lastTarget = this.placement.target;
    if (this.lastTarget !== undefined) this.leave(false);
    this.placement.end();
    wheel.remove(this);
    listener.remove(this);
    this.relay.forget(this, this.key);
    const client = formatEndpoint(this.clientAddress, this.peer.port);
    if (CAUSES[cause].side !== "none" && log.allows(cause)) {
      log.write("warn", { cause, phase: CAUSES[cause].phase, upstream: this.match?.upstream.name ?? "", target: this.targetName, detail, client, listener: listener.config.name }, "Flow ended");
    }
    this.detail = detail;
    const milliseconds = Math.max(0, this.lastAt - this.startedAt);
    listener.ended(cause, CAUSES[cause].side === "none" ? CLASS_DONE : CLASS_FAILED, milliseconds, this.match?.upstream, this.match);
    witnesses?.ended(this, cause, 0, this.placement.attempts, milliseconds);
  }

  get isTraced(): boolean {
    return false;
  }

  account(cause: Cause, status: number, milliseconds: number): Account {
    const { relay, match, targetName, tries, lastTarget, startedAt, firstReplyAt, detail, bytesIn, bytesOut } = this;
    const { candidates, attempts } = this.placement;
    const { clock } = relay.services.network;
    return {
      protocol: "udp",
      at: clock.wall() - (clock.precise() - startedAt),
      listener: relay.listener.config.name,
      route: match?.label ?? "",
      upstream: match?.upstream.name ?? "",
      target: targetName,
      client: formatEndpoint(this.clientAddress, this.peer.port),
      ...NO_REQUEST,
      status,
      cause,
      detail,
      milliseconds,
      queued: 0,
      connect: 0,
      firstByte: firstReplyAt === 0 ? 0 : firstReplyAt - startedAt,
      bytesIn,
      bytesOut,
      attempts,
      tries: lastTarget === undefined ? tries : [...tries, this.tryOf(lastTarget, cause, detail)],
      candidates: candidateNames(candidates),
      candidateCount: candidates.length,
      datagrams: { in: this.datagramsIn, out: this.datagramsOut },
    };
  }

  /** The target of now, left so. */
  private tryOf({ name: target }: Target, cause: Cause, detail: string): Attempt {
    const { pickedAt, answeredAt } = this;
    const milliseconds = this.relay.services.network.clock.precise() - pickedAt;
    return { target, at: pickedAt - this.startedAt, connect: 0, firstByte: answeredAt === 0 ? 0 : answeredAt - pickedAt, milliseconds, status: 0, cause, detail, hedge: false };
  }
}
