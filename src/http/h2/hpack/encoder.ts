/** Encodes header blocks (RFC 7541 sections 2.2 and 6). */
import { LOWER } from "../../fields.ts";
import { hashName, hashValue, sameName, sameValue } from "./bytes.ts";
import { Chains } from "./chains.ts";
import { DynamicTable, ENTRY_OVERHEAD } from "./dynamic-table.ts";
import { AS_IS, LOWERED, huffmanEncode, huffmanLength, type HuffmanCode } from "./huffman.ts";
import { Indexing, knownName, type KnownName } from "./known-names.ts";
import { STATIC_COUNT, STATIC_FIELDS } from "./static-table.ts";

/** What a peer's table holds before it says otherwise (RFC 9113 section 6.5.2), and the most of it that is used, in bytes. */
const MAX_TABLE_SIZE = 4096;
/** A secret of fewer bytes could be guessed. */
const SHORT = 20;
/** A field of more than this part of the table would drive out too much. */
const LARGE = 3 / 4;

/** The first byte of each representation: RFC 7541 section 6. */
const INDEXED = 0x80;
const LITERAL_ADDED = 0x40;
const SIZE_UPDATE = 0x20;
const LITERAL_NEVER = 0x10;
const LITERAL = 0;
const HUFFMAN = 0x80;

/** An integer below 2^28 with its prefix. */
const INTEGER_BYTES = 5;
const NOTHING = Buffer.alloc(0);

/** Where the bytes of text() and status() are put together; used up before they return. */
let scratch = Buffer.allocUnsafeSlow(1024);
const STATUS = Buffer.from(":status000");
const STATUS_NAME = 7;
/** The static table's index of each status; 0: none. */
const STATUS_INDEX = new Uint8Array(1000);
for (const [i, [name, value]] of STATIC_FIELDS.entries()) if (name === ":status") STATUS_INDEX[Number(value)] = i + 1;

/** One for each connection. Its blocks have to be sent in the order they were made. */
export class HpackEncoder {
  private readonly table = new DynamicTable(MAX_TABLE_SIZE);
  private readonly byField = new Chains(this.table);
  private readonly byName = new Chains(this.table);
  /** The smallest limit since the last block, when there was another. */
  private smallestLimit = -1;
  private out: Buffer = NOTHING;
  /** Where the block ends in `out`. */
  position = 0;

  /** What the entries of the peer's table count after the blocks so far, in bytes. */
  get tableSize(): number {
    return this.table.size;
  }

  /** The most bytes that a block takes: names and values of `length` bytes together in `fields` fields. */
  static bound(fields: number, length: number): number {
    return length + fields * (3 * INTEGER_BYTES) + 2 * INTEGER_BYTES;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE, in bytes; the next block says how much of it is used (RFC 7541 section 4.2). */
  setLimit(size: number): void {
    const limit = Math.min(size, MAX_TABLE_SIZE);
    if (limit === this.table.limit) return;
    this.smallestLimit = this.smallestLimit < 0 ? limit : Math.min(this.smallestLimit, limit);
    this.table.setLimit(limit);
  }

  /** A block begins: its bytes go to `out` from `at` on, where there is room for `bound`. */
  begin(out: Buffer, at: number): void {
    this.out = out;
    this.position = at;
    if (this.smallestLimit < 0) return;
    if (this.smallestLimit < this.table.limit) this.integer(SIZE_UPDATE, 0x1f, this.smallestLimit);
    this.integer(SIZE_UPDATE, 0x1f, this.table.limit);
    this.smallestLimit = -1;
  }

  /** The pseudo-field of a reply: 100 to 999. */
  status(code: number): void {
    const index = STATUS_INDEX[code]!;
    if (index > 0) {
      this.out[this.position++] = INDEXED | index;
      return;
    }
    STATUS[STATUS_NAME] = 0x30 + Math.floor(code / 100);
    STATUS[STATUS_NAME + 1] = 0x30 + (Math.floor(code / 10) % 10);
    STATUS[STATUS_NAME + 2] = 0x30 + (code % 10);
    this.field(STATUS, 0, STATUS_NAME, STATUS_NAME, STATUS.length);
  }

  /** A field of latin-1 characters. */
  text(name: string, value: string): void {
    const end = name.length + value.length;
    if (end > scratch.length) scratch = Buffer.allocUnsafeSlow(2 * end);
    for (let i = 0; i < name.length; i++) scratch[i] = name.charCodeAt(i);
    for (let i = 0; i < value.length; i++) scratch[name.length + i] = value.charCodeAt(i);
    this.field(scratch, 0, name.length, name.length, end);
  }

  /** A field whose value is bytes that lie elsewhere than its name. @param name in small letters */
  value(name: string, source: Buffer, start: number, end: number): void {
    const length = name.length + end - start;
    if (length > scratch.length) scratch = Buffer.allocUnsafeSlow(2 * length);
    for (let i = 0; i < name.length; i++) scratch[i] = name.charCodeAt(i);
    for (let i = start, at = name.length; i < end; i++) scratch[at++] = source[i]!;
    this.field(scratch, 0, name.length, name.length, length);
  }

  /**
   * A field; capitals in its name become small letters.
   *
   * @param neverIndexed it came as a literal that no table may hold (FieldFlag.NEVER_INDEXED), and goes on as one: RFC 7541 section 6.2.3
   */
  field(source: Buffer, nameStart: number, nameEnd: number, valueStart: number, valueEnd: number, neverIndexed = false): void {
    const nameLength = nameEnd - nameStart;
    const valueLength = valueEnd - valueStart;
    const nameHash = hashName(source, nameStart, nameEnd);
    const hash = nameHash ^ hashValue(source, valueStart, valueEnd);
    const age = neverIndexed ? 0 : this.findField(hash, source, nameStart, nameLength, valueStart, valueLength);
    if (age > 0) {
      this.integer(INDEXED, 0x7f, STATIC_COUNT + age);
      return;
    }
    const known = knownName(source, nameStart, nameEnd, nameHash);
    const index = neverIndexed ? 0 : staticIndex(known, source, valueStart, valueLength);
    if (index > 0) {
      this.integer(INDEXED, 0x7f, index);
      return;
    }

    const indexing = neverIndexed ? Indexing.NEVER : this.indexing(known, nameLength, valueLength);
    const nameIndex = known.index > 0 ? known.index : this.findName(nameHash, source, nameStart, nameLength);
    if (indexing === Indexing.ADD) this.integer(LITERAL_ADDED, 0x3f, nameIndex);
    else this.integer(indexing === Indexing.NEVER ? LITERAL_NEVER : LITERAL, 0x0f, nameIndex);
    if (nameIndex === 0) this.string(source, nameStart, nameEnd, LOWERED);
    this.string(source, valueStart, valueEnd, AS_IS);
    if (indexing !== Indexing.ADD) return;
    this.add(source, nameStart, nameEnd, valueStart, valueEnd);
    this.byField.add(hash);
    this.byName.add(nameHash);
  }

  /** The age of the entry that is this field; 0: there is none. */
  private findField(hash: number, source: Buffer, nameStart: number, nameLength: number, valueStart: number, valueLength: number): number {
    const { table, byField } = this;
    const { lines } = table;
    for (let age = byField.first(hash); age > 0; age = byField.next(age, hash)) {
      const slot = table.slot(age);
      if (lines.nameLength[slot] !== nameLength || lines.valueLength[slot] !== valueLength) continue;
      const start = lines.start[slot]!;
      if (sameName(source, nameStart, lines.bytes, start, nameLength) && sameValue(source, valueStart, lines.bytes, start + nameLength, valueLength)) return age;
    }
    return 0;
  }

  /** The index of an entry with this name; 0: there is none. */
  private findName(hash: number, source: Buffer, start: number, length: number): number {
    const { table, byName } = this;
    const { lines } = table;
    for (let age = byName.first(hash); age > 0; age = byName.next(age, hash)) {
      const slot = table.slot(age);
      if (lines.nameLength[slot] === length && sameName(source, start, lines.bytes, lines.start[slot]!, length)) return STATIC_COUNT + age;
    }
    return 0;
  }

  private indexing(known: KnownName, nameLength: number, valueLength: number): number {
    const { indexing } = known;
    if (indexing === Indexing.NEVER_IF_SHORT && valueLength < SHORT) return Indexing.NEVER;
    if (indexing === Indexing.WITHOUT || indexing === Indexing.NEVER) return indexing;
    return nameLength + valueLength + ENTRY_OVERHEAD > LARGE * this.table.limit ? Indexing.WITHOUT : Indexing.ADD;
  }

  private add(source: Buffer, nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void {
    const { lines } = this.table;
    const slot = this.table.add(nameEnd - nameStart, valueEnd - valueStart);
    const start = lines.start[slot]!;
    copySmall(source, nameStart, nameEnd, lines.bytes, start);
    source.copy(lines.bytes, start + nameEnd - nameStart, valueStart, valueEnd);
  }

  /** RFC 7541 section 5.2; Huffman coding only where it is shorter. */
  private string(source: Buffer, start: number, end: number, code: HuffmanCode): void {
    const { out } = this;
    const length = huffmanLength(source, start, end, code);
    if (length < end - start) {
      this.integer(HUFFMAN, 0x7f, length);
      this.position = huffmanEncode(source, start, end, code, out, this.position);
      return;
    }
    this.integer(0, 0x7f, end - start);
    if (code === LOWERED) copySmall(source, start, end, out, this.position);
    else source.copy(out, this.position, start, end);
    this.position += end - start;
  }

  /** RFC 7541 section 5.1: `mask` is the prefix with all its bits set. */
  private integer(first: number, mask: number, value: number): void {
    const { out } = this;
    if (value < mask) {
      out[this.position++] = first | value;
      return;
    }
    out[this.position++] = first | mask;
    let rest = value - mask;
    for (; rest >= 0x80; rest >>>= 7) out[this.position++] = rest | 0x80;
    out[this.position++] = rest;
  }
}

/** The static entry that is a field with this name; 0: none. */
function staticIndex({ index, values }: KnownName, source: Buffer, start: number, length: number): number {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value.length === length && sameValue(source, start, value, 0, length)) return index + i;
  }
  return 0;
}

/** Copy a name in small letters. */
function copySmall(source: Buffer, start: number, end: number, out: Buffer, at: number): void {
  for (let i = start; i < end; i++) out[at++] = LOWER[source[i]!]!;
}
