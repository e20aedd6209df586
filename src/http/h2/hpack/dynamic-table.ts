/** The dynamic table (RFC 7541 sections 2.3.2 and 4): which entries there are, what they count, where their bytes are. */

/** What an entry counts beyond its name and value: RFC 7541 section 4.1. */
export const ENTRY_OVERHEAD = 32;
/** Bytes of a line beyond name and value: `: ` and CRLF. */
export const LINE_OVERHEAD = 4;
const FIRST_CAPACITY = 1024;
const EMPTY = Buffer.alloc(0);

/** Fields as HTTP/1 lines, `name: value\r\n`, by slot. */
export class Lines {
  bytes: Buffer;
  readonly start: Int32Array;
  readonly nameLength: Int32Array;
  readonly valueLength: Int32Array;

  constructor(slots: number, bytes: Buffer) {
    this.bytes = bytes;
    this.start = new Int32Array(slots);
    this.nameLength = new Int32Array(slots);
    this.valueLength = new Int32Array(slots);
  }
}

/**
 * Entries are numbered in the order they came, from 1 on; an entry's slot is its number's low bits. The age of the newest is 1: its index
 * is the static table's length plus its age.
 */
export class DynamicTable {
  readonly lines: Lines;
  /** Slots less one: a slot is never used by two living entries. */
  readonly mask: number;
  /** Entries that are there. */
  count = 0;
  /** What they count together, in the bytes of RFC 7541 section 4.1. */
  size = 0;
  limit: number;
  /** The newest entry's number. */
  newest = 0;
  /** Where the newest line ends. Lines lie one behind the other, the oldest first. */
  private end = 0;

  /** @param maxSize the most that `limit` will be */
  constructor(maxSize: number) {
    this.limit = maxSize;
    const slots = 2 ** Math.ceil(Math.log2(Math.max(1, Math.floor(maxSize / ENTRY_OVERHEAD))));
    this.mask = slots - 1;
    // Many connections never need it whole: the buffer grows with what is there.
    this.lines = new Lines(slots, EMPTY);
  }

  /** The slot of an entry by its age, which is between 1 and `count`. */
  slot(age: number): number {
    return (this.newest + 1 - age) & this.mask;
  }

  setLimit(limit: number): void {
    this.limit = limit;
    this.evictTo(limit);
  }

  /**
   * Enter a field: what does not fit beside it goes. Returns its slot, whose line's bytes are the caller's to write; -1 when it is larger than
   * the table, which is then empty (RFC 7541 section 4.4).
   */
  add(nameLength: number, valueLength: number): number {
    const size = nameLength + valueLength + ENTRY_OVERHEAD;
    this.evictTo(this.limit - size);
    if (size > this.limit) return -1;
    const length = nameLength + valueLength + LINE_OVERHEAD;
    if (this.end + length > this.lines.bytes.length) this.makeRoom(length);
    const slot = ++this.newest & this.mask;
    const { lines } = this;
    lines.start[slot] = this.end;
    lines.nameLength[slot] = nameLength;
    lines.valueLength[slot] = valueLength;
    this.end += length;
    this.size += size;
    this.count++;
    return slot;
  }

  private evictTo(size: number): void {
    const { lines } = this;
    while (this.size > size && this.count > 0) {
      const slot = this.slot(this.count--);
      this.size -= lines.nameLength[slot]! + lines.valueLength[slot]! + ENTRY_OVERHEAD;
    }
  }

  /** Move the lines to the front; twice the room they take keeps that rare. */
  private makeRoom(length: number): void {
    const { lines } = this;
    const from = this.count === 0 ? this.end : lines.start[this.slot(this.count)]!;
    const living = this.end - from;
    let capacity = Math.max(lines.bytes.length, FIRST_CAPACITY);
    while (2 * (living + length) > capacity) capacity *= 2;
    const target = capacity === lines.bytes.length ? lines.bytes : Buffer.allocUnsafeSlow(capacity);
    lines.bytes.copy(target, 0, from, this.end);
    lines.bytes = target;
    this.end = living;
    for (let age = 1; age <= this.count; age++) {
      const slot = this.slot(age);
      lines.start[slot] = lines.start[slot]! - from;
    }
  }
}
