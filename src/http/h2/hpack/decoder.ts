/** Decodes header blocks (RFC 7541 sections 3 and 6). */
import { COLON, CR, LF, SP } from "../../h1/syntax.ts";
import { DynamicTable, ENTRY_OVERHEAD, LINE_OVERHEAD, Lines } from "./dynamic-table.ts";
import { FieldFlag, isMalformedValue, marksOfName, whyMalformed } from "./field-rules.ts";
import type { HeaderBlock } from "./header-block.ts";
import { HAS_EOS, huffmanDecode } from "./huffman.ts";
import { STATIC_COUNT, STATIC_FIELDS } from "./static-table.ts";

/** An integer's bytes after its prefix: it stays below 2^28 + 2^7. */
const INTEGER_BYTES = 4;

const TRUNCATED = "the block ends within a field";
const NOTHING = Buffer.alloc(0);

const STATIC_LINES = staticLines();
const STATIC_MARKS = Uint16Array.from(STATIC_LINES.start, (start, i) => (i === 0 ? 0 : marksOfName(STATIC_LINES.bytes, start, start + STATIC_LINES.nameLength[i]!)));

/** Slots are indexes: 0 is none. */
function staticLines(): Lines {
  const lines = new Lines(STATIC_COUNT + 1, Buffer.from(STATIC_FIELDS.map(([name, value]) => `${name}: ${value}\r\n`).join("")));
  let start = 0;
  for (const [i, [name, value]] of STATIC_FIELDS.entries()) {
    lines.start[i + 1] = start;
    lines.nameLength[i + 1] = name.length;
    lines.valueLength[i + 1] = value.length;
    start += name.length + value.length + LINE_OVERHEAD;
  }
  return lines;
}

/** One for each connection: every block of it has to come here, in order, also those nobody wants (RFC 9113 section 4.3). */
export class HpackDecoder {
  private readonly table: DynamicTable;
  private readonly maxTableSize: number;
  /** Marks of the dynamic entries, by slot. */
  private readonly marks: Uint16Array;
  // Of the block at work.
  private source: Buffer = NOTHING;
  private position = 0;
  private end = 0;
  private fault: string | undefined = undefined;

  /** @param maxTableSize what our SETTINGS_HEADER_TABLE_SIZE says, in bytes */
  constructor(maxTableSize: number) {
    this.maxTableSize = maxTableSize;
    this.table = new DynamicTable(maxTableSize);
    this.marks = new Uint16Array(this.table.mask + 1);
  }

  /** Entries of the dynamic table. */
  get tableCount(): number {
    return this.table.count;
  }

  /** What they count, in bytes. */
  get tableSize(): number {
    return this.table.size;
  }

  /**
   * Decode a whole block, its fragments joined, from [start, end) of `source`. What `into` had goes.
   *
   * @param maxListSize bytes of names and values and 32 more for each field (RFC 9113 section 6.5.2), checked while decoding
   * @param maxFields fields, each reference counted
   * @returns undefined, or what is wrong: then this decoder is of no more use (COMPRESSION_ERROR)
   */
  decode(source: Buffer, start: number, end: number, into: HeaderBlock, maxListSize: number, maxFields: number): string | undefined {
    into.clear();
    this.source = source;
    this.position = start;
    this.end = end;
    this.fields(into, maxListSize, maxFields);
    this.source = NOTHING;
    if (this.fault !== undefined) into.clear();
    return this.fault;
  }

  private fields(into: HeaderBlock, maxListSize: number, maxFields: number): void {
    const { source, end } = this;
    let listSize = 0;
    let sizeMayChange = true;
    // Entries that came one after the other are often sent so again: their lines are copied in one go.
    let run = STATIC_LINES;
    let runStart = 0;
    let runEnd = 0;
    while (this.position < end) {
      const byte = source[this.position++]!;
      if (byte >= 0x80) {
        sizeMayChange = false;
        const index = byte === 0xff ? this.integer(0x7f) : byte & 0x7f;
        if (!this.isIndex(index)) return;
        const lines = this.linesOf(index);
        const slot = this.slotOf(index);
        const nameLength = lines.nameLength[slot]!;
        const valueLength = lines.valueLength[slot]!;
        listSize += nameLength + valueLength + ENTRY_OVERHEAD;
        if (listSize > maxListSize || into.count >= maxFields) into.tooLarge = true;
        if (into.tooLarge) continue;
        const from = lines.start[slot]!;
        if (from !== runEnd || lines !== run) {
          into.append(run.bytes, runStart, runEnd);
          run = lines;
          runStart = from;
        }
        runEnd = from + nameLength + valueLength + LINE_OVERHEAD;
        const marks = this.marksOf(index, slot);
        if ((marks & FieldFlag.MALFORMED) !== 0) note(into, marks, lines.bytes, from, nameLength, valueLength);
        into.add(into.end + from - runStart, nameLength, valueLength, marks);
      } else if (byte >= 0x40 || byte < 0x20) {
        sizeMayChange = false;
        into.append(run.bytes, runStart, runEnd);
        runStart = runEnd;
        listSize += this.literal(byte, into, maxListSize - listSize, maxFields);
      } else if (sizeMayChange) this.changeSize(byte & 0x1f);
      else this.fail("the table's size changes after a field");
      if (this.fault !== undefined) return;
    }
    into.append(run.bytes, runStart, runEnd);
  }

  /** A literal (RFC 7541 section 6.2); returns what it counts in the list. */
  private literal(byte: number, into: HeaderBlock, room: number, maxFields: number): number {
    const { table } = this;
    const indexed = byte >= 0x40;
    const mask = indexed ? 0x3f : 0x0f;
    let index = byte & mask;
    if (index === mask) index = this.integer(mask);
    const start = into.end;
    let nameEnd: number;
    // An entry may be malformed by its value alone: then its name is looked at anew too.
    let marks: number = FieldFlag.MALFORMED;
    if (index === 0) nameEnd = this.string(into, start);
    else {
      if (!this.isIndex(index)) return 0;
      const lines = this.linesOf(index);
      const slot = this.slotOf(index);
      const from = lines.start[slot]!;
      const nameLength = lines.nameLength[slot]!;
      nameEnd = start + nameLength;
      into.reserve(nameEnd + LINE_OVERHEAD, start);
      lines.bytes.copy(into.bytes, start, from, from + nameLength);
      marks = this.marksOf(index, slot);
    }
    if (nameEnd < 0) return 0;
    into.bytes[nameEnd] = COLON;
    into.bytes[nameEnd + 1] = SP;
    const valueStart = nameEnd + 2;
    const valueEnd = this.string(into, valueStart);
    if (valueEnd < 0) return 0;
    const { bytes } = into;
    bytes[valueEnd] = CR;
    bytes[valueEnd + 1] = LF;

    if ((marks & FieldFlag.MALFORMED) !== 0) marks = marksOfName(bytes, start, nameEnd);
    if (isMalformedValue(marks, bytes, valueStart, valueEnd)) marks |= FieldFlag.MALFORMED;
    const nameLength = nameEnd - start;
    const valueLength = valueEnd - valueStart;
    if (indexed) {
      const slot = table.add(nameLength, valueLength);
      if (slot >= 0) {
        bytes.copy(table.lines.bytes, table.lines.start[slot]!, start, valueEnd + 2);
        this.marks[slot] = marks;
      }
    } else if ((byte & 0x10) !== 0) marks |= FieldFlag.NEVER_INDEXED;

    const size = nameLength + valueLength + ENTRY_OVERHEAD;
    if (size > room || into.count >= maxFields) into.tooLarge = true;
    if (!into.tooLarge) {
      if ((marks & FieldFlag.MALFORMED) !== 0) note(into, marks, bytes, start, nameLength, valueLength);
      into.add(start, nameLength, valueLength, marks);
      into.end = valueEnd + 2;
    }
    return size;
  }

  private changeSize(prefix: number): void {
    const size = prefix === 0x1f ? this.integer(0x1f) : prefix;
    if (size > this.maxTableSize) this.fail(`a table of ${size} bytes, over the limit of ${this.maxTableSize}`);
    else if (size >= 0) this.table.setLimit(size);
  }

  /** A string (RFC 7541 section 5.2) goes to `into.bytes` from `at` on, room for the rest of a line behind it; returns where it ends, or -1. */
  private string(into: HeaderBlock, at: number): number {
    if (this.position >= this.end) return this.fail(TRUNCATED);
    const byte = this.source[this.position++]!;
    let length = byte & 0x7f;
    if (length === 0x7f) length = this.integer(0x7f);
    if (length < 0) return -1;
    const start = this.position;
    if (length > this.end - start) return this.fail("a string goes beyond the block's end");
    this.position = start + length;
    if (byte < 0x80) {
      into.reserve(at + length + LINE_OVERHEAD, at);
      this.source.copy(into.bytes, at, start, start + length);
      return at + length;
    }
    into.reserve(at + 2 * length + LINE_OVERHEAD, at);
    const end = huffmanDecode(this.source, start, start + length, into.bytes, at);
    return end >= 0 ? end : this.fail(end === HAS_EOS ? "EOS in a Huffman string" : "a Huffman string's padding is not up to 7 ones");
  }

  /** What follows a prefix whose bits are all ones (RFC 7541 section 5.1); -1: not an integer. */
  private integer(prefix: number): number {
    let value = prefix;
    for (let i = 0; i < INTEGER_BYTES; i++) {
      if (this.position >= this.end) return this.fail(TRUNCATED);
      const byte = this.source[this.position++]!;
      value += (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return value;
    }
    return this.fail(`an integer of more than ${INTEGER_BYTES} bytes after its prefix`);
  }

  private linesOf(index: number): Lines {
    return index <= STATIC_COUNT ? STATIC_LINES : this.table.lines;
  }

  private slotOf(index: number): number {
    return index <= STATIC_COUNT ? index : this.table.slot(index - STATIC_COUNT);
  }

  private marksOf(index: number, slot: number): number {
    return index <= STATIC_COUNT ? STATIC_MARKS[slot]! : this.marks[slot]!;
  }

  private isIndex(index: number): boolean {
    const last = STATIC_COUNT + this.table.count;
    if (index > 0 && index <= last) return true;
    // Less than 0: integer() has said why.
    if (index >= 0) this.fail(index === 0 ? "index 0" : `index ${index} beyond the last entry's ${last}`);
    return false;
  }

  private fail(what: string): number {
    this.fault = what;
    return -1;
  }
}

/** The first malformed field of a block is the one that is told. */
function note(into: HeaderBlock, marks: number, bytes: Buffer, start: number, nameLength: number, valueLength: number): void {
  const valueStart = start + nameLength + 2;
  into.malformed ??= whyMalformed(marks, bytes, start, start + nameLength, valueStart, valueStart + valueLength);
}
