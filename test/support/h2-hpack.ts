/**
 * HPACK (RFC 7541) for tests, written bit by bit after the specification and for nothing but being right: the oracle for what Fairlead sends.
 *
 * Encoding is by hand: each function below makes one representation, so that a test says exactly which bytes go out.
 */

export type Field = readonly [name: string, value: string];

/** Appendix A: `name` or `name value`; the first one has index 1. */
const STATIC: readonly Field[] = `
:authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|:status 206|:status 304|:status 400|:status 404|:status 500
accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|content-disposition
content-encoding|content-language|content-length|content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match
if-range|if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|server|set-cookie
strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate`
  .trim()
  .split(/[|\n]/)
  .map((line) => [line.split(" ", 1)[0]!, line.split(" ").slice(1).join(" ")]);

/** Appendix B: the length of each symbol's code as runs of `length×count`; codes of one length follow each other in the order of their symbols. */
const CODE_LENGTHS: readonly number[] = `
13 23 28x7 24 30 28x2 30 28x8 30 28x9 6 10x2 12 13 6 8 11 10x2 8 11 8 6x3 5x3 6x7 7 8 15 6 12 10 13 6 7x22 8 7 8 13 19 13 14 6 15 5 6 5 6 5 6x3 5 7x2 6x3 5 6 7 6 5x2 6 7x5 15 11 14 13 28
20 22 20x2 22x3 23 22 23x5 24 23 24x2 22 23 24 23x4 21 22 23 22 23x2 24 22 21 20 22x2 23x2 21 23 22x2 24 21 22 23x2 21x2 22 21 23 22 23x2 20 22x3 23 22x2 23
26x2 20 19 22 23 22 25 26x3 27x2 26 24 25 19 21 26 27x2 26 27 24 21x2 26x2 28 27x3 20 24 20 21 22 21x2 23 22x2 25x2 24x2 26 23 26 27 26x2 27x5 28 27x5 26 30`
  .trim()
  .split(/\s+/)
  .flatMap((run) => {
    const [length, count = "1"] = run.split("x");
    return Array.from({ length: Number(count) }, () => Number(length));
  });

export const EOS = 256;

/** Each symbol's code as a text of 0 and 1. */
const CODES: readonly string[] = (() => {
  const codes: string[] = [];
  let code = 0;
  for (let length = 5; length <= 30; length++) {
    code *= 2;
    for (const [symbol, its] of CODE_LENGTHS.entries()) if (its === length) codes[symbol] = (code++).toString(2).padStart(length, "0");
  }
  return codes;
})();
/** The codes as a tree: where each bit leads to from a node, the first one being 0. Above 0: another node; below: a symbol, counted down from -1. */
const TREE: readonly (readonly [number, number])[] = (() => {
  const tree: [number, number][] = [[0, 0]];
  for (const [symbol, code] of CODES.entries()) {
    let node = 0;
    for (const [at, bit] of [...code].entries()) {
      if (at === code.length - 1) tree[node]![Number(bit)] = -1 - symbol;
      else node = tree[node]![Number(bit)] ||= tree.push([0, 0]) - 1;
    }
  }
  return tree;
})();

function bytesOfBits(bits: string): Buffer {
  return Buffer.from(bits.match(/.{8}/g)?.map((byte) => Number.parseInt(byte, 2)) ?? []);
}

/** The symbols' codes, then `padding`, which defaults to as many ones as fill the last byte. */
export function huffman(symbols: string | readonly number[], padding?: string): Buffer {
  const bits = [...(typeof symbols === "string" ? Buffer.from(symbols, "latin1") : symbols)].map((symbol) => CODES[symbol]!).join("");
  return bytesOfBits(bits + (padding ?? "1".repeat((8 - (bits.length % 8)) % 8)));
}

export class HpackError extends Error {}

function unhuffman(bytes: Buffer): string {
  const out: number[] = [];
  let node = 0;
  // Of the code under way.
  let length = 0;
  let ones = true;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      const value = (byte >> bit) & 1;
      const next = TREE[node]![value]!;
      length++;
      ones &&= value === 1;
      if (next >= 0) {
        node = next;
        continue;
      }
      if (next === -1 - EOS) throw new HpackError("EOS in a string (section 5.2)");
      out.push(-1 - next);
      [node, length, ones] = [0, 0, true];
    }
  }
  if (length > 7 || !ones) throw new HpackError(`padding of ${length} bits (section 5.2)`);
  return Buffer.from(out).toString("latin1");
}

/** An integer with a prefix of `bits` bits (section 5.1) whose first byte also has `flags`. */
export function integer(value: number, bits: number, flags = 0): Buffer {
  const most = 2 ** bits - 1;
  if (value < most) return Buffer.from([flags | value]);
  const bytes = [flags | most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

/** A string literal (section 5.2); text stands for its latin1 bytes. */
export function text(value: string, coded = false): Buffer {
  const bytes = coded ? huffman(value) : Buffer.from(value, "latin1");
  return Buffer.concat([integer(bytes.length, 7, coded ? 128 : 0), bytes]);
}

/** A field of one of the tables (section 6.1). */
export function indexed(index: number): Buffer {
  return integer(index, 7, 128);
}

/** How a literal is represented: its first bits and the size of its prefix (section 6.2). */
const LITERALS = { incremental: [64, 6], plain: [0, 4], never: [16, 4] } as const;

/** A literal field; its name is an index or a text of its own. */
export function literal(name: string | number, value: string, how: keyof typeof LITERALS = "plain", coded = false): Buffer {
  const [flags, bits] = LITERALS[how];
  const head = typeof name === "number" ? integer(name, bits, flags) : Buffer.concat([integer(0, bits, flags), text(name, coded)]);
  return Buffer.concat([head, text(value, coded)]);
}

/** A dynamic table size update (section 6.3). */
export function sizeUpdate(size: number): Buffer {
  return integer(size, 5, 32);
}

/** All fields as literals that no table takes notice of. */
export function block(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.map(([name, value]) => literal(name, value)));
}

/** Strict; one for each direction of a connection. */
export class HpackDecoder {
  /** Entries of the dynamic table, the newest first. */
  private readonly entries: Field[] = [];
  private size = 0;
  private capacity = 4096;
  private limit = 4096;
  private mustShrink = false;
  private bytes: Buffer = Buffer.alloc(0);
  private at = 0;

  /** What SETTINGS_HEADER_TABLE_SIZE allows, once the peer has acknowledged it. */
  setLimit(limit: number): void {
    this.limit = limit;
    if (limit < this.capacity) this.mustShrink = true;
  }

  /** @throws HpackError */
  decode(bytes: Buffer): Field[] {
    [this.bytes, this.at] = [bytes, 0];
    const fields: Field[] = [];
    while (this.at < bytes.length) {
      const first = bytes[this.at]!;
      if (first >= 32 && first < 64) {
        if (fields.length > 0) throw new HpackError("a table size update behind a field (section 4.2)");
        this.resize(this.integer(5));
        continue;
      }
      if (this.mustShrink) throw new HpackError("no table size update after the limit shrank (section 4.2)");
      if (first >= 128) fields.push(this.entry(this.integer(7)));
      else fields.push(this.literal(first >= 64));
    }
    return fields;
  }

  private literal(keep: boolean): Field {
    const index = this.integer(keep ? 6 : 4);
    const field: Field = [index === 0 ? this.text() : this.entry(index)[0], this.text()];
    if (keep) this.insert(field);
    return field;
  }

  private entry(index: number): Field {
    const field = index <= STATIC.length ? STATIC[index - 1] : this.entries[index - STATIC.length - 1];
    if (field === undefined) throw new HpackError(`index ${index} with ${this.entries.length} entries (section 2.3.3)`);
    return field;
  }

  private insert(field: Field): void {
    this.entries.unshift(field);
    this.size += sizeOf(field);
    this.evict();
  }

  private resize(capacity: number): void {
    if (capacity > this.limit) throw new HpackError(`table size ${capacity} above ${this.limit} (section 6.3)`);
    this.capacity = capacity;
    this.mustShrink = false;
    this.evict();
  }

  private evict(): void {
    while (this.size > this.capacity) this.size -= sizeOf(this.entries.pop()!);
  }

  private byte(): number {
    if (this.at >= this.bytes.length) throw new HpackError("the block ends inside a representation");
    return this.bytes[this.at++]!;
  }

  private integer(bits: number): number {
    const most = 2 ** bits - 1;
    let value = this.byte() & most;
    if (value < most) return value;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.byte();
      value += (byte & 127) * factor;
      if (value > 2 ** 31) throw new HpackError("an integer beyond all measure (section 5.1)");
      if (byte < 128) return value;
    }
  }

  private text(): string {
    const coded = (this.bytes[this.at] ?? 0) >= 128;
    const length = this.integer(7);
    const end = this.at + length;
    if (end > this.bytes.length) throw new HpackError("the block ends inside a string");
    const bytes = this.bytes.subarray(this.at, end);
    this.at = end;
    return coded ? unhuffman(bytes) : bytes.toString("latin1");
  }
}

/** What an entry counts in the dynamic table (section 4.1). */
export function sizeOf([name, value]: Field): number {
  return name.length + value.length + 32;
}
