/** Header blocks as many encoders write them: literals plain, Huffman coded and indexed, references to both tables, size updates, as the dice say (RFC 7541). */
import { type Field, indexed, literal, sizeOf, sizeUpdate } from "../support/h2-hpack.ts";
import type { Dice } from "../support/random.ts";

/** What everyone may use before anything else is agreed. */
const TABLE_BYTES = 4_096;
const STATIC_ENTRIES = 61;
/** Of the static table: what we say often. */
const STATIC = new Map([[":method GET", 2], [":method POST", 3], [":scheme http", 6], [":status 200", 8], [":status 204", 9], [":status 304", 11], [":status 404", 13], [":status 500", 14]]);
const STATIC_NAMES = new Map([[":authority", 1], [":method", 2], [":path", 4], [":status", 8], ["content-length", 28]]);

/** One for each direction of a connection. */
export class HpackWriter {
  private readonly dice: Dice;
  /** Entries of the dynamic table, the newest first. */
  private readonly entries: Field[] = [];
  private size = 0;
  private capacity = TABLE_BYTES;

  constructor(dice: Dice) {
    this.dice = dice;
  }

  block(fields: readonly Field[]): Buffer {
    const { dice } = this;
    const parts: Buffer[] = [];
    if (dice.chance(0.05)) {
      this.capacity = dice.chance(0.3) ? 0 : dice.below(TABLE_BYTES + 1);
      this.evict();
      parts.push(sizeUpdate(this.capacity));
    }
    for (const field of fields) parts.push(this.field(field));
    return Buffer.concat(parts);
  }

  private field(field: Field): Buffer {
    const { dice } = this;
    const [name, value] = field;
    const known = STATIC.get(`${name} ${value}`);
    if (known !== undefined && dice.chance(0.8)) return indexed(known);
    const same = this.entries.findIndex((entry) => entry[0] === name && entry[1] === value);
    if (same >= 0 && dice.chance(0.8)) return indexed(STATIC_ENTRIES + 1 + same);
    const named = this.entries.findIndex((entry) => entry[0] === name);
    const index = named >= 0 && dice.chance(0.5) ? STATIC_ENTRIES + 1 + named : STATIC_NAMES.get(name);
    const how = dice.one(["incremental", "incremental", "plain", "never"] as const);
    if (how === "incremental") this.insert(field);
    return literal(index ?? name, value, how, dice.chance(0.2));
  }

  private insert(field: Field): void {
    this.entries.unshift(field);
    this.size += sizeOf(field);
    this.evict();
  }

  private evict(): void {
    while (this.size > this.capacity) this.size -= sizeOf(this.entries.pop()!);
  }
}
