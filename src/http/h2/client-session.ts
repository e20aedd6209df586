/** An HTTP/2 connection of a client: opens a stream for each request, prices what the client may ask, goes away in good order (RFC 9113). */
import type { Arrival, Peer } from "../../accept/arrival.ts";
import { formatEndpoint, plainAddress } from "../../net/endpoint.ts";
import type { NetSocket } from "../../net/network.ts";
import { CAUSES, type Cause } from "../../observability/cause.ts";
import type { Client, Listener } from "../../routing/listener.ts";
import { Reception } from "../reception.ts";
import type { Services } from "../services.ts";
import { Budget } from "./budget.ts";
import { ClientStream } from "./client-stream.ts";
import { ErrorCode, MAX_31, PREFACE, Setting, type ErrorCodeValue } from "./frames.ts";
import { Session } from "./session.ts";

/** Between the first GOAWAY, which promises nothing, and the one that names the last stream: longer than a round trip (section 6.8). */
const DRAIN_NOTICE = 1_000;
/** Streams that we reset come and go faster than a round trip takes. */
const MIN_CROSSING = 256;
/** Gaps between ids that are remembered. */
const MAX_SKIPPED = 16;

export class ClientSession extends Session<ClientStream> implements Client {
  readonly listener: Listener;
  readonly reception: Reception;
  peer: Peer | undefined = undefined;
  clientAddress = "";
  private name: string | undefined = undefined;
  private readonly resets: Budget;
  private prefaceBytes = 0;
  private lastId = 0;
  /** Ranges of ids that were never used, and cannot be any more (section 5.1.1). */
  private readonly skipped: (readonly [from: number, to: number])[] = [];
  /** Streams above it are not served any more. */
  private lastServed = MAX_31;
  private announced = false;
  /** It did wrong. */
  private isBroken = false;

  constructor(listener: Listener, services: Services, arrival?: Arrival) {
    const { http2, limits } = listener.config;
    super(services, { ...http2, headerBytes: limits.headerBytes, headerCount: limits.headerCount, crossing: Math.max(MIN_CROSSING, 2 * http2.maxStreams) }, listener.counters, listener.counters);
    this.listener = listener;
    this.reception = new Reception(listener, services, arrival);
    this.resets = new Budget(http2.resets, http2.resetsPerSecond, services.network.clock.now);
  }

  protected opened(socket: NetSocket): void {
    this.peer = this.reception.arrival?.peer ?? socket;
    this.clientAddress = plainAddress(this.peer.remoteAddress);
    const refused = this.listener.add(this);
    const { http2, limits } = this.listener.config;
    this.greet(undefined, [
      [Setting.MAX_CONCURRENT_STREAMS, http2.maxStreams],
      [Setting.INITIAL_WINDOW_SIZE, http2.streamWindow],
      [Setting.MAX_HEADER_LIST_SIZE, limits.headerBytes],
      [Setting.ENABLE_CONNECT_PROTOCOL, 1],
    ]);
    if (refused !== undefined) {
      this.listener.remove(this);
      this.listener.failed(refused);
      this.tell(refused, refused.replaceAll("-", " "));
      this.goodbye(0, ErrorCode.ENHANCE_YOUR_CALM, refused.replaceAll("-", " "));
      return;
    }
    this.after(this.listener.config.timeouts.clientHeader);
  }

  private after(milliseconds: number): void {
    if (milliseconds > 0) this.wheel.schedule(this, this.services.network.clock.now + milliseconds);
    else this.wheel.cancel(this);
  }

  protected override read(chunk: Buffer): void {
    let from = 0;
    while (this.prefaceBytes < PREFACE.length && from < chunk.length) {
      if (chunk[from++] === PREFACE[this.prefaceBytes++]) continue;
      this.refuse(ErrorCode.PROTOCOL_ERROR, "not the preface of HTTP/2");
      return;
    }
    if (from < chunk.length) super.read(from === 0 ? chunk : chunk.subarray(from));
  }

  // Streams.

  protected headReceived(id: number, endsStream: boolean): void {
    const stream = this.streams.get(id);
    if (stream !== undefined) {
      this.trailersReceived(stream, endsStream);
      return;
    }
    if ((id & 1) === 0) {
      this.refuse(ErrorCode.PROTOCOL_ERROR, "a client's stream with an even id");
      return;
    }
    if (id <= this.lastId) {
      if (this.skipped.some(([from, to]) => id >= from && id <= to)) this.refuse(ErrorCode.PROTOCOL_ERROR, "a stream below the last one");
      else this.headOfClosed(id);
      return;
    }
    if (id > this.lastServed) return;
    if (id > this.lastId + 2) this.skipped.push([this.lastId + 1, id - 1]);
    if (this.skipped.length > MAX_SKIPPED) this.skipped.shift();
    this.lastId = id;
    if (this.streams.size >= this.listener.config.http2.maxStreams) {
      this.refuseStream(id, ErrorCode.REFUSED_STREAM);
      this.provoked();
      return;
    }
    // A reply without a body is written whatever the client reads, and its stream is no more.
    if (!this.answers()) return;
    const made = new ClientStream(this, this.services);
    this.enter(made, id);
    made.remoteClosed = endsStream;
    if (this.streams.size === 1) this.wheel.cancel(this);
    made.begin(this.services.block);
  }

  private trailersReceived(stream: ClientStream, endsStream: boolean): void {
    if (stream.remoteClosed) this.resetFor(stream, ErrorCode.STREAM_CLOSED, "HEADERS behind the end of its stream");
    else if (!endsStream) this.resetFor(stream, ErrorCode.PROTOCOL_ERROR, "trailers without END_STREAM");
    else {
      stream.remoteClosed = true;
      stream.trailersReceived(this.services.block);
    }
  }

  protected dataAnnounced(stream: ClientStream, length: number): void {
    stream.bodyAnnounced(length);
  }

  protected dataReceived(stream: ClientStream, bytes: Buffer, start: number, end: number): void {
    stream.bodyReceived(bytes, start, end);
  }

  protected endReceived(stream: ClientStream): void {
    stream.endReceived();
  }

  protected resetReceived(stream: ClientStream, code: number): void {
    this.leave(stream);
    stream.lost({ kind: "reset", code, detail: "" });
    this.provoked();
    this.check();
  }

  /** A request that came to nothing by the client's doing: so many are free (CVE-2023-44487, CVE-2025-8671). */
  protected provoked(): void {
    if (!this.resets.take(this.services.network.clock.now)) this.refuse(ErrorCode.ENHANCE_YOUR_CALM, "too many streams that were reset");
  }

  /** The request is refused as HTTP/2: its stream is reset. */
  malformed(stream: ClientStream, reason: string): void {
    this.listener.failed("bad-request");
    this.tell("bad-request", reason);
    this.resetFor(stream, ErrorCode.PROTOCOL_ERROR, reason);
  }

  protected override resetFor(stream: ClientStream, code: ErrorCodeValue, detail: string): void {
    super.resetFor(stream, code, detail);
    this.check();
  }

  protected goAwayReceived(): void {
    this.check();
  }

  protected settingsReceived(): void {
    if (this.streams.size === 0) this.awaitStreams();
  }

  protected isIdle(id: number): boolean {
    return (id & 1) === 0 || (id > this.lastId && id <= this.lastServed);
  }

  /** So is one for a stream that came too late to be served (section 6.8). */
  protected override mayCross(id: number): boolean {
    return id > this.lastServed || super.mayCross(id);
  }

  protected mayPush(): boolean {
    // A client may say that it takes pushes; there are none.
    return true;
  }

  protected ended(stream: ClientStream): void {
    stream.replySent();
  }

  /** It is over on both sides. */
  over(stream: ClientStream): void {
    this.leave(stream);
    this.check();
  }

  /** A stream has gone: what does that mean for the connection? */
  private check(): void {
    if (this.streams.size > 0 || this.isOver) return;
    if (this.peerGoesAway || this.lastServed < MAX_31) this.goodbye(this.lastId, ErrorCode.NO_ERROR, "");
    else this.awaitStreams();
  }

  private awaitStreams(): void {
    if (this.announced) this.after(DRAIN_NOTICE);
    else if (this.services.draining) this.drain();
    else this.after(this.services.short ? DRAIN_NOTICE : this.listener.config.timeouts.clientIdle);
  }

  /** No new streams after a while; those that are open go on. */
  drain(): void {
    if (this.isOver || this.announced) return;
    this.announced = true;
    this.writeGoAway(MAX_31, ErrorCode.NO_ERROR, "");
    this.after(DRAIN_NOTICE);
  }

  // Its end.

  /** Who did no wrong and reads slowly what it was sent opens windows as it goes on; the system answers what comes after a close with a reset. */
  protected override heardAfterGoodbye(): void {
    if (!this.isBroken) this.lingerOn();
  }

  protected broken(code: ErrorCodeValue, reason: string): void {
    this.listener.failed("bad-request");
    this.tell("bad-request", reason);
    this.isBroken = true;
    this.goodbye(this.lastId, code, reason);
    this.loseAll(reason);
  }

  tell(cause: Cause, detail: string, status: number = CAUSES[cause].status): void {
    this.reception.tellRefused(() => this.describe(), cause, status, detail, "h2");
  }

  describe(): string {
    return (this.name ??= formatEndpoint(this.clientAddress, this.peer?.remotePort ?? 0));
  }

  private loseAll(detail: string): void {
    for (const stream of [...this.streams.values()]) {
      this.leave(stream);
      stream.lost({ kind: "closed", code: ErrorCode.NO_ERROR, detail });
    }
  }

  protected atEnd(): void {
    // Nothing more comes: who hangs up does not wait for the answer, as with HTTP/1.
    this.isOver = true;
    this.loseAll("closed");
    this.end();
  }

  protected closed(): void {
    this.isOver = true;
    this.listener.remove(this);
    this.loseAll("closed");
    this.reception.leave();
  }

  protected due(): void {
    if (this.isOver) this.lingered();
    else if (!this.settled) {
      this.listener.failed("client-header-timeout");
      this.tell("client-header-timeout", "no SETTINGS");
      this.goodbye(0, ErrorCode.SETTINGS_TIMEOUT, "no SETTINGS");
    } else if (this.announced && this.lastServed === MAX_31) {
      this.lastServed = this.lastId;
      if (this.streams.size > 0) this.writeGoAway(this.lastId, ErrorCode.NO_ERROR, "");
      this.check();
    } else if (this.streams.size === 0) this.goodbye(this.lastId, ErrorCode.NO_ERROR, "");
  }
}
