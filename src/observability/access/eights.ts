/** ASCII as numbers that look the same in memory, eight bytes each: a line is made of few stores then, not of one for each byte. */

/** Bytes that are written at a time. */
export const EIGHT = 8;

export interface Eights {
  readonly numbers: Float64Array;
  /** Of the text, in bytes; what the last number has beyond it is overwritten by what follows. */
  readonly length: number;
}

/** @param text ASCII: no eight bytes of it are a NaN, which alone may change on its way */
export function eightsOf(text: string): Eights {
  const bytes = Buffer.alloc(Math.ceil(text.length / EIGHT) * EIGHT);
  bytes.latin1Write(text, 0);
  return { numbers: Float64Array.from({ length: bytes.length / EIGHT }, (_, index) => bytes.readDoubleLE(index * EIGHT)), length: text.length };
}

/** So many texts are remembered. */
const MOST = 256;

/** Remembers what became of texts that come again and again. */
export class KnownTexts {
  private last = "";
  private eights = eightsOf("");
  private readonly known = new Map<string, Eights>();
  private readonly escape: (text: string) => string;

  /** @param escape makes ASCII of it */
  constructor(escape: (text: string) => string) {
    this.escape = escape;
  }

  of(text: string): Eights {
    return text === this.last ? this.eights : this.find(text);
  }

  private find(text: string): Eights {
    const { known } = this;
    let eights = known.get(text);
    if (eights === undefined) {
      if (known.size >= MOST) known.clear();
      known.set(text, (eights = eightsOf(this.escape(text))));
    }
    this.last = text;
    this.eights = eights;
    return eights;
  }
}
