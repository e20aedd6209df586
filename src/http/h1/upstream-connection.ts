/**
 * One HTTP/1 connection to a target: writes requests, reads replies, goes back to the pool when both are whole.
 * It knows the wire and nothing of balancing; what a failure means is the exchange's to say.
 */
import { proxyHeader } from "../../accept/proxy-header-writer.ts";
import { Connection } from "../../net/connection.ts";
import type { Duplex } from "../../net/duplex.ts";
import { least } from "../../net/least.ts";
import type { NetSocket } from "../../net/network.ts";
import { relayData, relayEnd } from "../../net/relay.ts";
import { release } from "../../net/release.ts";
import type { Cause } from "../../observability/cause.ts";
import { Connecting, type Opener } from "../../upstream/connecting.ts";
import type { Target } from "../../upstream/target.ts";
import type { Upstream } from "../../upstream/upstream.ts";
import { protocolsOf } from "../upgrade.ts";
import { UpstreamSession } from "../h2/upstream-session.ts";
import type { Services } from "../services.ts";
import type { OwnStream } from "../own-connections.ts";
import type { StreamOwner } from "../sides.ts";
import { BodyReader, Event } from "./body.ts";
import type { RequestForward } from "../forward.ts";
import { writeChunk, writeLastChunk, writeRequestHead } from "./writer.ts";
import { Framing, Parse, refusals, type FramingKind, type Head } from "./head.ts";
import type { RequestHead } from "./request-head.ts";

const NO_PROTOCOLS: readonly string[] = [];

/** `sending`: the reply is whole, the request is not. */
type Phase = "connecting" | "idle" | "head" | "body" | "sending" | "tunnel" | "closed";

export class UpstreamConnection extends Connection implements OwnStream, Opener {
  readonly target: Target;
  private readonly services: Services;
  /** The upstream of the exchange of the moment: its timeouts and limits hold. */
  private upstream: Upstream;
  private exchange: StreamOwner | undefined = undefined;
  private phase: Phase = "connecting";
  /** Undefined: it was not asked for yet, or is over. */
  private connecting: Connecting | undefined = undefined;
  private readonly body = new BodyReader();
  /** A reply head that came in pieces. */
  private partial: Buffer | undefined = undefined;
  /** How the request's body goes out. */
  private requestFraming: FramingKind = Framing.NONE;
  private requestDone = false;
  /** Protocols that the client would rather speak. */
  private wished: readonly string[] = NO_PROTOCOLS;
  /** It served an exchange before this one. */
  reused = false;
  /** As far as the reply's head says, another request may follow. */
  private keepAlive = false;
  private peer: Duplex | undefined = undefined;
  private peerEnded = false;

  constructor(target: Target, upstream: Upstream, services: Services) {
    super(services.wheel, target.counters);
    this.target = target;
    this.upstream = upstream;
    this.services = services;
    target.opens(this);
  }

  connect(): void {
    const { proxyProtocol, timeouts } = this.upstream.config;
    if (this.connecting !== undefined) {
      this.connecting.within(timeouts.connect);
      return;
    }
    this.connecting = new Connecting(this.target, this.services.network, this.wheel, this);
    this.connecting.start(timeouts.connect, this.target.tls, proxyProtocol === undefined ? undefined : proxyHeader(proxyProtocol, this.exchange!.own.arrival));
  }

  get isIdle(): boolean {
    return this.phase === "idle";
  }

  /** Work for this exchange from now on. */
  attach(exchange: StreamOwner): void {
    this.exchange = exchange;
    this.upstream = exchange.upstream!;
    this.requestDone = false;
    if (this.phase === "idle") {
      this.reused = true;
      this.phase = "head";
    }
  }

  reassign(exchange: StreamOwner): void {
    this.exchange = exchange;
  }

  private after(milliseconds: number): void {
    if (milliseconds > 0) this.wheel.schedule(this, this.services.network.clock.now + milliseconds);
    else this.wheel.cancel(this);
  }

  protected opened({ alpnProtocol }: NetSocket): void {
    this.connecting = undefined;
    if (this.exchange === undefined) {
      // Nobody has wanted it meanwhile.
      this.target.forgetOpening(this);
      this.keep(undefined);
      return;
    }
    if (this.upstream.config.protocol === "auto") {
      this.target.speaks = alpnProtocol === "h2" ? "h2" : "h1";
      if (alpnProtocol === "h2") {
        this.becomeSession();
        return;
      }
    }
    this.phase = "head";
    this.exchange.connected(this);
  }

  /** The target chose HTTP/2: from now on that is spoken here. */
  private becomeSession(): void {
    const exchange = this.exchange!;
    this.exchange = undefined;
    const session = new UpstreamSession(this.target, this.upstream, this.services);
    const stream = session.take();
    stream.attach(exchange);
    exchange.replaced(stream);
    this.gone();
    session.awaitSocket();
    this.handOver(session);
  }

  connectFailed(cause: Cause, detail: string): void {
    this.lost(cause, detail);
    this.services.output.flush();
  }

  // The request's way out.

  requestHead(head: RequestHead, forward: RequestForward, framing: FramingKind): void {
    const { lines } = this.services;
    lines.output.begin(this);
    writeRequestHead(lines, head, forward);
    this.requestFraming = framing;
    this.wished = forward.upgrade ? protocolsOf(head) : NO_PROTOCOLS;
    this.wheel.cancel(this);
  }

  requestData(buffer: Buffer, start: number, end: number): void {
    const { output } = this.services;
    output.begin(this);
    if (this.requestFraming === Framing.CHUNKED) writeChunk(output, buffer, start, end);
    else output.copy(buffer, start, end);
  }

  /** The request is whole: the target has its time to answer. */
  requestEnd(trailers: Head | undefined): void {
    if (this.requestFraming === Framing.CHUNKED) {
      const { lines } = this.services;
      lines.output.begin(this);
      writeLastChunk(lines, trailers);
    }
    this.requestDone = true;
    if (this.phase === "sending") {
      this.services.output.flush();
      const exchange = this.exchange!;
      this.exchange = undefined;
      if (this.congested) this.retire();
      else this.keep(exchange);
    } else if (this.phase === "head") {
      const { response, attempt } = this.upstream.config.timeouts;
      this.after(least(response, attempt));
    }
  }

  /** Called when what was given last did not go out whole. */
  requestStalled(): void {
    if ((this.phase === "head" || this.phase === "sending") && !this.requestDone) this.after(this.upstream.config.timeouts.body);
  }

  protected writable(): void {
    if (this.phase === "tunnel") {
      this.peer?.resume();
      return;
    }
    if ((this.phase === "head" || this.phase === "sending") && !this.requestDone) this.wheel.cancel(this);
    this.exchange?.requestWritable();
  }

  protected override progressed(): void {
    this.requestStalled();
  }

  // The reply's way in.

  onData(chunk: Buffer): void {
    this.meter!.received(chunk.length);
    switch (this.phase) {
      case "head":
        this.readHead(chunk);
        this.services.output.flush();
        // All of it is used, unless a part of a head is kept for the next read.
        if (this.partial === undefined) release(chunk);
        break;
      case "body":
        if (this.readBody(chunk, 0)) this.after(this.upstream.config.timeouts.body);
        // Flush first: what was gathered is a copy, what was large is written.
        this.services.output.flush();
        release(chunk);
        if (this.exchange?.replyCongested === true) this.pause();
        return;
      case "tunnel":
        // Counted first: what has gone on is no more.
        this.exchange!.tunnelActive(chunk.length);
        relayData(this, this.peer!, chunk);
        return;
      case "sending":
        this.spoil("bad-reply", "bytes beyond the reply");
        return;
      case "idle":
        // Nobody asked: whatever it is, it must not become the answer to the next request.
        this.target.forgetIdle(this);
        this.abort();
        return;
      default:
        return;
    }
    this.services.output.flush();
    if (this.exchange?.replyCongested === true) this.pause();
  }

  private readHead(chunk: Buffer): void {
    let buffer = chunk;
    if (this.partial !== undefined) {
      buffer = Buffer.concat([this.partial, chunk]);
      this.partial = undefined;
    }
    const head = this.services.replyHead;
    for (let at = 0; ; ) {
      const result = head.parse(buffer, at, buffer.length, this.upstream.config.limits);
      if (result === Parse.MORE) {
        this.partial = at === 0 ? buffer : buffer.subarray(at);
        return;
      }
      if (result !== Parse.OK) {
        this.spoil("bad-reply", refusals[result]?.[1] ?? "malformed reply");
        return;
      }
      if (head.status < 200 && head.status !== 101) {
        this.exchange!.interim(head);
        at = head.end;
        if (at === buffer.length) return;
        continue;
      }
      const exchange = this.exchange!.claim(head, this);
      if (exchange === undefined) {
        this.exchange = undefined;
        this.gone();
        this.abort();
        return;
      }
      this.exchange = exchange;
      if (head.status === 101) {
        this.switchProtocols(buffer, head.end);
        return;
      }
      const framing = head.framing(exchange.toHead);
      this.keepAlive = head.keepAlive && framing !== Framing.UNTIL_CLOSE;
      this.phase = "body";
      const { end } = head;
      this.body.begin(framing, head.contentLength, this.upstream.config.limits);
      exchange.replyHead(head, framing);
      // Writing may have shown that the client is gone, which ends us too.
      if (this.exchange === exchange && this.readBody(buffer, end)) this.after(this.upstream.config.timeouts.body);
      return;
    }
  }

  /** True while more of the body is to come. */
  private readBody(buffer: Buffer, from: number): boolean {
    const exchange = this.exchange!;
    const { body } = this;
    for (let at = from; ; ) {
      switch (body.next(buffer, at, buffer.length)) {
        case Event.DATA:
          exchange.replyData(buffer, body.dataStart, body.dataEnd);
          if (this.exchange !== exchange) return false;
          at = body.position;
          break;
        case Event.END:
          this.finishReply(body.position === buffer.length);
          return false;
        case Event.MORE:
          return true;
        default:
          this.spoil("bad-reply", body.problem);
          return false;
      }
    }
  }

  /** @param clean no bytes beyond the reply */
  private finishReply(clean: boolean): void {
    const exchange = this.exchange!;
    const { trailers } = this.body;
    if (clean && this.keepAlive && !this.requestDone && exchange.wantsMore) {
      // An early answer: the target reads on, so the connection is good for both once the request is whole.
      this.phase = "sending";
      this.wheel.cancel(this);
      if (this.congested) this.requestStalled();
      exchange.replyEnd(trailers, this);
      return;
    }
    this.exchange = undefined;
    if (clean && this.keepAlive && this.requestDone && !this.services.draining && !this.congested) this.keep(exchange);
    else this.retire();
    exchange.replyEnd(trailers, undefined);
  }

  private keep(exchange: StreamOwner | undefined): void {
    this.phase = "idle";
    const { poolSize, proxyProtocol } = this.upstream.config;
    if (!(proxyProtocol === undefined ? this.target.keepIdle(this, poolSize) : exchange?.own.keep(this))) {
      this.retire();
      return;
    }
    this.resume();
    this.after(this.upstream.config.timeouts.idle);
  }

  private switchProtocols(buffer: Buffer, at: number): void {
    const exchange = this.exchange!;
    const head = this.services.replyHead;
    const chosen = head.connectionUpgrade ? protocolsOf(head) : NO_PROTOCOLS;
    // RFC 9110 section 7.8: to none that the client has not named.
    if (chosen.length === 0 || !chosen.every((protocol) => this.wished.includes(protocol))) {
      this.spoil("bad-reply", "101 that nobody asked for");
      return;
    }
    this.phase = "tunnel";
    this.wheel.cancel(this);
    exchange.switchProtocols(head, this);
    if (this.exchange !== exchange) return;
    if (at < buffer.length) exchange.replyData(buffer, at, buffer.length);
  }

  /** From now on this is one side of a tunnel. */
  joinTunnel(peer: Duplex): void {
    this.peer = peer;
  }

  /** The tunnel's other side has sent its last byte. */
  tunnelPeerEnded(): void {
    this.peerEnded = true;
    this.shutdown();
  }

  /** The client's side is gone. */
  leaveTunnel(broken: boolean): void {
    this.exchange = undefined;
    this.gone();
    if (broken) this.abort();
    else this.end();
  }

  // Its end.

  protected atEnd(): void {
    switch (this.phase) {
      case "idle":
        this.retire();
        return;
      case "tunnel":
        this.exchange!.tunnelTargetEnded();
        relayEnd(this.peer!, this.peerEnded, this);
        return;
      case "body":
        if (this.body.framing === Framing.UNTIL_CLOSE) {
          this.finishReply(false);
          this.services.output.flush();
          return;
        }
        this.spoil("reply-truncated", `closed after ${this.body.received} bytes of the body`);
        this.services.output.flush();
        return;
      case "sending":
        this.spoil("target-closed", "closed before the request was whole");
        return;
      case "head":
        this.spoil(this.partial === undefined ? "target-closed" : "bad-reply", this.partial === undefined ? "closed before a reply" : "closed within the reply's head");
        this.services.output.flush();
        return;
      default:
        return;
    }
  }

  protected closed(error: Error | undefined): void {
    const detail = error === undefined ? "closed" : ((error as NodeJS.ErrnoException).code ?? error.message);
    switch (this.phase) {
      case "idle":
        this.target.forgetIdle(this);
        break;
      case "head":
        this.lost(this.partial === undefined ? "target-reset" : "bad-reply", detail);
        this.services.output.flush();
        return;
      case "sending":
        this.lost("target-reset", detail);
        return;
      case "body":
        this.lost("reply-truncated", detail);
        this.services.output.flush();
        return;
      case "tunnel": {
        const { exchange } = this;
        this.exchange = undefined;
        this.gone();
        exchange?.tunnelClosed(error !== undefined);
        return;
      }
      default:
        return;
    }
    this.gone();
  }

  /** Count it out; exactly once. */
  private gone(): void {
    if (this.phase === "closed") return;
    if (this.phase === "connecting" && this.exchange === undefined) this.target.forgetOpening(this);
    this.phase = "closed";
    this.connecting?.giveUp();
    this.connecting = undefined;
    this.wheel.remove(this);
    this.target.closes(this);
  }

  /** It is gone or of no use: the exchange decides what follows. */
  private lost(cause: Cause, detail: string): void {
    const { exchange } = this;
    this.exchange = undefined;
    this.gone();
    exchange?.attemptFailed(cause, detail, this.reused);
  }

  /** Close at once, then tell the exchange. */
  private spoil(cause: Cause, detail: string): void {
    const { exchange } = this;
    this.exchange = undefined;
    this.gone();
    this.abort();
    exchange?.attemptFailed(cause, detail, this.reused);
  }

  protected due(): void {
    switch (this.phase) {
      case "idle":
        this.retire();
        return;
      case "head":
        if (this.requestDone) this.spoil("response-timeout", `no reply within ${least(this.upstream.config.timeouts.response, this.upstream.config.timeouts.attempt)} ms`);
        else this.spoil("target-write-timeout", `request not read for ${this.upstream.config.timeouts.body} ms`);
        break;
      case "sending":
        this.spoil("target-write-timeout", `request not read for ${this.upstream.config.timeouts.body} ms`);
        break;
      case "body":
        this.spoil("reply-timeout", `reply stalled for ${this.upstream.config.timeouts.body} ms`);
        break;
      default:
        return;
    }
    this.services.output.flush();
  }

  /** The client cannot take more: its own timeout runs, not ours. */
  override pause(): void {
    super.pause();
    if (this.phase === "body") this.wheel.cancel(this);
  }

  override resume(): void {
    super.resume();
    if (this.phase === "body") this.after(this.upstream.config.timeouts.body);
  }

  /** The exchange is over for the client: nobody reads the rest. */
  abandon(): void {
    this.exchange = undefined;
    if (this.connecting !== undefined && this.upstream.config.proxyProtocol === undefined && this.upstream.config.protocol === "h1" && this.target.keepOpening(this)) return;
    this.gone();
    this.abort();
  }

  /** The target is put out of service: what goes on over this ends now. */
  cut(): void {
    if (this.phase === "tunnel") {
      const { exchange } = this;
      this.exchange = undefined;
      this.gone();
      this.abort();
      exchange?.tunnelClosed(true);
      return;
    }
    this.spoil("target-drained", "the target's drain is over");
    this.services.output.flush();
  }

  /** Close in good order. */
  retire(): void {
    if (this.phase === "idle") this.target.forgetIdle(this);
    this.gone();
    this.end();
  }
}
