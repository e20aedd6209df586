/** One exchange's way over an HTTP/2 connection to a target. */
import type { Duplex } from "../../net/duplex.ts";
import { least } from "../../net/least.ts";
import type { Cause } from "../../observability/cause.ts";
import type { Target } from "../../upstream/target.ts";
import type { Upstream } from "../../upstream/upstream.ts";
import { protocolsOf } from "../upgrade.ts";
import { Name } from "../fields.ts";
import { acceptsTrailers, replacedHost, writeRequestFields, type RequestForward } from "../forward.ts";
import { grpcStatusOf } from "../grpc.ts";
import { Framing, Parse, refusals, TrailerFields, type FramingKind, type Head } from "../h1/head.ts";
import type { RequestHead } from "../h1/request-head.ts";
import type { Services } from "../services.ts";
import type { StreamOwner, UpstreamStream } from "../sides.ts";
import { ErrorCode, errorName } from "./frames.ts";
import type { HeaderBlock } from "./hpack/header-block.ts";
import { replyLines } from "./reply-lines.ts";
import { trailerLines } from "./request-lines.ts";
import { Stream, type StreamLoss } from "./stream.ts";
import { acceptOf, tunnelReplyLines } from "./web-socket.ts";
import type { UpstreamSession } from "./upstream-session.ts";

/** `sending`: the reply is whole, the request is not. */
type Phase = "waiting" | "head" | "body" | "sending" | "tunnel" | "closed";

/** Interim replies (1xx) to one request: no window holds them back, and a client need not read them. */
const MAX_INTERIM = 100;

export class H2UpstreamStream extends Stream implements UpstreamStream {
  readonly target: Target;
  protected session: UpstreamSession;
  private readonly services: Services;
  private exchange: StreamOwner | undefined = undefined;
  private upstream: Upstream | undefined = undefined;
  private phase: Phase = "waiting";
  /** The connection was there before this exchange. */
  reused = false;
  private requestDone = false;
  private received = 0;
  private interims = 0;
  /** What the reply's head says; -1: nothing. */
  private contentLength = -1;
  private bodyless = false;
  /** What a WebSocket client expects as the answer to its key; undefined: it asked for none. */
  private accept: string | undefined = undefined;
  private upgrade = "";
  private peer: Duplex | undefined = undefined;
  private peerEnded = false;
  private paused = false;
  private withheld = 0;

  constructor(session: UpstreamSession, services: Services) {
    super();
    this.session = session;
    this.services = services;
    this.target = session.target;
  }

  attach(exchange: StreamOwner): void {
    this.exchange = exchange;
    this.upstream = exchange.upstream;
  }

  reassign(exchange: StreamOwner): void {
    this.exchange = exchange;
  }

  connect(): void {
    if (!this.session.isOpenFor) {
      this.session.start();
      return;
    }
    this.reused = true;
    this.sessionOpened();
  }

  sessionOpened(): void {
    this.phase = "head";
    this.exchange?.connected(this);
  }

  /** The connection that it waited for takes fewer: wait for another. */
  move(): void {
    if (this.exchange === undefined) return;
    if (this.upstream!.config.protocol === "auto" && this.target.speaks !== "h2") {
      this.failed("stream-refused", "it does not speak HTTP/2 any more");
      return;
    }
    const place = this.services.openStream(this.target, this.upstream!) as H2UpstreamStream | undefined;
    if (place === undefined) {
      this.failed("overloaded", "no descriptor is left");
      return;
    }
    this.session = place.session;
    this.session.exchange(place, this);
    this.connect();
  }

  private after(milliseconds: number): void {
    const { wheel, network } = this.services;
    if (milliseconds > 0) wheel.schedule(this, network.clock.now + milliseconds);
    else wheel.cancel(this);
  }

  // The request's way out.

  requestHead(head: RequestHead, forward: RequestForward, framing: FramingKind): void {
    const { session } = this;
    if (forward.upgrade) {
      // There is one in an extended CONNECT: what the client likes best.
      this.upgrade = protocolsOf(head)[0]!;
      this.accept = acceptOf(head);
      if (!session.peerConnectProtocol) {
        // The request is on its way here: what it leads to comes after it.
        queueMicrotask(() => this.spoil("upgrade-unsupported", "the target offers no extended CONNECT (RFC 8441)"));
        return;
      }
    }
    session.begin(this);
    // The host may stand in three fields of ours.
    const size = head.end - head.start + head.hostEnd - head.hostStart + forward.lines.length + (forward.traceparent?.length ?? 0) + (forward.own?.line.length ?? 0);
    session.writeHead(this, size, head.count, framing === Framing.NONE && !forward.upgrade, (sink) => {
      const { encoder } = sink;
      if (!forward.upgrade) encoder.value(":method", head.buffer, head.start, head.methodEnd);
      else {
        encoder.text(":method", "CONNECT");
        encoder.text(":protocol", this.upgrade);
        sink.omit = "sec-websocket-key";
      }
      encoder.text(":scheme", session.scheme);
      const host = replacedHost(head, forward);
      if (host === undefined) encoder.value(":authority", head.buffer, head.hostStart, head.hostEnd);
      else encoder.text(":authority", host);
      if (head.form === "origin") encoder.value(":path", head.buffer, head.pathStart, head.pathEnd);
      else encoder.text(":path", head.form === "absolute" && head.pathStart === head.pathEnd && head.methodIs("OPTIONS") ? "*" : head.target);
      writeRequestFields(sink, head, forward, 1 << Name.HOST);
      if (head.has(Name.TE) && acceptsTrailers(head)) encoder.text("te", "trailers");
      sink.omit = undefined;
    });
  }

  requestData(buffer: Buffer, start: number, end: number): void {
    this.send(buffer, start, end);
  }

  requestEnd(trailers: Head | undefined): void {
    // A request to switch protocols ends with its tunnel.
    if (this.upgrade === "") this.finish(trailers);
    this.requestDone = true;
    if (this.phase === "sending") {
      this.exchange = undefined;
      this.drop();
    } else if (this.phase === "head") {
      const { response, attempt } = this.upstream!.config.timeouts;
      this.after(least(response, attempt));
    }
  }

  requestStalled(): void {
    if ((this.phase === "head" || this.phase === "sending") && !this.requestDone) this.after(this.upstream!.config.timeouts.body);
  }

  sendable(): void {
    if (this.phase === "tunnel") {
      this.peer?.resume();
      return;
    }
    if ((this.phase === "head" || this.phase === "sending") && !this.requestDone) this.services.wheel.cancel(this);
    this.exchange?.requestWritable();
  }

  stalled(): void {
    // Whoever sends the request is stopped when it sends more.
  }

  // The reply's way in.

  headReceived(block: HeaderBlock, endsStream: boolean): void {
    const { exchange } = this;
    if (exchange === undefined) return;
    if (this.phase === "body") {
      this.trailersReceived(block, endsStream);
      return;
    }
    if (this.phase !== "head") {
      this.spoil("bad-reply", "HEADERS behind the reply");
      return;
    }
    const switches = this.upgrade !== "" && !endsStream && block.count > 0 && block.value(0) === "200";
    const { replyHead: head, replyArena: arena } = this.services;
    const isWell = switches ? tunnelReplyLines(block, this.upgrade, this.accept, arena) : replyLines(block, endsStream, exchange.toHead, arena);
    const result = isWell ? head.parse(arena.buffer, 0, arena.end, this.upstream!.config.limits) : Parse.BAD_FIELD;
    if (result !== Parse.OK) {
      this.spoil("bad-reply", block.malformed ?? refusals[result]?.[1] ?? "malformed reply");
      return;
    }
    if (switches) {
      this.phase = "tunnel";
      this.services.wheel.cancel(this);
      exchange.switchProtocols(head, this);
      return;
    }
    if (head.status < 200) {
      this.interims++;
      if (this.interims > MAX_INTERIM) this.spoil("bad-reply", "interim replies without end");
      else exchange.interim(head);
      return;
    }
    if (endsStream && exchange.isCall) head.grpcStatus = grpcStatusOf(head);
    const owner = exchange.claim(head, this);
    if (owner === undefined) {
      this.exchange = undefined;
      this.drop();
      return;
    }
    this.exchange = owner;
    this.contentLength = owner.toHead || head.status === 204 || head.status === 304 ? -1 : head.contentLength;
    this.bodyless = owner.toHead || head.status === 204 || head.status === 304;
    if (endsStream && this.contentLength > 0) {
      this.spoil("reply-truncated", "Content-Length, and no body");
      return;
    }
    this.phase = "body";
    owner.replyHead(head, endsStream || this.bodyless ? Framing.NONE : head.contentLength >= 0 ? Framing.LENGTH : Framing.CHUNKED);
    // Writing may have shown that the client is gone, which ends us too.
    if (this.exchange !== owner) return;
    if (endsStream) this.finishReply(undefined);
    else this.awaitMore(owner);
  }

  /** The reply may pause for so long. */
  private awaitMore(exchange: StreamOwner): void {
    this.after(exchange.isCall ? 0 : this.upstream!.config.timeouts.body);
  }

  private trailersReceived(block: HeaderBlock, endsStream: boolean): void {
    const lines = trailerLines(block);
    const fields = new TrailerFields(Math.max(1, block.count));
    if (!endsStream || lines === undefined || fields.parse(lines, 0, lines.length, block.count) !== Parse.OK) this.spoil("bad-reply", "malformed trailers");
    else this.endOf(block.count > 0 ? fields : undefined);
  }

  dataReceived(bytes: Buffer, start: number, end: number): void {
    const { exchange } = this;
    const length = end - start;
    if (this.phase === "tunnel") {
      this.peer!.write(bytes, start, length);
      exchange!.tunnelActive(length);
      this.taken(length);
      if (this.peer?.congested === true) this.pause();
      return;
    }
    if (this.phase !== "body" || exchange === undefined) {
      this.spoil("bad-reply", "DATA before the reply's head");
      return;
    }
    this.received += length;
    if (this.bodyless || (this.contentLength >= 0 && this.received > this.contentLength)) {
      this.spoil("bad-reply", "more DATA than the reply's head says");
      return;
    }
    exchange.replyData(bytes, start, end);
    if (this.exchange !== exchange) return;
    this.awaitMore(exchange);
    this.taken(length);
    if (exchange.replyCongested) this.pause();
  }

  private taken(length: number): void {
    if (this.paused) this.withheld += length;
    else this.credit(length);
  }

  endReceived(): void {
    if (this.phase === "tunnel") {
      this.exchange!.tunnelTargetEnded();
      this.peer!.shutdown();
      if (this.peerEnded) {
        this.peer!.end();
        this.end();
      }
    } else this.endOf(undefined);
  }

  private endOf(trailers: Head | undefined): void {
    if (this.phase !== "body") this.spoil("bad-reply", "the stream ended before a reply");
    else if (this.contentLength >= 0 && this.received < this.contentLength) this.spoil("reply-truncated", `ended after ${this.received} bytes of the body`);
    else this.finishReply(trailers);
  }

  private finishReply(trailers: Head | undefined): void {
    const exchange = this.exchange!;
    this.services.wheel.cancel(this);
    if (!this.requestDone && exchange.wantsMore) {
      // An early answer: the target reads on.
      this.phase = "sending";
      if (this.congested) this.requestStalled();
      exchange.replyEnd(trailers, this);
      return;
    }
    this.exchange = undefined;
    this.drop();
    exchange.replyEnd(trailers, undefined);
  }

  /** It is over; what is left of it nobody wants. */
  private drop(): void {
    this.phase = "closed";
    if (this.localClosed && this.remoteClosed) this.session.give(this);
    else this.session.cancel(this, ErrorCode.CANCEL);
  }

  // Tunnels.

  joinTunnel(peer: Duplex): void {
    this.peer = peer;
  }

  tunnelPeerEnded(): void {
    this.peerEnded = true;
    this.finish(undefined);
  }

  leaveTunnel(broken: boolean): void {
    this.exchange = undefined;
    this.peer = undefined;
    if (broken) this.drop();
    else this.end();
  }

  write(bytes: Buffer, offset: number, length: number): void {
    this.send(bytes, offset, offset + length);
  }

  pause(): void {
    this.paused = true;
    if (this.phase === "body") this.services.wheel.cancel(this);
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    const { withheld } = this;
    this.withheld = 0;
    if (withheld > 0) this.credit(withheld);
    if (this.phase === "body" && this.exchange !== undefined) this.awaitMore(this.exchange);
  }

  shutdown(): void {
    this.finish(undefined);
  }

  end(): void {
    this.finish(undefined);
    if (this.localClosed && this.remoteClosed) this.tunnelOver(false);
    else if (this.exchange === undefined) {
      // What waits still goes to a target that has said its last.
      if (this.remoteClosed) this.after(this.upstream!.config.timeouts.body);
      else this.drop();
    }
  }

  /** Our last frame is written. */
  sentAll(): void {
    if (this.phase === "tunnel" && this.remoteClosed) this.tunnelOver(false);
  }

  abort(): void {
    this.tunnelOver(true);
  }

  private tunnelOver(broken: boolean): void {
    if (this.phase === "closed") return;
    const { exchange } = this;
    this.exchange = undefined;
    this.drop();
    exchange?.tunnelClosed(broken);
  }

  // When it fails.

  /** No connection came about. */
  failed(cause: Cause, detail: string): void {
    const { exchange } = this;
    this.exchange = undefined;
    this.phase = "closed";
    this.session.give(this);
    exchange?.attemptFailed(cause, detail, false);
  }

  /** The target reset it, or its connection is gone; it has left the session. */
  lost({ kind, code, detail }: StreamLoss): void {
    const { exchange, phase } = this;
    if (phase === "body" && exchange !== undefined && kind === "reset" && code === ErrorCode.NO_ERROR && this.received === this.contentLength) {
      // All of it came, if not its END_STREAM.
      this.finishReply(undefined);
      this.services.output.flush();
      return;
    }
    this.exchange = undefined;
    this.phase = "closed";
    this.services.wheel.remove(this);
    if (exchange === undefined) return;
    const said = kind === "reset" ? errorName(code) : detail;
    // Only END_STREAM ends a tunnel well.
    if (phase === "tunnel") exchange.tunnelClosed(true);
    else if (kind === "refused") exchange.attemptFailed("stream-refused", said, false);
    else if (phase === "body") exchange.attemptFailed("reply-truncated", said, this.reused);
    else if (kind === "error") exchange.attemptFailed("bad-reply", said, this.reused);
    else exchange.attemptFailed(kind === "closed" ? "target-closed" : "target-reset", said, this.reused && kind === "closed");
    this.services.output.flush();
  }

  /** The reply is of no use: close the stream, then tell the exchange. */
  private spoil(cause: Cause, detail: string): void {
    const { exchange } = this;
    this.exchange = undefined;
    this.phase = "closed";
    this.session.cancel(this, cause === "bad-reply" ? ErrorCode.PROTOCOL_ERROR : ErrorCode.CANCEL);
    exchange?.attemptFailed(cause, detail, this.reused);
    this.services.output.flush();
  }

  onDeadline(): void {
    const { timeouts } = this.upstream!.config;
    if ((this.phase === "head" || this.phase === "sending") && !this.requestDone) {
      // A target that reads slowly goes on all the same.
      const patience = this.progressedAt + timeouts.body - this.services.network.clock.now;
      if (patience > 0) this.after(patience);
      else this.spoil("target-write-timeout", `request not read for ${timeouts.body} ms`);
      return;
    }
    switch (this.phase) {
      case "head":
        this.spoil("response-timeout", `no reply within ${least(timeouts.response, timeouts.attempt)} ms`);
        return;
      case "body":
        this.spoil("reply-timeout", `reply stalled for ${timeouts.body} ms`);
        return;
      case "tunnel":
        this.drop();
        return;
      default:
        return;
    }
  }

  abandon(): void {
    this.exchange = undefined;
    if (this.phase !== "closed") this.drop();
  }

  retire(): void {
    this.abandon();
  }

  cut(): void {
    if (this.phase === "tunnel") this.tunnelOver(true);
    else this.spoil("target-drained", "the target's drain is over");
  }
}
