/** An HTTP/2 connection to a target, shared by many exchanges (RFC 9113). */
import type { NetSocket } from "../../net/network.ts";
import { connectCause, type Cause } from "../../observability/cause.ts";
import { Connecting, type Opener } from "../../upstream/connecting.ts";
import type { Shared, Target } from "../../upstream/target.ts";
import type { Upstream } from "../../upstream/upstream.ts";
import type { Services } from "../services.ts";
import { ErrorCode, MAX_31, PREFACE, Setting, type ErrorCodeValue } from "./frames.ts";
import { Session } from "./session.ts";
import { H2UpstreamStream } from "./upstream-stream.ts";

/**
 * What a target may send ahead of a client that reads slowly, for each stream. No round number, for bodies have those: where one ends exactly with
 * the window nghttp2 has no room for END_STREAM, and Node then resets the stream.
 */
const STREAM_WINDOW = 256 * 1024 + 1;
const CONNECTION_WINDOW = 16 * 1024 * 1024;
/** Frames that do nothing, at once and each second: many streams that end early make many, and a target is trusted more than a client. */
const GLITCHES = 10_000;

/** `greeting`: connected, and the target's SETTINGS are awaited: they say how many streams it takes, and what kinds. */
type Phase = "new" | "connecting" | "greeting" | "open" | "closed";

export class UpstreamSession extends Session<H2UpstreamStream> implements Shared, Opener {
  readonly target: Target;
  readonly scheme: "http" | "https";
  private readonly upstream: Upstream;
  private phase: Phase = "new";
  /** Undefined: it was not asked for yet, or is over. */
  private connecting: Connecting | undefined = undefined;
  /** Streams that wait for the connection, and those that go over it. */
  private readonly taken = new Set<H2UpstreamStream>();
  private nextId = 1;
  /** It takes no further streams. */
  private retired = false;

  constructor(target: Target, upstream: Upstream, services: Services) {
    const { limits } = upstream.config;
    super(services, { streamWindow: STREAM_WINDOW, connectionWindow: CONNECTION_WINDOW, continuations: 32, glitches: GLITCHES, glitchesPerSecond: GLITCHES, headerBytes: limits.headerBytes, headerCount: limits.headerCount, crossing: 0 }, upstream.column, target.counters);
    this.target = target;
    this.upstream = upstream;
    this.scheme = target.tls === undefined ? "http" : "https";
    target.opens(this);
    target.keepShared(this);
  }

  get hasRoom(): boolean {
    return !this.retired && this.phase !== "closed" && this.taken.size < this.places && this.nextId < MAX_31 - 1;
  }

  private get places(): number {
    return Math.min(this.settled ? this.peerMaxStreams : this.target.maxStreams, this.upstream.config.maxStreams);
  }

  /** It serves at once, and has served before. */
  get isOpenFor(): boolean {
    return this.phase === "open";
  }

  /** A stream of its own for one exchange. */
  take(): H2UpstreamStream {
    const stream = new H2UpstreamStream(this, this.services);
    this.taken.add(stream);
    return stream;
  }

  /** One that waited for another connection has the place of `stream`. */
  exchange(stream: H2UpstreamStream, waiting: H2UpstreamStream): void {
    this.taken.delete(stream);
    this.taken.add(waiting);
  }

  /** Open the connection, if nobody has. */
  start(): void {
    if (this.phase !== "new") return;
    this.phase = "connecting";
    this.connecting = new Connecting(this.target, this.services.network, this.wheel, this);
    this.connecting.start(this.upstream.config.timeouts.connect, this.target.tls);
  }

  /** Another hands it over. */
  awaitSocket(): void {
    this.phase = "connecting";
  }

  private after(milliseconds: number): void {
    if (milliseconds > 0) this.wheel.schedule(this, this.services.network.clock.now + milliseconds);
    else this.wheel.cancel(this);
  }

  protected opened({ alpnProtocol }: NetSocket): void {
    const { connecting } = this;
    this.connecting = undefined;
    if (this.target.tls !== undefined && alpnProtocol !== "h2") {
      // It chose otherwise the last time: who waits is sent again, as it wants it now.
      this.target.speaks = "h1";
      if (this.upstream.config.protocol === "auto") this.failed("stream-refused", "it does not speak HTTP/2 any more");
      else this.failed("tls-connect-failed", "it does not speak HTTP/2 (ALPN)");
      this.abort();
      return;
    }
    this.phase = "greeting";
    // What is left of its time.
    this.after(Math.max(1, this.upstream.config.timeouts.connect - (connecting?.milliseconds ?? 0)));
    this.greet(PREFACE, [
      [Setting.ENABLE_PUSH, 0],
      [Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW],
      [Setting.MAX_HEADER_LIST_SIZE, this.limits.headerBytes],
    ]);
  }

  /** It has said what it takes: as many as that may begin, the others go elsewhere. */
  private greeted(): void {
    const { places } = this;
    if (places === 0) {
      this.failed("connect-failed", "it allows no streams");
      this.goodbye(0, ErrorCode.NO_ERROR, "");
      return;
    }
    this.phase = "open";
    this.wheel.cancel(this);
    const waiting = [...this.taken];
    const moved = waiting.slice(places);
    for (const stream of moved) this.taken.delete(stream);
    for (const stream of waiting.slice(0, places)) stream.sessionOpened();
    for (const stream of moved) stream.move();
    this.services.output.flush();
    this.check();
  }

  connectFailed(cause: Cause, detail: string): void {
    this.failed(cause, detail);
  }

  private failed(cause: Cause, detail: string): void {
    const streams = [...this.taken];
    this.gone();
    for (const stream of streams) stream.failed(cause, detail);
    this.services.output.flush();
  }

  /** A request begins on this stream. */
  begin(stream: H2UpstreamStream): void {
    const id = this.nextId;
    this.nextId += 2;
    this.enter(stream, id);
    this.wheel.cancel(this);
  }

  /** The exchange is over, whatever of it went over this connection. */
  give(stream: H2UpstreamStream): void {
    this.leave(stream);
    if (this.taken.delete(stream)) this.check();
  }

  /** Tell the target that nobody wants the rest of a stream. */
  cancel(stream: H2UpstreamStream, code: ErrorCodeValue): void {
    if (stream.id !== 0) this.reset(stream, code);
    this.give(stream);
  }

  private check(): void {
    if (this.taken.size > 0 || this.phase !== "open") return;
    if (this.retired) this.goAway();
    else this.after(this.upstream.config.timeouts.idle);
  }

  private goAway(): void {
    this.gone();
    this.goodbye(0, ErrorCode.NO_ERROR, "");
  }

  /** Count it out; exactly once. */
  private gone(): void {
    if (this.phase === "closed") return;
    this.phase = "closed";
    this.connecting?.giveUp();
    this.connecting = undefined;
    this.wheel.cancel(this);
    this.target.forgetShared(this);
    this.target.closes(this);
  }

  /** No further streams; it closes when those that are there are over. */
  retire(): void {
    if (this.retired) return;
    this.retired = true;
    this.target.forgetShared(this);
    this.check();
  }

  cut(): void {
    for (const stream of [...this.taken]) stream.cut();
    this.retire();
  }

  // What the target says.

  protected headReceived(id: number, endsStream: boolean): void {
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) this.refuse(ErrorCode.PROTOCOL_ERROR, "HEADERS on an idle stream");
      else this.headOfClosed(id);
    } else if (stream.remoteClosed) this.refuse(ErrorCode.STREAM_CLOSED, "HEADERS behind the end of its stream");
    else {
      stream.remoteClosed = endsStream;
      stream.headReceived(this.services.block, endsStream);
    }
  }

  protected dataAnnounced(): void {
    // A reply that is too long is cut where it is: nobody takes the rest for another message.
  }

  protected dataReceived(stream: H2UpstreamStream, bytes: Buffer, start: number, end: number): void {
    stream.dataReceived(bytes, start, end);
  }

  protected endReceived(stream: H2UpstreamStream): void {
    stream.endReceived();
  }

  protected resetReceived(stream: H2UpstreamStream, code: number): void {
    this.leave(stream);
    this.taken.delete(stream);
    stream.lost({ kind: code === ErrorCode.REFUSED_STREAM ? "refused" : "reset", code, detail: "" });
    this.check();
  }

  protected goAwayReceived(lastId: number): void {
    this.retire();
    for (const stream of [...this.taken]) {
      if (stream.id !== 0 && stream.id <= lastId) continue;
      this.leave(stream);
      this.taken.delete(stream);
      stream.lost({ kind: "refused", code: ErrorCode.NO_ERROR, detail: "the target goes away" });
    }
    this.check();
  }

  protected settingsReceived(): void {
    if (this.peerMaxStreams > 0) this.target.maxStreams = this.peerMaxStreams;
    if (this.phase === "greeting") this.greeted();
  }

  /** Replies to what was given up may be on their way for as long as the target likes, however many they are. */
  protected override mayCross(): boolean {
    return true;
  }

  protected isIdle(id: number): boolean {
    return (id & 1) === 0 || id >= this.nextId;
  }

  protected mayPush(): boolean {
    return false;
  }

  protected provoked(): void {
    this.glitch();
  }

  protected ended(stream: H2UpstreamStream): void {
    stream.sentAll();
  }

  protected override resetFor(stream: H2UpstreamStream, code: ErrorCodeValue, detail: string): void {
    this.taken.delete(stream);
    super.resetFor(stream, code, detail);
    this.check();
  }

  protected broken(code: ErrorCodeValue, reason: string): void {
    if (this.phase === "greeting") {
      // None of them has begun.
      this.failed("connect-failed", reason);
      this.goodbye(0, code, reason);
      return;
    }
    this.gone();
    this.goodbye(0, code, reason);
    this.loseAll("error", reason);
  }

  private loseAll(kind: "closed" | "error", detail: string): void {
    const streams = [...this.taken];
    this.taken.clear();
    for (const stream of streams) {
      this.leave(stream);
      stream.lost({ kind, code: ErrorCode.NO_ERROR, detail });
    }
    this.services.output.flush();
  }

  // Its end.

  protected atEnd(): void {
    if (this.phase === "closed") return;
    this.isOver = true;
    this.end();
    if (this.phase === "greeting") {
      this.failed("connect-failed", "closed before SETTINGS");
      return;
    }
    this.gone();
    this.loseAll("closed", "closed");
  }

  protected closed(error: Error | undefined): void {
    this.isOver = true;
    const detail = error === undefined ? "closed" : ((error as NodeJS.ErrnoException).code ?? error.message);
    if (this.phase === "greeting") {
      this.failed(error === undefined ? "connect-failed" : connectCause(detail), detail);
      return;
    }
    this.gone();
    this.loseAll("closed", detail);
  }

  protected due(): void {
    if (this.phase === "greeting") {
      this.failed("connect-timeout", `no SETTINGS within ${this.upstream.config.timeouts.connect} ms`);
      this.abort();
    } else if (this.phase === "open") this.goAway();
    else this.abort();
  }
}
