/**
 * The fields of one message as offsets into the buffer they arrived in, and the names this project must know.
 * No strings are made: who needs one asks for it.
 */

/** Names with a meaning for a proxy. Everything else is `OTHER` and is passed on as it came. */
export const Name = {
  OTHER: 0,
  HOST: 1,
  CONNECTION: 2,
  CONTENT_LENGTH: 3,
  TRANSFER_ENCODING: 4,
  EXPECT: 5,
  UPGRADE: 6,
  KEEP_ALIVE: 7,
  PROXY_CONNECTION: 8,
  TE: 9,
  PROXY_AUTHENTICATE: 10,
  PROXY_AUTHORIZATION: 11,
  MAX_FORWARDS: 12,
  X_FORWARDED_FOR: 13,
  X_FORWARDED_PROTO: 14,
  X_FORWARDED_HOST: 15,
  X_REQUEST_ID: 16,
  FORWARDED: 17,
  VIA: 18,
  TRAILER: 19,
  HTTP2_SETTINGS: 20,
  AUTHORIZATION: 21,
  COOKIE: 22,
  SET_COOKIE: 23,
  WWW_AUTHENTICATE: 24,
  X_REQUEST_TIMEOUT: 25,
  GRPC_TIMEOUT: 26,
  TRACEPARENT: 27,
  TRACESTATE: 28,
} as const;

const KNOWN: readonly (readonly [string, number])[] = [
  ["host", Name.HOST],
  ["connection", Name.CONNECTION],
  ["content-length", Name.CONTENT_LENGTH],
  ["transfer-encoding", Name.TRANSFER_ENCODING],
  ["expect", Name.EXPECT],
  ["upgrade", Name.UPGRADE],
  ["keep-alive", Name.KEEP_ALIVE],
  ["proxy-connection", Name.PROXY_CONNECTION],
  ["te", Name.TE],
  ["proxy-authenticate", Name.PROXY_AUTHENTICATE],
  ["proxy-authorization", Name.PROXY_AUTHORIZATION],
  ["max-forwards", Name.MAX_FORWARDS],
  ["x-forwarded-for", Name.X_FORWARDED_FOR],
  ["x-forwarded-proto", Name.X_FORWARDED_PROTO],
  ["x-forwarded-host", Name.X_FORWARDED_HOST],
  ["x-request-id", Name.X_REQUEST_ID],
  ["forwarded", Name.FORWARDED],
  ["via", Name.VIA],
  ["trailer", Name.TRAILER],
  ["http2-settings", Name.HTTP2_SETTINGS],
  ["authorization", Name.AUTHORIZATION],
  ["cookie", Name.COOKIE],
  ["set-cookie", Name.SET_COOKIE],
  ["www-authenticate", Name.WWW_AUTHENTICATE],
  ["x-request-timeout", Name.X_REQUEST_TIMEOUT],
  ["grpc-timeout", Name.GRPC_TIMEOUT],
  ["traceparent", Name.TRACEPARENT],
  ["tracestate", Name.TRACESTATE],
];

interface KnownName {
  readonly bytes: Uint8Array;
  readonly id: number;
}

/** Longer than any known name. */
const NAME_BYTES = 20;

/** Known names by length and first letter: hardly two have both in common, so that one look tells most names from all known ones. */
const BY_LENGTH_AND_LETTER: readonly (readonly KnownName[])[] = Array.from({ length: NAME_BYTES * 32 }, (_, at) =>
  KNOWN.filter(([name]) => slotOf(name.length, name.charCodeAt(0)) === at).map(([name, id]) => ({ bytes: Buffer.from(name), id })),
);

/** A letter has the same five lowest bits in either case. */
function slotOf(length: number, first: number): number {
  return length * 32 + (first & 31);
}

/** Lower-case of each byte. */
export const LOWER = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte));

/** Which known name stands at [start, end); OTHER for none. */
export function nameId(buffer: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length >= NAME_BYTES) return Name.OTHER;
  const candidates = BY_LENGTH_AND_LETTER[slotOf(length, buffer[start]!)]!;
  for (let i = 0; i < candidates.length; i++) {
    const { bytes, id } = candidates[i]!;
    if (equalsLower(buffer, start, bytes)) return id;
  }
  return Name.OTHER;
}

/** Does `buffer` hold `lower` at `start`, whatever the case? The length is the caller's business. */
export function equalsLower(buffer: Uint8Array, start: number, lower: Uint8Array): boolean {
  for (let i = 0; i < lower.length; i++) if (LOWER[buffer[start + i]!] !== lower[i]) return false;
  return true;
}

/** Fields as parallel arrays; reused from message to message, so what must last is copied. */
export class Fields {
  /** The buffer that all offsets are about. */
  buffer: Buffer = Buffer.alloc(0);
  count = 0;
  /** Ids in `Name`. */
  readonly id: Uint8Array;
  readonly nameStart: Int32Array;
  readonly nameEnd: Int32Array;
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  /** Where the next field line begins, past this one's CRLF. */
  readonly lineEnd: Int32Array;

  /** @param capacity the most fields that a message may have */
  constructor(capacity: number) {
    this.id = new Uint8Array(capacity);
    this.nameStart = new Int32Array(capacity);
    this.nameEnd = new Int32Array(capacity);
    this.valueStart = new Int32Array(capacity);
    this.valueEnd = new Int32Array(capacity);
    this.lineEnd = new Int32Array(capacity);
  }

  get capacity(): number {
    return this.id.length;
  }

  /** Index of the first field of this id from `from` on; -1: none. */
  find(id: number, from = 0): number {
    for (let i = from; i < this.count; i++) if (this.id[i] === id) return i;
    return -1;
  }

  /** Index of the first field of this name from `from` on; -1: none. @param name in lower case */
  findName(name: string, from = 0): number {
    const { buffer, nameStart, nameEnd } = this;
    for (let i = from; i < this.count; i++) {
      const start = nameStart[i]!;
      if (nameEnd[i]! - start !== name.length) continue;
      let at = 0;
      while (at < name.length && LOWER[buffer[start + at]!] === name.charCodeAt(at)) at++;
      if (at === name.length) return i;
    }
    return -1;
  }

  value(index: number): string {
    return this.buffer.latin1Slice(this.valueStart[index]!, this.valueEnd[index]!);
  }

  name(index: number): string {
    return this.buffer.latin1Slice(this.nameStart[index]!, this.nameEnd[index]!);
  }

  /** All values of a name joined by ", " as RFC 9110 section 5.3 has it; undefined when it is not there. `name` in lower case. */
  get(name: string): string | undefined {
    let joined: string | undefined;
    for (let i = 0; i < this.count; i++) {
      if (this.nameEnd[i]! - this.nameStart[i]! !== name.length || this.name(i).toLowerCase() !== name) continue;
      joined = joined === undefined ? this.value(i) : `${joined}, ${this.value(i)}`;
    }
    return joined;
  }
}
