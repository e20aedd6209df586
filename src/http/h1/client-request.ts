/** The bytes of a client's requests: what was read, what waits, what has gone to the target and whether it can go once more. */
import { release } from "../../net/release.ts";
import { type OwnField, type RequestForward, withoutClaims } from "../forward.ts";
import type { UpstreamStream } from "../sides.ts";
import { BodyReader, Event } from "./body.ts";
import { Framing, type FramingKind, type HeadLimits } from "./head.ts";
import type { RequestHead } from "./request-head.ts";
import type { RequestView } from "../request-view.ts";

/** What came of sending a part of the body on. */
export const Sent = {
  /** All of it went; more is to come. */
  MORE: 0,
  /** The request is whole. */
  END: 1,
  /** It is longer than the limit. */
  TOO_LARGE: 2,
  /** Its framing is broken; `problem` says how. */
  BROKEN: 3,
} as const;
export type SentKind = (typeof Sent)[keyof typeof Sent];

/** Requests that were sent behind each other, read ahead. */
const AHEAD = 16 * 1024;

export interface BodyLimits extends HeadLimits {
  /** 0: no limit. */
  readonly bodyBytes: number;
}

export class ClientRequest {
  framing: FramingKind = Framing.NONE;
  /** It is read to its end. */
  done = true;
  /** Its head went to the target, so its body may follow. */
  sent = false;
  /** Bytes not yet looked at: a part of a head, of a body that must wait, or of the next requests. */
  private waiting: Buffer | undefined = undefined;
  /** The bytes that it began in, kept until its reply starts. */
  private head: Buffer | undefined = undefined;
  /** Where its body begins in them. */
  private bodyAt = 0;
  /** Later parts of the body that went to the target, kept so that they can go once more. */
  private kept: Buffer[] = [];
  private keptBytes = 0;
  /** More went than is kept: it cannot be written once more. */
  private moved = false;
  private body: BodyReader | undefined = undefined;
  private own: OwnField | undefined = undefined;

  begin(head: RequestHead, buffer: Buffer): void {
    this.framing = head.framing;
    this.done = this.framing === Framing.NONE;
    this.sent = false;
    this.moved = false;
    this.forget();
    this.head = buffer;
    this.bodyAt = head.end;
    // Only behind a request without a body another one can begin already.
    if (this.done && head.end < buffer.length) this.waiting = buffer.subarray(head.end);
  }

  get canReplay(): boolean {
    return this.head !== undefined && !this.moved;
  }

  private forget(): void {
    if (this.keptBytes === 0) return;
    this.kept = [];
    this.keptBytes = 0;
  }

  get problem(): string {
    return this.body?.problem ?? "";
  }

  /** Bytes of its body that were read. */
  get received(): number {
    return this.sent && this.framing !== Framing.NONE ? this.body!.received : 0;
  }

  get hasWaiting(): boolean {
    return this.waiting !== undefined;
  }

  /** A body that cannot go yet has come with so much, or with so many further requests, that nothing more is wanted. */
  get isAhead(): boolean {
    return !this.done && !this.sent && this.head !== undefined && this.head.length - this.bodyAt >= AHEAD;
  }

  /** Can bytes that arrive now go straight to the target? */
  get flows(): boolean {
    return !this.done && this.sent && this.waiting === undefined;
  }

  /** Keep for later, behind what waits already. */
  keep(chunk: Buffer): void {
    this.waiting = this.waiting === undefined ? chunk : Buffer.concat([this.waiting, chunk]);
  }

  /** What waits, which then no longer does. */
  take(): Buffer | undefined {
    const { waiting } = this;
    this.waiting = undefined;
    return waiting;
  }

  /** Send its head and what of the body came with it, for the first time or once more. */
  sendFirst(connection: UpstreamStream, head: RequestHead, forward: RequestForward, limits: BodyLimits): SentKind {
    const again = this.sent;
    const { waiting } = this;
    this.sent = true;
    this.own = forward.own;
    connection.requestHead(head, forward, this.framing);
    if (this.framing === Framing.NONE) {
      connection.requestEnd(undefined);
      return Sent.END;
    }
    this.body ??= new BodyReader();
    this.body.begin(this.framing, head.contentLength, limits);
    let sent = this.pump(connection, this.head!, this.bodyAt, limits);
    for (let i = 0; i < this.kept.length && sent === Sent.MORE; i++) sent = this.pump(connection, this.kept[i]!, 0, limits);
    // What lay behind the body the first time waits already.
    if (again) this.waiting = waiting;
    return sent;
  }

  /**
   * Send a later part of the body.
   * @param keep so many bytes of such parts are kept to be sent once more
   */
  sendMore(connection: UpstreamStream, chunk: Buffer, limits: BodyLimits, keep: number): SentKind {
    if (!this.moved && this.keptBytes + chunk.length <= keep) {
      this.kept.push(chunk);
      this.keptBytes += chunk.length;
    } else {
      this.moved = true;
      this.forget();
    }
    return this.pump(connection, chunk, 0, limits);
  }

  /** Is the last chunk given up? */
  get givesUp(): boolean {
    return this.moved && this.waiting === undefined;
  }

  private pump(connection: UpstreamStream, buffer: Buffer, from: number, limits: BodyLimits): SentKind {
    const body = this.body!;
    for (let at = from; ; ) {
      switch (body.next(buffer, at, buffer.length)) {
        case Event.DATA:
          if (limits.bodyBytes > 0 && body.received > limits.bodyBytes) return Sent.TOO_LARGE;
          connection.requestData(buffer, body.dataStart, body.dataEnd);
          at = body.position;
          break;
        case Event.END:
          this.done = true;
          if (body.position < buffer.length) this.waitBefore(buffer.subarray(body.position));
          connection.requestEnd(withoutClaims(body.trailers, this.own));
          return Sent.END;
        case Event.MORE:
          return Sent.MORE;
        default:
          return Sent.BROKEN;
      }
    }
  }

  /** These bytes came before all that waits. */
  private waitBefore(bytes: Buffer): void {
    this.waiting = this.waiting === undefined ? bytes : Buffer.concat([bytes, this.waiting]);
  }

  /** It will not be written again: the view keeps the head, which the log needs; a large chunk's memory goes back. */
  letGo(view: RequestView): void {
    const { head } = this;
    this.head = undefined;
    this.forget();
    // What waits may be another part of the same memory.
    if (head === undefined || this.bodyAt === head.length || this.waiting !== undefined) return;
    view.keepOnly(this.bodyAt);
    release(head);
  }

  clear(): void {
    this.forget();
    this.head = undefined;
    this.waiting = undefined;
  }
}
