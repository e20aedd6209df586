/**
 * Texts of a request where they stand in the bytes of its head: who writes them on at once needs no strings. Places count from where the head begins, for
 * its bytes may move while the request is under way.
 */
import type { Account } from "./account.ts";

/** Texts by their place in `places`; the fields that accounts tell follow, in their order. */
export const Slot = { METHOD: 0, HOST: 1, PATH: 2, REQUEST_ID: 3, FIELDS: 4 } as const;

/** Stands for a begin: the text is not one run of bytes. */
const SCATTERED = -1;

export class HeadText {
  /** Undefined: there is no head. */
  buffer: Buffer | undefined = undefined;
  /** Where the head begins in it. */
  base = 0;
  /** Begin and end of each text. */
  private readonly places: number[] = [];
  /** Texts that are not one run of bytes, by their slots. */
  private scattered: Map<number, string> | undefined = undefined;
  private count = 0;

  clear(): void {
    this.count = 0;
    this.scattered = undefined;
  }

  /** Nothing has been taken down. */
  get isEmpty(): boolean {
    return this.count === 0;
  }

  /** The next slot's text. */
  add(begin: number, end: number): void {
    const at = this.count++ * 2;
    this.places[at] = begin;
    this.places[at + 1] = end;
  }

  addScattered(text: string): void {
    (this.scattered ??= new Map()).set(this.count, text);
    this.add(SCATTERED, SCATTERED);
  }

  /** It stands in `buffer` as it is; an empty one too. */
  isWhole(slot: number): boolean {
    return slot < this.count && this.places[slot * 2]! >= 0 && this.buffer !== undefined;
  }

  /** Of one that is whole: its begin in `buffer`. */
  begin(slot: number): number {
    return this.base + this.places[slot * 2]!;
  }

  end(slot: number): number {
    return this.base + this.places[slot * 2 + 1]!;
  }

  /** "" where nothing is known. */
  text(slot: number): string {
    if (!this.isWhole(slot)) return this.scattered?.get(slot) ?? "";
    const begin = this.begin(slot);
    const end = this.end(slot);
    return begin === end ? "" : this.buffer!.latin1Slice(begin, end);
  }
}

/** An account that is read at once, with the bytes that its texts are made of. */
export interface Passing extends Account {
  readonly text?: HeadText | undefined;
  /** The client's address without its port. */
  readonly address?: string;
}
