/** What one stream of an HTTP/2 connection is on either side: its windows, what waits to be sent, which directions are open (RFC 9113 section 5). */
import { keepPiece } from "../../net/pieces.ts";
import { Timed } from "../../net/timers.ts";
import type { Head } from "../h1/head.ts";
import { MAX_31, type ErrorCodeValue } from "./frames.ts";
import type { Session } from "./session.ts";

export abstract class Stream extends Timed {
  id = 0;
  /** We may send so many bytes; a changed setting can make it negative. */
  sendWindow = 0;
  /** The peer may send so many. */
  receiveWindow = 0;
  /** We have said our last. */
  localClosed = false;
  /** The peer has. */
  remoteClosed = false;
  /** When data of this stream last went, in clock ms. */
  movedAt = 0;
  /** Data that no window or no room let go yet, oldest first, in buffers of its own. */
  private queue: Buffer[] | undefined = undefined;
  private queueOffset = 0;
  private ending = false;
  /** Trailers that wait behind the data, as lines. */
  private trailers: Buffer | undefined = undefined;
  /** Bytes taken in and not yet given back to the peer's window. */
  private owed = 0;

  protected abstract readonly session: Session<Stream>;
  /** A window opened, or what waited has gone: the source may go on. */
  abstract sendable(): void;
  /** The connection takes no more for now. */
  abstract stalled(): void;
  /** The connection is gone, or this stream is of no use any more. Called once, when it has left its session. */
  abstract lost(reason: StreamLoss): void;

  /** Something waits here or in the connection: stop the source. */
  get congested(): boolean {
    return this.queue !== undefined || this.session.congested;
  }

  /** When that which this stream waits for last moved, in clock ms: its own window, or the connection, which it shares with others. */
  protected get progressedAt(): number {
    return this.sendWindow > 0 || this.session.congested ? this.session.movedAt : this.movedAt;
  }

  get hasQueue(): boolean {
    return this.queue !== undefined;
  }

  /** Send [start, end), or keep a copy until the windows open. */
  send(bytes: Buffer, start: number, end: number): void {
    if (this.localClosed || this.ending) return;
    const sent = this.queue === undefined && !this.session.congested ? this.session.writeData(this, bytes, start, end) : start;
    if (sent === end) return;
    if (this.queue === undefined) {
      this.queue = [];
      this.session.waits(this);
    }
    keepPiece(this.queue, 0, bytes, sent, end);
  }

  /** Say the last, behind what waits. */
  finish(trailers: Head | undefined): void {
    if (this.localClosed || this.ending) return;
    if (this.queue === undefined) {
      this.session.writeEnd(this, trailers);
      return;
    }
    this.ending = true;
    if (trailers !== undefined) this.trailers = Buffer.from(trailers.buffer.subarray(trailers.start, trailers.end));
  }

  /** Send of what waits, at most one frame. @returns true when something went and more waits */
  sendWaiting(): boolean {
    const { queue } = this;
    if (queue === undefined) return false;
    const first = queue[0]!;
    const sent = this.session.writeData(this, first, this.queueOffset, first.length, true);
    if (sent === this.queueOffset && first.length > 0) return false;
    this.queueOffset = sent;
    if (sent < first.length) return true;
    this.queueOffset = 0;
    queue.shift();
    if (queue.length > 0) return true;
    this.queue = undefined;
    this.session.waitsNoMore(this);
    if (this.ending) this.session.writeEndOfLines(this, this.trailers);
    else this.sendable();
    return false;
  }

  /** Let go of what waits: the stream is closed. */
  forget(): void {
    if (this.queue === undefined) return;
    this.queue = undefined;
    this.session.waitsNoMore(this);
  }

  /** The peer opened the window. False: it opened it too far (section 6.9.1). */
  openWindow(increment: number): boolean {
    this.sendWindow += increment;
    return this.sendWindow <= MAX_31;
  }

  /** So many bytes arrived. False: more than the window let. */
  charge(length: number): boolean {
    this.receiveWindow -= length;
    return this.receiveWindow >= 0;
  }

  /** Bytes were passed on: the peer may send as many more, told in large steps. */
  credit(length: number): void {
    this.owed += length;
    const { streamWindow } = this.session;
    if (this.owed * 2 < streamWindow || this.remoteClosed) return;
    this.session.writeWindowUpdate(this.id, this.owed);
    this.receiveWindow += this.owed;
    this.owed = 0;
  }
}

/** Why a stream ended before its time. */
export interface StreamLoss {
  readonly kind: "reset" | "refused" | "closed" | "error";
  /** Of the RST_STREAM or GOAWAY. */
  readonly code: ErrorCodeValue | number;
  readonly detail: string;
}
