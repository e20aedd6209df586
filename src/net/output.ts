/**
 * Gathers what one event produces for one connection, so that head and body leave in one write.
 *
 * One for each worker: an event handler begins, appends and flushes before it returns, so nothing is allocated for it.
 */
import type { Connection } from "./connection.ts";

const CAPACITY = 256 * 1024;
/** Larger pieces go straight from where they are; copying more would cost more than a second write. */
const COPY_LIMIT = 128 * 1024;
/** With nothing before it a piece of this size needs no copy. */
const DIRECT = 8 * 1024;
const CR = 13;
const LF = 10;

export class Output {
  private readonly bytes = Buffer.allocUnsafeSlow(CAPACITY);
  private length = 0;
  private connection: Connection | undefined = undefined;

  /** What is appended from now on goes to this connection. */
  begin(connection: Connection): void {
    if (this.connection !== connection) {
      this.flush();
      this.connection = connection;
    }
  }

  /** Append [start, end) of `source`. */
  copy(source: Buffer, start: number, end: number): void {
    const length = end - start;
    if (this.length === 0 && length >= DIRECT) {
      this.connection!.write(source, start, length);
      return;
    }
    if (length <= COPY_LIMIT) {
      if (this.length + length > CAPACITY) this.send();
      source.copy(this.bytes, this.length, start, end);
      this.length += length;
      return;
    }
    const room = Math.min(COPY_LIMIT, CAPACITY - this.length);
    source.copy(this.bytes, this.length, start, start + room);
    this.length += room;
    this.send();
    this.connection!.write(source, start + room, length - room);
  }

  /**
   * Append [start, end) of `source`, which nobody needs afterwards, nor what is before it: what was gathered is put there,
   * so that a head and its large body leave in one write and the body is never copied.
   */
  place(source: Buffer, start: number, end: number): void {
    const { length } = this;
    if (end - start < DIRECT || length === 0 || length > start) {
      this.copy(source, start, end);
      return;
    }
    this.bytes.copy(source, start - length, 0, length);
    this.length = 0;
    this.connection!.write(source, start - length, end - start + length);
  }

  /** Append text of latin-1 characters. */
  text(text: string): void {
    if (this.length + text.length > CAPACITY) this.send();
    this.length += this.bytes.latin1Write(text, this.length, text.length);
  }

  /** Append CRLF: two bytes stored cost a tenth of a call to copy them. */
  endLine(): void {
    if (this.length + 2 > CAPACITY) this.send();
    this.bytes[this.length] = CR;
    this.bytes[this.length + 1] = LF;
    this.length += 2;
  }

  /** Write what was gathered. */
  flush(): void {
    if (this.length > 0) this.send();
    this.connection = undefined;
  }

  private send(): void {
    const { length } = this;
    this.length = 0;
    if (length > 0) this.connection!.write(this.bytes, 0, length);
  }
}
