/** A decoded header block: its fields as HTTP/1 lines, and where in them is what. */

const FIRST_BYTES = 4096;
const FIRST_FIELDS = 64;

/**
 * Reused from block to block; what must last is copied. Memory stays at what its largest block took: at most the list limit and what one block
 * of frames may expand to.
 */
export class HeaderBlock {
  /** The fields as `name: value\r\n`, one behind the other, pseudo-fields too; whole when `tooLarge` is false. May be another buffer after each block. */
  bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  /** Where the last line ends. */
  end = 0;
  /** Fields that are here. */
  count = 0;
  /** Where each field's name is in `bytes`. */
  nameStart = new Int32Array(FIRST_FIELDS);
  nameEnd = new Int32Array(FIRST_FIELDS);
  valueStart = new Int32Array(FIRST_FIELDS);
  valueEnd = new Int32Array(FIRST_FIELDS);
  /** Where the next field begins, past this one's CRLF. */
  lineEnd = new Int32Array(FIRST_FIELDS);
  /** FieldFlag bits. */
  flags = new Uint8Array(FIRST_FIELDS);
  /** Of a field with FieldFlag.PSEUDO: which, in `Pseudo`. Of another: its id in `Name`. */
  id = new Uint8Array(FIRST_FIELDS);
  /** What makes the whole message malformed first (RFC 9113 section 8.2); undefined when nothing does. No HPACK error: the tables stay right. */
  malformed: string | undefined = undefined;
  /** The list went over a limit: nothing more was stored, but decoded, for the sake of the table. */
  tooLarge = false;

  clear(): void {
    this.end = 0;
    this.count = 0;
    this.malformed = undefined;
    this.tooLarge = false;
  }

  name(index: number): string {
    return this.bytes.latin1Slice(this.nameStart[index]!, this.nameEnd[index]!);
  }

  value(index: number): string {
    return this.bytes.latin1Slice(this.valueStart[index]!, this.valueEnd[index]!);
  }

  /** See to it that `bytes` has at least `length`; [0, used) is kept. */
  reserve(length: number, used: number): void {
    if (length <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.bytes.length));
    this.bytes.copy(grown, 0, 0, used);
    this.bytes = grown;
  }

  /** Append the lines [start, end) of `source`. */
  append(source: Buffer, start: number, end: number): void {
    if (start === end) return;
    const after = this.end + end - start;
    this.reserve(after, this.end);
    source.copy(this.bytes, this.end, start, end);
    this.end = after;
  }

  /** Say what the line at `start` is: its marks are those of field-rules.ts. */
  add(start: number, nameLength: number, valueLength: number, marks: number): void {
    const index = this.count++;
    if (index === this.flags.length) this.moreFields();
    const nameEnd = start + nameLength;
    const valueEnd = nameEnd + 2 + valueLength;
    this.nameStart[index] = start;
    this.nameEnd[index] = nameEnd;
    this.valueStart[index] = nameEnd + 2;
    this.valueEnd[index] = valueEnd;
    this.lineEnd[index] = valueEnd + 2;
    this.flags[index] = marks;
    this.id[index] = marks >>> 8;
  }

  private moreFields(): void {
    const length = 2 * this.flags.length;
    this.nameStart = grown(this.nameStart, length);
    this.nameEnd = grown(this.nameEnd, length);
    this.valueStart = grown(this.valueStart, length);
    this.valueEnd = grown(this.valueEnd, length);
    this.lineEnd = grown(this.lineEnd, length);
    this.flags = grown(this.flags, length);
    this.id = grown(this.id, length);
  }
}

function grown<T extends Int32Array | Uint8Array>(array: T, length: number): T {
  const larger = new (array.constructor as new (length: number) => T)(length);
  larger.set(array);
  return larger;
}
