/** Both ends of a connection's compression for tests: fields as pairs of strings, blocks as bytes. */
import { HpackDecoder } from "../../../../src/http/h2/hpack/decoder.ts";
import { HpackEncoder } from "../../../../src/http/h2/hpack/encoder.ts";
import { HeaderBlock } from "../../../../src/http/h2/hpack/header-block.ts";
import type { FieldLine } from "./rfc7541.ts";

export const NO_LIMIT = 2 ** 30;

export function fieldsOf(block: HeaderBlock): FieldLine[] {
  return Array.from({ length: block.count }, (_, i) => [block.name(i), block.value(i)]);
}

export interface Decoded {
  readonly fault: string | undefined;
  readonly fields: FieldLine[];
  readonly malformed: string | undefined;
  readonly tooLarge: boolean;
  readonly flags: number[];
  readonly ids: number[];
}

/** A decoder; each block comes at an offset and has other bytes behind it, as in a read buffer. */
export class Receiver {
  readonly decoder: HpackDecoder;
  readonly block = new HeaderBlock();

  constructor(maxTableSize = 4096) {
    this.decoder = new HpackDecoder(maxTableSize);
  }

  decode(bytes: Buffer, maxListSize = NO_LIMIT, maxFields = NO_LIMIT): Decoded {
    const source = Buffer.concat([Buffer.alloc(9, 0x82), bytes, Buffer.alloc(9, 0x82)]);
    const { block } = this;
    const fault = this.decoder.decode(source, 9, 9 + bytes.length, block, maxListSize, maxFields);
    return {
      fault,
      fields: fieldsOf(block),
      malformed: block.malformed,
      tooLarge: block.tooLarge,
      flags: [...block.flags.subarray(0, block.count)],
      ids: [...block.id.subarray(0, block.count)],
    };
  }

  /** The dynamic table, the newest entry first. */
  table(): FieldLine[] {
    const indexes = Array.from({ length: this.decoder.tableCount }, (_, i) => 62 + i);
    return this.decode(Buffer.concat(indexes.map((index) => integer(0x80, 7, index)))).fields;
  }
}

/** An encoder and the bytes of its blocks. */
export class Sender {
  readonly encoder = new HpackEncoder();
  private readonly out = Buffer.alloc(256 * 1024);

  /** The fields' bytes come from a buffer, as when they are forwarded. */
  encode(fields: readonly FieldLine[], neverIndexed: (index: number) => boolean = () => false): Buffer {
    return this.block((encoder) => {
      for (const [i, [name, value]] of fields.entries()) {
        const source = Buffer.from(`${name}: ${value}\r\n`, "latin1");
        encoder.field(source, 0, name.length, name.length + 2, source.length - 2, neverIndexed(i));
      }
    }, HpackEncoder.bound(fields.length, fields.reduce((sum, [name, value]) => sum + name.length + value.length, 0)));
  }

  /** @param bound the most bytes that it may take */
  block(write: (encoder: HpackEncoder) => void, bound = this.out.length - 7): Buffer {
    this.out.fill(0xee);
    this.encoder.begin(this.out, 7);
    write(this.encoder);
    const { position } = this.encoder;
    if (position - 7 > bound) throw new Error(`a block of ${position - 7} bytes, over the bound of ${bound}`);
    if (this.out[6] !== 0xee || this.out[position] !== 0xee) throw new Error("written outside of the block");
    return Buffer.from(this.out.subarray(7, position));
  }
}

/** RFC 7541 section 5.1, written anew: `first` has what is above the prefix. */
export function integer(first: number, prefixBits: number, value: number): Buffer {
  const most = 2 ** prefixBits - 1;
  if (value < most) return Buffer.from([first | value]);
  const bytes = [first | most];
  for (value -= most; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Buffer.from([...bytes, value]);
}

/** A string without Huffman coding. */
export function plain(text: string): Buffer {
  return Buffer.concat([integer(0, 7, text.length), Buffer.from(text, "latin1")]);
}

/** A literal field with its name: 0x40 adds it to the table, 0 does not, 0x10 forbids it. */
export function literal(kind: 0x40 | 0 | 0x10, name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([kind]), plain(name), plain(value)]);
}
