/** What clients and back ends say to each other: bodies that show whose they are, and a strict reader of HTTP/1.1 that shares nothing with the product's. */
import { randomFrom } from "../support/random.ts";
import { Violation } from "./world.ts";

const PATTERN_BYTES = 512 * 1024;
const PATTERN = (() => {
  const random = randomFrom(4711);
  return Buffer.from(Array.from({ length: PATTERN_BYTES }, () => Math.floor(random() * 256)));
})();
/** The longest body. */
export const MOST_BYTES = 128 * 1024;

function startOf(id: number): number {
  return (Math.imul(id + 1, 0x9e_37_79_b1) >>> 0) % (PATTERN_BYTES - MOST_BYTES);
}

/** Bytes [from, to) of the body that is known by this number; no two bodies have much in common. */
export function bodyOf(id: number, from: number, to: number): Buffer {
  const start = startOf(id);
  return PATTERN.subarray(start + from, start + to);
}

/** Is this what stands at `from` in the body of that number? */
export function isOf(id: number, from: number, bytes: Buffer): boolean {
  const start = startOf(id) + from;
  return from + bytes.length <= MOST_BYTES && PATTERN.compare(bytes, 0, bytes.length, start, start + bytes.length) === 0;
}

export type Framing = { readonly kind: "none" | "chunked" | "close" } | { readonly kind: "length"; readonly length: number };

export interface MessageHead {
  /** The first line. */
  readonly line: string;
  /** By lower-case name; those that came twice are joined by a comma. */
  readonly fields: ReadonlyMap<string, string>;
}

export interface MessageOwner {
  head(head: MessageHead): Framing;
  body(bytes: Buffer): void;
  end(): void;
}

function parseHead(text: string): MessageHead {
  const [line = "", ...rest] = text.split("\r\n");
  const fields = new Map<string, string>();
  for (const each of rest) {
    const colon = each.indexOf(":");
    if (colon <= 0) throw new Violation("messages are well-formed", `field line ${JSON.stringify(each)}`);
    const name = each.slice(0, colon).toLowerCase();
    const value = each.slice(colon + 1).trim();
    const before = fields.get(name);
    fields.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return { line, fields };
}

/** RFC 9112 section 6, for what we send ourselves. */
export function framingOf(fields: ReadonlyMap<string, string>, otherwise: Framing): Framing {
  const coding = fields.get("transfer-encoding");
  const length = fields.get("content-length");
  if (coding !== undefined && length !== undefined) throw new Violation("messages are well-formed", "both Content-Length and Transfer-Encoding");
  if (coding !== undefined) return { kind: "chunked" };
  if (length === undefined) return otherwise;
  if (!/^\d+$/.test(length)) throw new Violation("messages are well-formed", `Content-Length ${length}`);
  return { kind: "length", length: Number(length) };
}

type State = "head" | "length" | "close" | "chunk-size" | "chunk-data" | "chunk-end" | "trailers";

export class MessageReader {
  /** A message has begun and is not whole. */
  get isWithin(): boolean {
    return this.state !== "head" || this.pending.length > 0;
  }
  private state: State = "head";
  private pending: Buffer = Buffer.alloc(0);
  private left = 0;
  private readonly owner: MessageOwner;

  constructor(owner: MessageOwner) {
    this.owner = owner;
  }

  /** What has come of a head that is not whole. */
  get partialHead(): string {
    return this.state === "head" ? this.pending.toString("latin1") : "";
  }

  get untilClose(): boolean {
    return this.state === "close";
  }

  /** The connection has ended. */
  finish(): void {
    if (this.state !== "close") return;
    this.state = "head";
    this.owner.end();
  }

  feed(chunk: Buffer): void {
    this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    while (this.pending.length > 0 && this.step());
  }

  private line(): string | undefined {
    const at = this.pending.indexOf("\r\n");
    if (at < 0) return undefined;
    const text = this.pending.latin1Slice(0, at);
    this.pending = this.pending.subarray(at + 2);
    return text;
  }

  private data(): boolean {
    const part = this.pending.subarray(0, this.left);
    this.pending = this.pending.subarray(part.length);
    this.left -= part.length;
    this.owner.body(part);
    return this.left === 0;
  }

  /** True: there may be more to do. */
  private step(): boolean {
    switch (this.state) {
      case "head": {
        const end = this.pending.indexOf("\r\n\r\n");
        if (end < 0) return false;
        const head = parseHead(this.pending.latin1Slice(0, end));
        this.pending = this.pending.subarray(end + 4);
        this.begin(this.owner.head(head));
        return true;
      }
      case "length":
        if (this.data()) this.whole();
        return true;
      case "close":
        this.left = this.pending.length;
        this.data();
        return false;
      case "chunk-size": {
        const size = this.line();
        if (size === undefined) return false;
        if (!/^[0-9a-f]+$/i.test(size)) throw new Violation("messages are well-formed", `chunk size ${JSON.stringify(size.slice(0, 40))}`);
        this.left = Number.parseInt(size, 16);
        this.state = this.left === 0 ? "trailers" : "chunk-data";
        return true;
      }
      case "chunk-data":
        if (this.data()) this.state = "chunk-end";
        return true;
      case "chunk-end": {
        const empty = this.line();
        if (empty === undefined) return false;
        if (empty !== "") throw new Violation("messages are well-formed", "no CRLF behind a chunk");
        this.state = "chunk-size";
        return true;
      }
      case "trailers": {
        const line = this.line();
        if (line === undefined) return false;
        if (line === "") this.whole();
        return true;
      }
      default:
        return false;
    }
  }

  private begin(framing: Framing): void {
    switch (framing.kind) {
      case "none":
        this.whole();
        return;
      case "chunked":
        this.state = "chunk-size";
        return;
      case "close":
        this.state = "close";
        return;
      case "length":
        this.left = framing.length;
        if (framing.length === 0) this.whole();
        else this.state = "length";
    }
  }

  private whole(): void {
    this.state = "head";
    this.owner.end();
  }
}
