/** Fields of a head through HPACK. */
import type { FieldSink } from "../forward.ts";
import type { Head } from "../h1/head.ts";
import type { HpackEncoder } from "./hpack/encoder.ts";

interface Line {
  readonly name: string;
  readonly value: string;
}

/** Lines of our own repeat: with each request of a client, with each reply of a listener. */
const split = new Map<string, readonly Line[]>();
const MOST_REMEMBERED = 1_000;
/** A line that names a time is not worth remembering. */
const LONGEST_REMEMBERED = 256;

function linesOf(text: string): readonly Line[] {
  const known = split.get(text);
  if (known !== undefined) return known;
  const lines = text
    .split("\r\n")
    .filter((line) => line !== "")
    .map((line) => {
      const colon = line.indexOf(":");
      return { name: line.slice(0, colon).toLowerCase(), value: line.slice(colon + 1).trim() };
    });
  if (text.length <= LONGEST_REMEMBERED) {
    if (split.size >= MOST_REMEMBERED) split.clear();
    split.set(text, lines);
  }
  return lines;
}

/** Names of our own as lines have them, `X-Forwarded-Host: `, in small letters. */
const small = new Map<string, string>();

function nameOf(written: string): string {
  let name = small.get(written);
  if (name === undefined) small.set(written, (name = written.slice(0, -2).toLowerCase()));
  return name;
}

export class HpackSink implements FieldSink {
  /** A field that is left out, in lower case. */
  omit: string | undefined = undefined;
  readonly encoder: HpackEncoder;

  constructor(encoder: HpackEncoder) {
    this.encoder = encoder;
  }

  fields(head: Head, from: number, to: number): void {
    const { encoder } = this;
    const { buffer, nameStart, nameEnd, valueStart, valueEnd } = head;
    for (let i = from; i < to; i++) if (this.omit === undefined || head.name(i).toLowerCase() !== this.omit) encoder.field(buffer, nameStart[i]!, nameEnd[i]!, valueStart[i]!, valueEnd[i]!);
  }

  text(lines: string): void {
    for (const { name, value } of linesOf(lines)) this.encoder.text(name, value);
  }

  value(name: string, buffer: Buffer, start: number, end: number): void {
    this.encoder.value(nameOf(name), buffer, start, end);
  }

  once(name: string, value: string): void {
    this.encoder.text(nameOf(name), value);
  }
}
