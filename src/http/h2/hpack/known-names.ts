/** What the encoder knows of names beforehand: where the static table has them, and which of them no table should hold. */
import { hashName, sameName } from "./bytes.ts";
import { STATIC_FIELDS } from "./static-table.ts";

/** How a field goes out that no table has. */
export const Indexing = {
  /** It will come again: the table takes it. */
  ADD: 0,
  /** Nearly each time it is another: RFC 7541 section 6.2.2. */
  WITHOUT: 1,
  /** A table would help to guess it: RFC 7541 section 7.1.3. */
  NEVER: 2,
  /** The same, when it is short enough to be guessed; a long one comes again. */
  NEVER_IF_SHORT: 3,
} as const;

const NOT_ADDED: Readonly<Record<string, number>> = {
  ":path": Indexing.WITHOUT,
  age: Indexing.WITHOUT,
  "content-length": Indexing.WITHOUT,
  "content-range": Indexing.WITHOUT,
  etag: Indexing.WITHOUT,
  expires: Indexing.WITHOUT,
  "grpc-timeout": Indexing.WITHOUT,
  "if-match": Indexing.WITHOUT,
  "if-modified-since": Indexing.WITHOUT,
  "if-none-match": Indexing.WITHOUT,
  "if-range": Indexing.WITHOUT,
  "if-unmodified-since": Indexing.WITHOUT,
  "last-modified": Indexing.WITHOUT,
  location: Indexing.WITHOUT,
  range: Indexing.WITHOUT,
  "set-cookie": Indexing.WITHOUT,
  traceparent: Indexing.WITHOUT,
  "x-correlation-id": Indexing.WITHOUT,
  "x-request-id": Indexing.WITHOUT,
  "x-request-timeout": Indexing.WITHOUT,
  authorization: Indexing.NEVER,
  "proxy-authorization": Indexing.NEVER,
  cookie: Indexing.NEVER_IF_SHORT,
};

export interface KnownName {
  /** In small letters. */
  readonly name: Buffer;
  /** Its first index in the static table; 0: it is not there. */
  readonly index: number;
  /** The values that the static table has from that index on. */
  readonly values: readonly Buffer[];
  readonly indexing: number;
  /** The next one of its bucket. */
  readonly next: KnownName | undefined;
}

const BUCKETS = 256;
const buckets: (KnownName | undefined)[] = new Array<KnownName | undefined>(BUCKETS).fill(undefined);
for (const name of new Set([...STATIC_FIELDS.map(([name]) => name), ...Object.keys(NOT_ADDED)])) {
  const bytes = Buffer.from(name);
  const bucket = hashName(bytes, 0, bytes.length) & (BUCKETS - 1);
  buckets[bucket] = {
    name: bytes,
    index: STATIC_FIELDS.findIndex(([other]) => other === name) + 1,
    values: STATIC_FIELDS.filter(([other]) => other === name).map(([, value]) => Buffer.from(value)),
    indexing: NOT_ADDED[name] ?? Indexing.ADD,
    next: buckets[bucket],
  };
}

const UNKNOWN: KnownName = { name: Buffer.alloc(0), index: 0, values: [], indexing: Indexing.ADD, next: undefined };

/** What is known of the name at [start, end), in whatever case, whose hash is hashName's. */
export function knownName(source: Buffer, start: number, end: number, hash: number): KnownName {
  const length = end - start;
  for (let known = buckets[hash & (BUCKETS - 1)]; known !== undefined; known = known.next) {
    if (known.name.length === length && sameName(source, start, known.name, 0, length)) return known;
  }
  return UNKNOWN;
}
