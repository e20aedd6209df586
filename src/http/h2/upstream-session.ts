/** An HTTP/2 connection to a target, shared by many exchanges (RFC 9113). */
import type { NetSocket } from "../../net/network.ts";
import { connectCause, type Cause } from "../../observability/cause.ts";
import { TOTAL_CONNECTS } from "../../scoreboard/scoreboard.ts";
import type { Shared, Target } from "../../upstream/target.ts";
import type { Upstream } from "../../upstream/upstream.ts";
import type { Services } from "../services.ts";
import { ErrorCode, MAX_31, PREFACE, Setting, type ErrorCodeValue } from "./frames.ts";
import { Session } from "./session.ts";
import { H2UpstreamStream } from "./upstream-stream.ts";

/** What a target may send ahead of a client that reads slowly, for each stream. */
const STREAM_WINDOW = 256 * 1024;
const CONNECTION_WINDOW = 16 * 1024 * 1024;

type Phase = "connecting" | "open" | "closed";

export class UpstreamSession extends Session<H2UpstreamStream> implements Shared {
  readonly target: Target;
  readonly scheme: "http" | "https";
  private readonly upstream: Upstream;
  private phase: Phase = "connecting";
  /** Streams that wait for the connection, and those that go over it. */
  private readonly taken = new Set<H2UpstreamStream>();
  private nextId = 1;
  /** It takes no further streams. */
  private retired = false;

  constructor(target: Target, upstream: Upstream, services: Services) {
    const { limits } = upstream.config;
    super(services, { streamWindow: STREAM_WINDOW, connectionWindow: CONNECTION_WINDOW, continuations: 32, glitches: 10_000, glitchesPerSecond: 330, headerBytes: limits.headerBytes, headerCount: limits.headerCount });
    this.target = target;
    this.upstream = upstream;
    this.scheme = target.tls === undefined ? "http" : "https";
    target.opens(this);
    target.keepShared(this);
  }

  get hasRoom(): boolean {
    return !this.retired && this.phase !== "closed" && this.taken.size < Math.min(this.peerMaxStreams, this.upstream.config.maxStreams) && this.nextId < MAX_31 - 1;
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

  /** Open the connection, if nobody has. */
  start(): void {
    if (this.phase !== "connecting" || this.deadline !== 0) return;
    this.target.counters.add(TOTAL_CONNECTS, 1);
    if (this.target.isUnreachable) {
      this.failed("connect-timeout", "too many connects to it hang");
      return;
    }
    this.after(this.upstream.config.timeouts.connect);
    this.services.network.connect(this.target.address, this, this.target.tls);
  }

  private after(milliseconds: number): void {
    if (milliseconds > 0) this.wheel.schedule(this, this.services.network.clock.now + milliseconds);
    else this.wheel.cancel(this);
  }

  override onSecuring(socket: NetSocket): void {
    super.onSecuring(socket);
    if (this.phase === "connecting") return;
    this.target.countHanging(-1);
    this.abort();
  }

  protected opened({ alpnProtocol }: NetSocket): void {
    if (this.phase !== "connecting") {
      // Given up while it connected.
      this.target.countHanging(-1);
      this.abort();
      return;
    }
    if (this.target.tls !== undefined && alpnProtocol !== "h2") {
      // It chose otherwise the last time: who waits is sent again, as it wants it now.
      this.target.speaks = "h1";
      if (this.upstream.config.protocol === "auto") this.failed("stream-refused", "it does not speak HTTP/2 any more");
      else this.failed("tls-connect-failed", "it does not speak HTTP/2 (ALPN)");
      this.abort();
      return;
    }
    this.phase = "open";
    this.wheel.cancel(this);
    this.writeSettings(PREFACE, [
      [Setting.ENABLE_PUSH, 0],
      [Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW],
      [Setting.MAX_HEADER_LIST_SIZE, this.limits.headerBytes],
    ]);
    for (const stream of [...this.taken]) stream.sessionOpened();
    this.services.output.flush();
    this.check();
  }

  onConnectError(code: string, reason?: string): void {
    if (this.phase === "closed") this.target.countHanging(-1);
    else this.failed(connectCause(code), reason ?? code);
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
    if (stream === undefined) this.headOfClosed(id);
    else if (stream.remoteClosed) this.refuse(ErrorCode.STREAM_CLOSED, "HEADERS behind the end of its stream");
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
    // Limits hold from the next stream on.
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

  protected ended(): void {
    // The reply's end is what counts.
  }

  /** The target broke the protocol on one stream. */
  spoil(stream: H2UpstreamStream, code: ErrorCodeValue, detail: string): void {
    this.resetFor(stream, code, detail);
    this.taken.delete(stream);
    this.check();
  }

  protected broken(code: ErrorCodeValue, reason: string): void {
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

  onEnd(): void {
    if (this.phase === "closed") return;
    this.gone();
    this.isOver = true;
    this.end();
    this.loseAll("closed", "closed");
  }

  protected closed(error: Error | undefined): void {
    this.isOver = true;
    const detail = error === undefined ? "closed" : ((error as NodeJS.ErrnoException).code ?? error.message);
    if (this.phase === "connecting") {
      this.failed(error === undefined ? "connect-failed" : connectCause(detail), detail);
      return;
    }
    this.gone();
    this.loseAll("closed", detail);
  }

  onDeadline(): void {
    if (this.phase === "connecting") {
      // Given up before the system has connected: this cannot be called off.
      if (!this.isOpen) this.target.countHanging(1);
      const { connect } = this.upstream.config.timeouts;
      this.failed("connect-timeout", `no connection within ${connect} ms`);
      this.abort();
    } else if (this.phase === "open") this.goAway();
    else this.abort();
  }
}
