/** Memory for heads that live as long as their requests: many in one block, so that none costs an object of its own. */

const BLOCK = 16 * 1024;

/** One for each worker. A block is freed when the last head in it is. */
export class HeadArena {
  buffer: Buffer = Buffer.allocUnsafeSlow(BLOCK);
  /** Where the head of the moment begins in `buffer`, and how far it goes. */
  start = 0;
  end = 0;

  /** A head of at most `length` bytes begins. */
  reserve(length: number): void {
    if (this.end + length > this.buffer.length) {
      this.buffer = Buffer.allocUnsafeSlow(Math.max(BLOCK, length));
      this.end = 0;
    }
    this.start = this.end;
  }

  put(source: Buffer, start: number, end: number): void {
    // Most pieces are so short that a call would cost more than the bytes.
    const { buffer } = this;
    let at = this.end;
    if (end - start > 32) at += source.copy(buffer, at, start, end);
    else for (let i = start; i < end; i++) buffer[at++] = source[i]!;
    this.end = at;
  }

  text(text: string): void {
    this.end += this.buffer.latin1Write(text, this.end);
  }
}
