/**
 * One HTTP/1 client connection: reads requests one after the other, hands each to its exchange, writes the reply.
 * It knows the wire on the client's side; where a request goes is the exchange's business.
 */
import type { Arrival } from "../../accept/arrival.ts";
import { Connection } from "../../net/connection.ts";
import { formatEndpoint } from "../../net/endpoint.ts";
import type { NetSocket } from "../../net/network.ts";
import { relayData, relayEnd } from "../../net/relay.ts";
import { release } from "../../net/release.ts";
import { CAUSES, type Cause } from "../../observability/cause.ts";
import type { Client, Listener } from "../../routing/listener.ts";
import { Exchange } from "../exchange.ts";
import { ClientSession } from "../h2/client-session.ts";
import { PREFACE } from "../h2/frames.ts";
import type { OwnConnections } from "../own-connections.ts";
import { overdue, scheduleWithin } from "../overdue.ts";
import { Reception } from "../reception.ts";
import { refuseRequest } from "../refusal.ts";
import type { Services } from "../services.ts";
import type { Downstream, ErrorReply, UpstreamStream } from "../sides.ts";
import { ClientReply } from "./client-reply.ts";
import { ClientRequest, Sent, type SentKind } from "./client-request.ts";
import type { Answer } from "../admission.ts";
import { asksUpgrade } from "../upgrade.ts";
import { Framing, Parse, refusals, type FramingKind, type Head, type ParseResult } from "./head.ts";
import type { RequestHead } from "./request-head.ts";
import type { ReplyHead } from "./reply-head.ts";
import { RequestView } from "../request-view.ts";

type Phase = "idle" | "head" | "exchange" | "tunnel" | "linger" | "closed";

/** How long a client that is told "no" may go on sending before it is cut off. */
const LINGER = 2_000;
const LINGER_BYTES = 64 * 1024 * 1024;
/** A keep-alive client without a request is let go this long after draining began: shorter would race with requests under way. */
const DRAIN_IDLE = 1_000;
const LF = 10;
const P = 0x50;
const VIA_1_1 = "Via: 1.1 fairlead\r\n";
const VIA_1_0 = "Via: 1.0 fairlead\r\n";

export class ClientConnection extends Connection implements Client, Downstream {
  private readonly services: Services;
  readonly listener: Listener;
  private readonly reception: Reception;
  private readonly exchange: Exchange;
  readonly view: RequestView;
  /** Of the client, for people: made when it is asked for. */
  private name: string | undefined = undefined;
  private phase: Phase = "idle";
  /** No request has come yet. */
  private isFirst = true;

  private readonly request = new ClientRequest();
  private readonly reply: ClientReply;
  /** The reply was quicker than the request. */
  private replyDone = false;
  /** When the whole request must be over, in clock ms; 0: no limit. */
  private requestEndsAt = 0;
  private lingered = 0;
  private advancing = false;
  private targetEnded = false;
  private clientEnded = false;
  /** Bytes of the client that went into the tunnel. */
  private tunnelled = 0;

  constructor(listener: Listener, services: Services, arrival?: Arrival) {
    super(services.wheel, listener.counters);
    this.listener = listener;
    this.services = services;
    this.reception = new Reception(listener, services, arrival);
    this.reply = new ClientReply(this, services, this.reception);
    this.exchange = new Exchange(this, services);
    this.view = new RequestView(services.requestHead);
  }

  protected opened(socket: NetSocket): void {
    this.view.peer = this.reception.arrival?.peer ?? socket;
    const refused = this.listener.add(this);
    if (refused !== undefined) {
      // Who is turned away takes up no place while it listens to the reason.
      this.listener.remove(this);
      this.refuse(refused, CAUSES[refused].status, refused.replaceAll("-", " "));
      return;
    }
    this.awaitRequest();
  }

  private after(milliseconds: number): void {
    if (milliseconds > 0) this.wheel.schedule(this, this.services.network.clock.now + milliseconds);
    else this.wheel.cancel(this);
  }

  /** Within an exchange: whichever is first, this or the end of the whole request. 0: only the latter. */
  private within(milliseconds: number): void {
    scheduleWithin(this, this.wheel, this.services.network.clock.now, milliseconds, this.requestEndsAt);
  }

  private awaitRequest(): void {
    this.phase = "idle";
    const idle = this.listener.config.timeouts.clientIdle;
    this.after((this.services.draining || this.services.short) && (idle === 0 || idle > DRAIN_IDLE) ? DRAIN_IDLE : idle);
  }

  // Reading requests.

  onData(chunk: Buffer): void {
    this.meter!.received(chunk.length);
    switch (this.phase) {
      case "idle":
        this.readRequest(chunk);
        break;
      case "head":
        this.continueHead(chunk);
        break;
      case "exchange":
        if (this.request.flows) this.sendMore(chunk);
        else this.hold(chunk);
        break;
      case "tunnel":
        this.tunnelled += chunk.length;
        relayData(this, this.exchange.connection!, chunk);
        this.tunnelActive();
        return;
      case "linger":
        this.lingered += chunk.length;
        if (this.lingered > LINGER_BYTES) this.abort();
        return;
      default:
        return;
    }
    this.services.output.flush();
  }

  /** Keep for later; the socket waits. */
  private hold(chunk: Buffer): void {
    this.request.keep(chunk);
    this.pause();
  }

  private readRequest(buffer: Buffer): void {
    if (this.isFirst && buffer[0] === P && this.listener.config.http2.enabled && this.readPreface(buffer)) return;
    const head = this.services.requestHead;
    const { limits } = this.listener.config;
    const result = head.parse(buffer, 0, buffer.length, limits);
    if (result === Parse.OK) {
      this.beginRequest(head, buffer);
      return;
    }
    if (result !== Parse.MORE) {
      this.refuseParse(result);
      return;
    }
    this.request.keep(buffer);
    if (this.phase === "head") return;
    this.phase = "head";
    this.after(this.listener.config.timeouts.clientHeader);
  }

  /** Whoever knows that HTTP/2 is spoken here begins with its preface: RFC 9113 section 3.3. @returns true when that is so, or may yet be */
  private readPreface(buffer: Buffer): boolean {
    const length = Math.min(buffer.length, PREFACE.length);
    if (buffer.compare(PREFACE, 0, length, 0, length) !== 0) return false;
    if (length === PREFACE.length) {
      const session = new ClientSession(this.listener, this.services, this.reception.arrival);
      this.phase = "closed";
      this.listener.remove(this);
      this.handOver(session);
      session.onData(buffer);
      return true;
    }
    // "P" may yet be a POST, but whoever waits for the rest loses nothing.
    this.request.keep(buffer);
    if (this.phase !== "head") this.after(this.listener.config.timeouts.clientHeader);
    this.phase = "head";
    return true;
  }

  private continueHead(chunk: Buffer): void {
    const buffer = Buffer.concat([this.request.take()!, chunk]);
    // A line that is not whole yet is not read again for each byte of it, unless it is too long.
    if (chunk.indexOf(LF) < 0 && buffer.length <= this.listener.config.limits.requestLineBytes) this.request.keep(buffer);
    else this.readRequest(buffer);
  }

  private beginRequest(head: RequestHead, buffer: Buffer): void {
    const { config } = this.listener;
    this.phase = "exchange";
    this.isFirst = false;
    this.request.begin(head, buffer);
    this.replyDone = false;
    this.reply.begin(head);
    this.view.show(buffer, head.parsedAt, buffer.length, config.limits);
    this.requestEndsAt = this.reception.endOf(head);
    this.within(0);

    const { exchange } = this;
    const answer = this.reception.admit(exchange, head);
    exchange.asksUpgrade = asksUpgrade(head);
    if (answer !== undefined) {
      if (answer.refusal) this.refuse("bad-request", answer.status, answer.text);
      else this.answer(answer);
      return;
    }
    this.reception.dispatch(exchange, head, this.view);
  }

  // The request's way out.

  get canReplay(): boolean {
    return this.request.canReplay;
  }

  get requestDone(): boolean {
    return this.request.done;
  }

  flush(): void {
    this.services.output.flush();
  }

  sendRequest(connection: UpstreamStream): void {
    const { head } = this.view;
    const forward = this.reception.forward(this.exchange, this.view, connection, head.minor === 1 ? VIA_1_1 : VIA_1_0);
    this.afterSending(connection, this.request.sendFirst(connection, head, forward, this.listener.config.limits));
    // What waits goes too; and a client that was stopped because an earlier connection took no more goes on.
    if (this.phase === "exchange" && !this.request.done) this.requestWritable();
  }

  /** More of the body arrived. */
  private sendMore(chunk: Buffer): void {
    const { connection } = this.exchange;
    if (connection === undefined || !this.exchange.isSent) {
      this.hold(chunk);
      return;
    }
    const sent = this.request.sendMore(connection, chunk, this.listener.config.limits, this.exchange.keepsBody);
    this.services.output.flush();
    // What came behind the body waits, and is another part of the same memory.
    if (this.request.givesUp) release(chunk);
    this.afterSending(connection, sent);
  }

  private afterSending(connection: UpstreamStream, sent: SentKind): void {
    this.services.output.flush();
    switch (sent) {
      case Sent.MORE:
        this.within(this.listener.config.timeouts.clientBody);
        if (connection.congested) this.stall(connection);
        return;
      case Sent.END:
        if (this.request.framing !== Framing.NONE) this.within(0);
        if (!this.replyDone) return;
        this.exchange.requestEnd();
        this.nextRequest();
        return;
      case Sent.TOO_LARGE:
        this.spoilRequest(413, "body too large");
        return;
      default:
        this.spoilRequest(400, this.request.problem);
    }
  }

  /** The target takes no more for now: its timeout runs, not the client's. */
  private stall(connection: UpstreamStream): void {
    this.pause();
    this.within(0);
    connection.requestStalled();
  }

  /** The request turned out wrong half-way: the target must not take it for whole. */
  private spoilRequest(status: number, reason: string): void {
    if (this.exchange.hasReply) {
      this.exchange.finish("bad-request", reason);
      this.closeAfterReply();
      return;
    }
    this.refuse("bad-request", status, reason);
  }

  requestWritable(): void {
    if (this.phase !== "exchange") return;
    if (!this.request.done) {
      const waiting = this.request.take();
      if (waiting !== undefined) this.sendMore(waiting);
      if (this.request.hasWaiting || this.exchange.connection?.congested === true) return;
      if (!this.request.done) this.within(this.listener.config.timeouts.clientBody);
    }
    // A connection of HTTP/2 has room again for all its requests, also for those that are long sent.
    if (this.wantsBytes) this.resume();
  }

  // The reply's way back.

  interim(head: ReplyHead): void {
    this.reply.interim(head);
  }

  replyHead(head: ReplyHead, framing: FramingKind, lines: string): void {
    this.request.letGo(this.view);
    this.reply.head(head, framing, lines);
  }

  replyData(buffer: Buffer, start: number, end: number): void {
    this.reply.data(buffer, start, end);
  }

  get wantsMore(): boolean {
    return this.reply.keepAlive && !this.request.done;
  }

  replyEnd(trailers: Head | undefined, connection: UpstreamStream | undefined): void {
    this.reply.end(trailers);
    if (connection !== undefined) {
      this.replyDone = true;
      return;
    }
    this.exchange.finish("done");
    this.nextRequest();
  }

  requestUnwanted(): void {
    this.exchange.finish("done");
    this.closeAfterReply();
  }

  /** The exchange is over: on to the next request, or to the end. Those that are here already are served in a loop, not in depth. */
  private nextRequest(): void {
    if (this.advancing) return;
    this.advancing = true;
    while (this.phase === "exchange" && !this.exchange.open && this.advance());
    this.advancing = false;
  }

  /** @returns true when a request that waited was begun */
  private advance(): boolean {
    const { request } = this;
    this.view.clear();
    if (!this.reply.keepAlive || !request.done) {
      this.closeAfterReply();
      return false;
    }
    // A client that does not read gets no further requests served.
    if (this.congested) {
      this.after(this.listener.config.timeouts.clientBody);
      return false;
    }
    this.awaitRequest();
    const waiting = request.take();
    if (waiting !== undefined) {
      this.readRequest(waiting);
      this.services.output.flush();
    }
    if (this.wantsBytes) this.resume();
    return waiting !== undefined;
  }

  /** Nothing can go on before more arrives. */
  private get wantsBytes(): boolean {
    return this.phase === "idle" || this.phase === "head" || (this.phase === "exchange" && (this.request.flows || (!this.request.hasWaiting && !this.request.isAhead)));
  }

  /** All that is sent has left: go on where the lack of room stopped us. */
  protected writable(): void {
    switch (this.phase) {
      case "tunnel":
        this.exchange.connection?.resume();
        return;
      case "exchange":
        if (!this.exchange.open) {
          this.nextRequest();
          return;
        }
        this.within(this.request.done ? 0 : this.listener.config.timeouts.clientBody);
        this.exchange.connection?.resume();
        return;
      default:
        return;
    }
  }

  protected override progressed(): void {
    if (this.phase === "linger") this.linger();
    else if (this.phase === "exchange") this.within(this.listener.config.timeouts.clientBody);
  }

  /** Asked after each read of the reply: must the target wait? */
  get replyCongested(): boolean {
    if (!this.congested || !this.exchange.open) return false;
    if (this.phase === "exchange") this.within(this.listener.config.timeouts.clientBody);
    return true;
  }

  replyError(cause: Cause, retryAfter: number, saying?: ErrorReply): void {
    if (this.reply.isAwaited || !this.request.done || this.services.draining) this.reply.keepAlive = false;
    this.writeLocal(saying?.status ?? CAUSES[cause].status, saying?.text ?? "", retryAfter);
    this.exchange.finish(cause);
    this.nextRequest();
  }

  replyAbort(): void {
    if (this.phase !== "exchange") return;
    this.services.output.flush();
    if (this.reply.endsWithClose) this.abort();
    else this.leave();
  }

  private writeLocal(status: number, text: string, retryAfter = 0, location?: string): void {
    this.exchange.telemetry.bytesOut = this.reply.local(status, text, this.exchange.toHead, retryAfter, location);
    this.services.output.flush();
  }

  /** An answer of our own to a good request. */
  private answer({ status, text, location }: Answer): void {
    if (!this.request.done || this.services.draining) this.reply.keepAlive = false;
    this.exchange.telemetry.status = status;
    this.writeLocal(status, text, 0, location);
    this.exchange.finish("local");
    this.nextRequest();
  }

  private refuseParse(result: ParseResult): void {
    const [status, reason] = refusals[result]!;
    this.refuse("bad-request", status, reason);
  }

  /** Say no and close. */
  private refuse(cause: Cause, status: number, reason: string): void {
    this.reply.keepAlive = false;
    const { exchange } = this;
    // Without an exchange nothing is known of the method.
    if (!exchange.open) exchange.toHead = false;
    this.reception.tellRefused(() => this.clientName, cause, status, reason);
    exchange.telemetry.status = status;
    this.writeLocal(status, status === 503 ? "" : reason);
    if (exchange.open) exchange.finish(cause, reason);
    else refuseRequest(this.services, { listener: this.listener, protocol: this.protocol, client: this.clientName, cause, status, detail: reason, bytesOut: exchange.telemetry.bytesOut });
    this.closeAfterReply();
  }

  /** Close so that the client reads what was sent: FIN, then read on for a while (RFC 9112 section 9.6). */
  private closeAfterReply(): void {
    if (this.phase === "closed") return;
    this.request.clear();
    this.phase = "linger";
    this.lingered = 0;
    this.shutdown();
    if (this.clientEnded) this.end();
    else {
      this.resume();
      this.linger();
    }
  }

  /** What is queued has the time that a reply has; then the client has a while to read the rest and to close. */
  private linger(): void {
    this.after(this.congested ? this.listener.config.timeouts.clientBody : LINGER);
  }

  /** Nothing more to say; what was queued still goes out. */
  private leave(): void {
    this.phase = "linger";
    this.shutdown();
    this.linger();
  }

  // Tunnels.

  switchProtocols(head: ReplyHead, connection: UpstreamStream, lines: string): void {
    this.reply.upgrade(head, lines);
    this.phase = "tunnel";
    connection.joinTunnel(this);
    const waiting = this.request.take();
    this.request.clear();
    if (waiting !== undefined) {
      this.tunnelled += waiting.length;
      connection.write(waiting, 0, waiting.length);
    }
    this.resume();
    this.tunnelActive();
  }

  tunnelActive(): void {
    this.after(this.listener.config.timeouts.tunnelIdle);
  }

  tunnelTargetEnded(): void {
    this.targetEnded = true;
  }

  tunnelClosed(broken: boolean): void {
    if (this.phase !== "tunnel") return;
    this.exchange.finish("done");
    if (broken) this.abort();
    else this.end();
  }

  // Its end.

  protected atEnd(): void {
    this.clientEnded = true;
    switch (this.phase) {
      case "tunnel": {
        const connection = this.exchange.connection!;
        connection.tunnelPeerEnded();
        relayEnd(connection, this.targetEnded, this);
        return;
      }
      case "exchange":
        if (this.exchange.open) {
          // Like nginx and Envoy: who hangs up does not wait for the answer.
          this.exchange.finish("client-closed");
          this.abort();
        } else this.end();
        return;
      case "closed":
        return;
      default:
        this.end();
    }
  }

  /** The target's side gets what is queued for it, then its end. */
  private leaveTunnel(broken: boolean): void {
    const { connection } = this.exchange;
    this.exchange.connection = undefined;
    this.exchange.finish("done");
    connection?.leaveTunnel(broken);
  }

  protected closed(error: Error | undefined): void {
    const tunnel = this.phase === "tunnel";
    this.phase = "closed";
    this.request.clear();
    this.reception.leave();
    this.listener.remove(this);
    if (tunnel) this.leaveTunnel(error !== undefined);
    else this.exchange.finish("client-closed");
    this.view.clear();
  }

  protected due(): void {
    const { exchange } = this;
    switch (this.phase) {
      case "idle":
        this.closeAfterReply();
        return;
      case "head":
        this.refuse("client-header-timeout", 408, "request head took too long");
        return;
      case "exchange":
        this.exchangeDeadline();
        return;
      case "tunnel":
        exchange.finish("idle-timeout");
        this.abort();
        return;
      case "linger":
        // What the system has taken goes on to a client that reads slowly: a reset would take it back.
        if (this.congested) this.abort();
        else this.end();
        return;
      default:
        return;
    }
  }

  private exchangeDeadline(): void {
    const { exchange } = this;
    const cause = overdue(exchange, this.services.network.clock.now, this.congested, this.request.done, this.requestEndsAt);
    if (cause === undefined) return;
    if (cause === "client-body-timeout" && this.replyDone) this.requestUnwanted();
    else if (exchange.hasReply || !exchange.open || cause === "client-write-timeout") {
      exchange.finish(cause);
      this.abort();
    } else if (cause === "request-timeout") exchange.fail(cause, "");
    else this.refuse(cause, 408, "request body took too long");
  }

  get clientAddress(): string {
    return this.view.clientAddress;
  }

  get clientName(): string {
    return (this.name ??= formatEndpoint(this.view.clientAddress, this.view.clientPort));
  }

  drain(): void {
    if (this.phase === "idle") this.after(DRAIN_IDLE);
  }

  get own(): OwnConnections {
    return this.reception.own(this.view.peer!);
  }

  get protocol(): "HTTP/1.0" | "HTTP/1.1" {
    return this.reply.minor === 0 ? "HTTP/1.0" : "HTTP/1.1";
  }

  get bytesIn(): number {
    return this.request.received + this.tunnelled;
  }
}
