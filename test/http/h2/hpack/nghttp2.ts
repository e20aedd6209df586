/** nghttp2's HPACK codec, the oracle of the differential test; curl brings its library along on most systems. */
import { dlopen, ptr, toArrayBuffer, type Pointer } from "bun:ffi";
import type { FieldLine } from "./rfc7541.ts";

const SYMBOLS = {
  nghttp2_hd_deflate_new: { args: ["ptr", "usize"], returns: "int" },
  nghttp2_hd_deflate_del: { args: ["ptr"], returns: "void" },
  nghttp2_hd_deflate_change_table_size: { args: ["ptr", "usize"], returns: "int" },
  nghttp2_hd_deflate_hd: { args: ["ptr", "ptr", "usize", "ptr", "usize"], returns: "i64" },
  nghttp2_hd_inflate_new: { args: ["ptr"], returns: "int" },
  nghttp2_hd_inflate_del: { args: ["ptr"], returns: "void" },
  nghttp2_hd_inflate_hd2: { args: ["ptr", "ptr", "ptr", "ptr", "usize", "int"], returns: "i64" },
  nghttp2_hd_inflate_end_headers: { args: ["ptr"], returns: "int" },
  nghttp2_hd_inflate_get_dynamic_table_size: { args: ["ptr"], returns: "usize" },
} as const;

export const NGHTTP2 = open();

function open() {
  for (const name of process.platform === "darwin" ? ["libnghttp2.14.dylib"] : ["libnghttp2.so.14"]) {
    try {
      return dlopen(name, SYMBOLS).symbols;
    } catch {
      // Not on this system.
    }
  }
  return undefined;
}

/** Bytes of an nghttp2_nv: pointers to name and value, their lengths, flags. */
const NV = 40;
const NO_INDEX = 1;
const FINAL = 1;
const EMIT = 2;

const lib = NGHTTP2!;

function made(result: number, holder: BigUint64Array): Pointer {
  if (result !== 0) throw new Error(`nghttp2: error ${result}`);
  return Number(holder[0]) as Pointer;
}

export class Inflater {
  private readonly pointer: Pointer;
  private readonly field = new BigUint64Array(NV / 8);
  private readonly flags = new Int32Array(1);

  constructor() {
    const holder = new BigUint64Array(1);
    this.pointer = made(lib.nghttp2_hd_inflate_new(ptr(holder)), holder);
  }

  /** The fields and which are never to be indexed; undefined: the block is wrong. */
  decode(block: Buffer): { fields: FieldLine[]; neverIndexed: boolean[] } | undefined {
    const fields: FieldLine[] = [];
    const neverIndexed: boolean[] = [];
    // A pointer to no bytes at all is none.
    const input = Buffer.concat([block, Buffer.alloc(1)]);
    for (let at = 0; ; ) {
      const used = Number(lib.nghttp2_hd_inflate_hd2(this.pointer, ptr(this.field), ptr(this.flags), ptr(input, at), block.length - at, 1));
      if (used < 0) return undefined;
      at += used;
      if ((this.flags[0]! & EMIT) !== 0) {
        fields.push([text(this.field[0]!, this.field[2]!), text(this.field[1]!, this.field[3]!)]);
        neverIndexed.push((Number(this.field[4]! & 0xffn) & NO_INDEX) !== 0);
      }
      if ((this.flags[0]! & FINAL) !== 0) break;
      if ((this.flags[0]! & EMIT) === 0 && at === block.length) return undefined;
    }
    lib.nghttp2_hd_inflate_end_headers(this.pointer);
    return { fields, neverIndexed };
  }

  get tableSize(): number {
    return Number(lib.nghttp2_hd_inflate_get_dynamic_table_size(this.pointer));
  }

  close(): void {
    lib.nghttp2_hd_inflate_del(this.pointer);
  }
}

export class Deflater {
  private readonly pointer: Pointer;
  private readonly out = Buffer.alloc(1024 * 1024);
  /** What the list's pointers point to: numbers keep nothing from being collected. */
  held = Buffer.alloc(0);

  constructor() {
    const holder = new BigUint64Array(1);
    this.pointer = made(lib.nghttp2_hd_deflate_new(ptr(holder), 4096), holder);
  }

  setLimit(size: number): void {
    made(lib.nghttp2_hd_deflate_change_table_size(this.pointer, size), new BigUint64Array(1));
  }

  encode(fields: readonly FieldLine[], neverIndexed: (index: number) => boolean): Buffer {
    const bytes = Buffer.from(`${fields.map(([name, value]) => name + value).join("")}.`, "latin1");
    this.held = bytes;
    const list = new BigUint64Array(fields.length * (NV / 8) + 1);
    let at = ptr(bytes) as number;
    for (const [i, [name, value]] of fields.entries()) {
      list.set([at, at + name.length, name.length, value.length, neverIndexed(i) ? NO_INDEX : 0].map(BigInt), i * (NV / 8));
      at += name.length + value.length;
    }
    const length = Number(lib.nghttp2_hd_deflate_hd(this.pointer, ptr(this.out), this.out.length, ptr(list), fields.length));
    if (length < 0) throw new Error(`nghttp2: error ${length}`);
    return Buffer.from(this.out.subarray(0, length));
  }

  close(): void {
    lib.nghttp2_hd_deflate_del(this.pointer);
  }
}

function text(pointer: bigint, length: bigint): string {
  return length === 0n ? "" : Buffer.from(toArrayBuffer(Number(pointer) as Pointer, 0, Number(length))).latin1Slice();
}
