/** One request of an HTTP/2 client and its reply: what its exchange sees of the client. */
import type { Duplex } from "../../net/duplex.ts";
import { CAUSES, type Cause } from "../../observability/cause.ts";
import type { Listener } from "../../routing/listener.ts";
import { Exchange } from "../exchange.ts";
import { Name } from "../fields.ts";
import { asksUpgrade } from "../upgrade.ts";
import { Framing, Parse, refusals, TrailerFields, type FramingKind, type Head } from "../h1/head.ts";
import { withoutClaims } from "../forward.ts";
import type { ReplyHead } from "../h1/reply-head.ts";
import { RequestView } from "../request-view.ts";
import { grpcLines, isGrpc } from "../grpc.ts";
import { localReply } from "../local-reply.ts";
import type { OwnConnections } from "../own-connections.ts";
import { overdue, scheduleWithin } from "../overdue.ts";
import { refuseRequest } from "../refusal.ts";
import type { Services } from "../services.ts";
import type { Downstream, ErrorReply, UpstreamStream } from "../sides.ts";
import type { ClientSession } from "./client-session.ts";
import { ErrorCode } from "./frames.ts";
import type { HeaderBlock } from "./hpack/header-block.ts";
import { RequestBody } from "./request-body.ts";
import { requestLines, trailerLines } from "./request-lines.ts";
import { Stream, type StreamLoss } from "./stream.ts";

const VIA = "Via: 2.0 fairlead\r\n";

export class ClientStream extends Stream implements Downstream, Duplex {
  protected readonly session: ClientSession;
  private readonly services: Services;
  private readonly exchange: Exchange;
  readonly view: RequestView;
  private framing: FramingKind = Framing.NONE;
  /** Undefined: nothing of it has come. */
  private body: RequestBody | undefined = undefined;
  /** Bytes of the body, or of a tunnel. */
  private received = 0;
  /** Of the request's head; -1: it does not say. */
  private contentLength = -1;
  private requestTrailers: TrailerFields | undefined = undefined;
  /** The end went to the target. */
  private endSent = false;
  private endsAt = 0;
  private tunnel: UpstreamStream | undefined = undefined;
  private targetEnded = false;
  private paused = false;
  /** Taken in while it was paused. */
  private withheld = 0;

  constructor(session: ClientSession, services: Services) {
    super();
    this.session = session;
    this.services = services;
    this.exchange = new Exchange(this, services);
    this.view = new RequestView(services.requestHead);
    this.view.peer = session.peer;
  }

  /** The request's head is decoded. */
  begin(block: HeaderBlock): void {
    const { session, view, exchange } = this;
    const { listener, reception } = session;
    if (block.tooLarge) {
      this.refuse(...refusals[Parse.TOO_LARGE]!);
      return;
    }
    const { requestHead: head, requestArena: arena, network } = this.services;
    const { limits } = listener.config;
    const problem = requestLines(block, this.remoteClosed, arena, network);
    if (problem !== undefined) {
      session.malformed(this, problem);
      return;
    }
    const result = head.parse(arena.buffer, arena.start, arena.end, limits);
    if (result !== Parse.OK) {
      // What HTTP/1 would wait for the rest of is no whole head.
      if (result === Parse.MORE) session.malformed(this, "malformed request");
      else this.refuse(...refusals[result]!);
      return;
    }
    if (head.end !== arena.end) {
      session.malformed(this, "malformed request");
      return;
    }
    this.contentLength = head.contentLength;
    this.framing = this.remoteClosed ? Framing.NONE : head.framing;
    view.show(arena.buffer, arena.start, arena.end, limits);
    this.endsAt = reception.endOf(head);
    this.within(0);
    const answer = reception.admit(exchange, head);
    exchange.asksUpgrade = asksUpgrade(head);
    // Each call says TE: trailers, and few others do.
    exchange.isCall = head.has(Name.TE) && isGrpc(head);
    if (answer !== undefined) {
      exchange.telemetry.status = answer.status;
      this.answer(answer.status, answer.text, 0, "bad-request", answer.location);
      this.conclude(answer.refusal ? "bad-request" : "local", answer.refusal ? answer.text : "");
      return;
    }
    reception.dispatch(exchange, head, view);
  }

  private within(milliseconds: number): void {
    const { wheel, network } = this.services;
    scheduleWithin(this, wheel, network.clock.now, milliseconds, this.endsAt);
  }

  /** How long the client may say nothing while its request goes on, in ms. A call is a conversation, like a tunnel. */
  private get patience(): number {
    const { tunnelIdle, clientBody } = this.session.listener.config.timeouts;
    return this.exchange.isCall ? tunnelIdle : clientBody;
  }

  // The request's body.

  /** The target must not have a whole request before we know that it is one. */
  bodyAnnounced(length: number): void {
    if (this.tunnel !== undefined || !this.exchange.open) return;
    const { contentLength } = this;
    if (contentLength >= 0 && this.received + length > contentLength) this.breakOff("more DATA than Content-Length says");
  }

  bodyReceived(bytes: Buffer, start: number, end: number): void {
    this.received += end - start;
    if (this.tunnel !== undefined) {
      this.tunnel.write(bytes, start, end - start);
      this.tunnelActive();
      this.taken(end - start);
      if (this.tunnel?.congested === true) this.pause();
      return;
    }
    if (!this.exchange.open) {
      this.credit(end - start);
      return;
    }
    const { limits } = this.session.listener.config;
    if (limits.bodyBytes > 0 && this.received > limits.bodyBytes && !this.exchange.asksUpgrade) {
      this.spoil("bad-request", 413, "body too large");
      return;
    }
    if (this.contentLength >= 0 && this.received > this.contentLength) {
      this.breakOff("more DATA than Content-Length says");
      return;
    }
    const { connection } = this.exchange;
    const length = end - start;
    const body = (this.body ??= new RequestBody(this.exchange.hasReply));
    const flows = this.exchange.isSent && connection !== undefined && !connection.congested && !body.waits && !this.exchange.asksUpgrade;
    if (flows && body.passes(length, this.exchange.keepsBody)) {
      connection.requestData(bytes, start, end);
      this.services.output.flush();
      this.afterSending(connection, length);
      return;
    }
    body.keep(bytes, start, end);
    if (flows) this.sendBody(connection);
  }

  /** END_STREAM. */
  endReceived(): void {
    if (this.tunnel !== undefined) {
      this.tunnel.tunnelPeerEnded();
      if (this.targetEnded) this.tunnelOver();
      return;
    }
    if (!this.exchange.open) return;
    if (this.contentLength >= 0 && this.received < this.contentLength) {
      this.breakOff("less DATA than Content-Length says");
      return;
    }
    const { connection } = this.exchange;
    if (this.exchange.isSent && connection !== undefined && this.body?.waits !== true) this.sendEnd(connection);
  }

  trailersReceived(block: HeaderBlock): void {
    const lines = trailerLines(block);
    if (lines === undefined) {
      this.breakOff("malformed trailers");
      return;
    }
    const fields = new TrailerFields(Math.max(1, block.count));
    if (fields.parse(lines, 0, lines.length, block.count) !== Parse.OK) {
      this.breakOff("malformed trailers");
      return;
    }
    if (block.count > 0) this.requestTrailers = fields;
    this.endReceived();
  }

  /** @param all also what the connection has no room for, and must queue */
  private sendBody(connection: UpstreamStream, all = false): void {
    const { body } = this;
    const length = body === undefined ? 0 : body.sendTo(connection, all, this.exchange.keepsBody);
    this.services.output.flush();
    if (this.remoteClosed && body?.waits !== true) this.sendEnd(connection);
    else this.afterSending(connection, length);
  }

  private afterSending(connection: UpstreamStream, length: number): void {
    this.within(this.patience);
    this.taken(length);
    if (!connection.congested) return;
    this.pause();
    this.within(0);
    connection.requestStalled();
  }

  /** Bytes went on: the client may send as many more, unless they must wait. */
  private taken(length: number): void {
    if (this.paused) this.withheld += length;
    else if (length > 0) this.credit(length);
  }

  private sendEnd(connection: UpstreamStream): void {
    if (this.endSent) return;
    this.endSent = true;
    this.within(0);
    connection.requestEnd(withoutClaims(this.requestTrailers, this.session.reception.subject));
    this.services.output.flush();
  }

  // What the exchange asks of the client's side.

  sendRequest(connection: UpstreamStream): void {
    const { head } = this.view;
    this.body?.rewind();
    this.endSent = false;
    connection.requestHead(head, this.session.reception.forward(this.exchange, this.view, connection, VIA), this.exchange.asksUpgrade ? Framing.NONE : this.framing);
    if (this.framing === Framing.NONE || this.exchange.asksUpgrade) this.sendEnd(connection);
    // Of a hedge nobody hears when there is room again.
    else this.sendBody(connection, connection !== this.exchange.connection);
    // An earlier connection may have stopped the client.
    if (!connection.congested) this.resume();
    this.services.output.flush();
    if (this.session.congested) this.stalled();
  }

  get canReplay(): boolean {
    return this.body?.isGone !== true;
  }

  get requestDone(): boolean {
    return this.endSent || this.exchange.asksUpgrade;
  }

  requestWritable(): void {
    const { connection } = this.exchange;
    if (connection === undefined || !this.exchange.isSent || this.exchange.asksUpgrade) return;
    if (!this.endSent) this.sendBody(connection);
    if (!connection.congested) this.resume();
  }

  interim(head: ReplyHead): void {
    this.session.writeReplyHead(this, head, "", false);
  }

  replyHead(head: ReplyHead, framing: FramingKind, lines: string): void {
    this.body?.pass();
    this.session.writeReplyHead(this, head, this.session.reception.replyLines(head, lines), framing === Framing.NONE);
    if (this.exchange.isCall) this.within(this.patience);
  }

  replyData(buffer: Buffer, start: number, end: number): void {
    this.send(buffer, start, end);
    if (this.exchange.isCall) this.within(this.patience);
  }

  replyEnd(trailers: Head | undefined): void {
    this.finish(trailers);
    this.conclude("done");
  }

  /** The session wrote our last frame. */
  replySent(): void {
    if (!this.exchange.open) this.settle();
  }

  /** The exchange is over; what waits of its reply still goes out. */
  private conclude(cause: Cause, detail?: string): void {
    this.exchange.finish(cause, detail);
    if (this.localClosed) this.settle();
    else this.within(this.session.listener.config.timeouts.clientBody);
  }

  /** Reply and exchange are over: let go of the stream, and of a request that nobody reads (section 8.1). */
  private settle(): void {
    if (!this.remoteClosed) this.session.reset(this, ErrorCode.NO_ERROR);
    this.session.over(this);
  }

  get wantsMore(): boolean {
    return false;
  }

  requestUnwanted(): void {
    this.exchange.finish("done");
  }

  get replyCongested(): boolean {
    if (!this.congested || !this.exchange.open) return false;
    if (this.tunnel === undefined) this.within(this.session.listener.config.timeouts.clientBody);
    return true;
  }

  sendable(): void {
    if (this.tunnel !== undefined) {
      this.tunnel.resume();
      return;
    }
    if (!this.exchange.open) return;
    this.within(this.remoteClosed && !this.exchange.isCall ? 0 : this.patience);
    this.exchange.connection?.resume();
  }

  stalled(): void {
    if (this.tunnel !== undefined || !this.exchange.open) return;
    this.exchange.connection?.pause();
    this.within(this.session.listener.config.timeouts.clientBody);
  }

  flush(): void {
    this.services.output.flush();
  }

  replyError(cause: Cause, retryAfter: number, saying?: ErrorReply): void {
    this.answer(saying?.status ?? CAUSES[cause].status, saying?.text ?? "", retryAfter, cause, undefined, saying?.grpcStatus);
    this.conclude(cause);
  }

  replyAbort(): void {
    this.session.reset(this, ErrorCode.INTERNAL_ERROR);
    this.session.over(this);
  }

  /** Refused before there is an exchange. */
  private refuse(status: number, reason: string): void {
    this.exchange.toHead = false;
    this.session.tell("bad-request", reason, status);
    this.answer(status, reason);
    refuseRequest(this.services, { listener: this.listener, protocol: this.protocol, client: this.session.describe(), cause: "bad-request", status, detail: reason, bytesOut: this.exchange.telemetry.bytesOut });
    this.conclude("bad-request");
  }

  /** The request turned out wrong half-way. */
  private spoil(cause: Cause, status: number, reason: string): void {
    const { exchange } = this;
    this.session.tell(cause, reason, status);
    if (exchange.hasReply) {
      exchange.finish(cause, reason);
      this.replyAbort();
      return;
    }
    exchange.telemetry.status = status;
    this.answer(status, reason, 0, cause);
    this.conclude(cause, reason);
  }

  /** The request is malformed after all: the target must not take it for whole (section 8.1.1). */
  private breakOff(reason: string): void {
    this.exchange.finish("bad-request", reason);
    this.session.malformed(this, reason);
  }

  /** Write a reply of our own. */
  private answer(status: number, text: string, retryAfter = 0, cause: Cause = "bad-request", location?: string, grpcStatus?: number): void {
    const { session } = this;
    if (this.view.hasHead && isGrpc(this.view.head)) {
      session.writeLines(this, 200, grpcLines(cause, status, text, grpcStatus), true);
      return;
    }
    const { lines, body } = localReply(status, text, this.services.network.clock.wall(), retryAfter, location);
    const bodyless = this.exchange.toHead || body === "";
    session.writeLines(this, status, lines + session.reception.hsts, bodyless);
    if (bodyless) return;
    const bytes = Buffer.from(body, "latin1");
    this.exchange.telemetry.bytesOut = bytes.length;
    this.send(bytes, 0, bytes.length);
    this.finish(undefined);
  }

  // Tunnels: extended CONNECT (RFC 8441).

  switchProtocols(head: ReplyHead, connection: UpstreamStream, lines: string): void {
    this.session.writeTunnelHead(this, head, lines);
    this.tunnel = connection;
    connection.joinTunnel(this);
    for (const part of this.body?.take() ?? []) {
      connection.write(part, 0, part.length);
      this.taken(part.length);
    }
    if (this.remoteClosed) connection.tunnelPeerEnded();
    this.tunnelActive();
  }

  tunnelActive(): void {
    this.within(this.session.listener.config.timeouts.tunnelIdle);
  }

  tunnelTargetEnded(): void {
    this.targetEnded = true;
  }

  tunnelClosed(broken: boolean): void {
    this.tunnel = undefined;
    this.exchange.finish("done");
    if (broken) this.replyAbort();
    else this.end();
  }

  private tunnelOver(): void {
    const { tunnel } = this;
    this.tunnel = undefined;
    this.exchange.connection = undefined;
    this.exchange.finish("done");
    tunnel?.leaveTunnel(false);
    if (this.localClosed) this.settle();
  }

  write(bytes: Buffer, offset: number, length: number): void {
    this.send(bytes, offset, offset + length);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    const { withheld } = this;
    this.withheld = 0;
    if (withheld > 0) this.credit(withheld);
  }

  shutdown(): void {
    this.finish(undefined);
  }

  end(): void {
    this.finish(undefined);
    if (this.localClosed && !this.exchange.open) this.settle();
  }

  abort(): void {
    this.replyAbort();
  }

  // Its end.

  /** The client reset it, or its connection is gone. */
  lost(reason: StreamLoss): void {
    const { tunnel } = this;
    this.tunnel = undefined;
    this.body?.forget();
    if (tunnel !== undefined) {
      this.exchange.connection = undefined;
      this.exchange.finish("done");
      // Only END_STREAM ends a tunnel well.
      tunnel.leaveTunnel(true);
      return;
    }
    this.exchange.finish(reason.kind === "error" ? "bad-request" : "client-closed");
  }

  onDeadline(): void {
    const { exchange } = this;
    if (this.tunnel !== undefined) {
      exchange.finish("idle-timeout");
      this.replyAbort();
      return;
    }
    const { now } = this.services.network.clock;
    const cause = exchange.open ? overdue(exchange, now, this.congested, this.remoteClosed, this.endsAt) : "client-write-timeout";
    if (cause === undefined) return;
    // Who reads slowly, a window or a frame at a time, goes on all the same.
    const patience = this.progressedAt + this.session.listener.config.timeouts.clientBody - now;
    if (cause === "client-write-timeout" && patience > 0) {
      this.within(patience);
      return;
    }
    if (!exchange.open) {
      this.replyAbort();
      return;
    }
    if (exchange.hasReply || cause === "client-write-timeout") {
      exchange.finish(cause);
      this.replyAbort();
    } else if (cause === "request-timeout") exchange.fail(cause, "");
    else this.spoil(cause, 408, "request body took too long");
  }

  get own(): OwnConnections {
    return this.session.reception.own(this.session.peer!);
  }

  get listener(): Listener {
    return this.session.listener;
  }

  get protocol(): "HTTP/2.0" {
    return "HTTP/2.0";
  }

  get bytesIn(): number {
    return this.received;
  }

  get clientName(): string {
    return this.session.describe();
  }
}
