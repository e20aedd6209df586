/** A line of the access log while it is made: bytes, written in place, so that nothing of it is left to be collected. */
import { EIGHT, type Eights } from "./eights.ts";
import { escapeJson, escapeText } from "./escape.ts";

/** The longest that one may be, in bytes. */
export const LONGEST_LINE = 64 * 1024;
/** The longest literal, which is written without a look at what room there is. */
export const LONGEST_LITERAL = 1024;

const ZERO = 0x30;
const DOT = 0x2e;
/** 1: goes into a line as it is. */
const SAFE = Uint8Array.from({ length: 256 }, (_, code) => (code >= 0x20 && code < 0x7f && code !== 0x22 && code !== 0x5c ? 1 : 0));
/** Whole numbers from here on are no 32-bit ones. */
const LARGE = 2 ** 31;

export class Line {
  readonly bytes = Buffer.allocUnsafeSlow(LONGEST_LINE + LONGEST_LITERAL);
  /** The same, for eight at a time. */
  readonly view = new DataView(this.bytes.buffer);
  /** More than LONGEST_LINE: it did not fit, and what there is of it is of no use. */
  length = 0;

  /** @param text ASCII without quotes and the like */
  word(text: string): void {
    const { bytes } = this;
    let at = this.length;
    for (let index = 0; index < text.length; index++) bytes[at++] = text.charCodeAt(index);
    this.length = at;
  }

  eights({ numbers, length }: Eights): void {
    const { view } = this;
    const at = this.length;
    this.length = at + length;
    if (this.length > LONGEST_LINE) return;
    for (let index = 0; index < numbers.length; index++) view.setFloat64(at + index * EIGHT, numbers[index]!, true);
  }

  byte(code: number): void {
    this.bytes[this.length++] = code;
  }

  /** Whatever it is, as a format string has it. */
  text(text: string): void {
    const whole = this.plainStart(text);
    if (whole < text.length) this.word(escapeText(text.slice(whole)));
  }

  /** Whatever it is, as JSON has it between quotes. */
  json(text: string): void {
    const whole = this.plainStart(text);
    if (whole < text.length) this.word(escapeJson(text.slice(whole)));
  }

  /** As `text`, of the bytes [begin, end). */
  textBytes(source: Buffer, begin: number, end: number): void {
    const whole = this.plainBytes(source, begin, end);
    if (whole < end) this.word(escapeText(source.latin1Slice(whole, end)));
  }

  /** As `json`, of the bytes [begin, end). */
  jsonBytes(source: Buffer, begin: number, end: number): void {
    const whole = this.plainBytes(source, begin, end);
    if (whole < end) this.word(escapeJson(source.latin1Slice(whole, end)));
  }

  /** @returns where the first character is that must be escaped; all before it are written */
  private plainStart(text: string): number {
    const { bytes } = this;
    const { length } = text;
    let at = this.length;
    let index = 0;
    for (; index < length; index++) {
      const code = text.charCodeAt(index);
      if (SAFE[code] !== 1) break;
      bytes[at++] = code;
    }
    this.length = at;
    return index;
  }

  private plainBytes(source: Buffer, begin: number, end: number): number {
    const { bytes } = this;
    let at = this.length;
    let index = begin;
    for (; index < end; index++) {
      const code = source[index]!;
      if (SAFE[code] !== 1) break;
      bytes[at++] = code;
    }
    this.length = at;
    return index;
  }

  /** @param value whole, zero or more */
  integer(value: number): void {
    if (value < 10) this.byte(ZERO + value);
    else if (value >= LARGE) this.word(String(value));
    else this.digits(value | 0);
  }

  private digits(value: number): void {
    const { bytes } = this;
    let count = 2;
    for (let limit = 100; value >= limit && count < 10; limit *= 10) count++;
    let at = this.length + count;
    this.length = at;
    let rest = value;
    for (; count > 0; count--) {
      const tenth = (rest / 10) | 0;
      bytes[--at] = ZERO + rest - tenth * 10;
      rest = tenth;
    }
  }

  /** A thousandth of `count`, with three decimals. @param count zero or more */
  thousandths(count: number): void {
    const all = Math.round(count);
    const whole = Math.floor(all / 1000);
    this.integer(whole);
    this.byte(DOT);
    this.threeDigits(all - whole * 1000);
  }

  threeDigits(value: number): void {
    const { bytes } = this;
    const at = this.length;
    const tens = (value / 10) | 0;
    const hundreds = (value / 100) | 0;
    bytes[at] = ZERO + hundreds;
    bytes[at + 1] = ZERO + tens - hundreds * 10;
    bytes[at + 2] = ZERO + value - tens * 10;
    this.length = at + 3;
  }

  toString(): string {
    return this.bytes.latin1Slice(0, this.length);
  }
}
