/** What of a request's body waits for its target, and what has gone there and is kept, as long as that is little enough, to be sent once more. */
import { keepPiece } from "../../net/pieces.ts";
import type { UpstreamStream } from "../sides.ts";

export class RequestBody {
  /** From its beginning while it can be sent once more, else what waits. */
  private parts: Buffer[] = [];
  private bytes = 0;
  /** The first of them that has not gone to the target. */
  private next = 0;
  /** The first that has gone to none: for those before it the client has got its window back. */
  private fresh = 0;
  private isPassing: boolean;

  /** @param passing nothing is to be kept */
  constructor(passing: boolean) {
    this.isPassing = passing;
  }

  /** It cannot be sent once more. */
  get isGone(): boolean {
    return this.isPassing;
  }

  /** Something of it has not gone to the target. */
  get waits(): boolean {
    return this.next < this.parts.length;
  }

  /** Nothing waits, and so much more would be more than is to be kept: from now on what comes need not stand here. @param limit bytes */
  passes(length: number, limit: number): boolean {
    if (this.isPassing) return true;
    if (this.bytes + length <= limit) return false;
    this.isPassing = true;
    this.forget();
    return true;
  }

  keep(bytes: Buffer, start: number, end: number): void {
    keepPiece(this.parts, Math.max(this.next, this.fresh), bytes, start, end);
    this.bytes += end - start;
  }

  /** To another target, from the beginning. */
  rewind(): void {
    this.next = 0;
  }

  /** @param all also what the target has no room for, and must queue @param limit so many bytes are kept @returns bytes that went for the first time */
  sendTo(connection: UpstreamStream, all: boolean, limit: number): number {
    let length = 0;
    while (this.waits && (all || !connection.congested)) {
      const part = this.parts[this.next++]!;
      if (this.next > this.fresh) {
        this.fresh = this.next;
        length += part.length;
      }
      connection.requestData(part, 0, part.length);
    }
    if (!this.waits && (this.isPassing || this.bytes > limit)) {
      this.isPassing = true;
      this.forget();
    }
    return length;
  }

  /** What waits, for a tunnel. */
  take(): Buffer[] {
    const waiting = this.parts.slice(this.next);
    this.pass();
    this.forget();
    return waiting;
  }

  /** It need not be sent once more. */
  pass(): void {
    if (!this.waits) this.forget();
    this.isPassing = true;
  }

  forget(): void {
    if (this.parts.length > 0) this.parts = [];
    this.bytes = 0;
    this.next = 0;
    this.fresh = 0;
  }
}
