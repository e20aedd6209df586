/** What a field of HTTP/2 is, and which ones make their message malformed (RFC 9113 section 8.2). */
import { Name, equalsLower, nameId } from "../../fields.ts";
import { CLASS, COLON, TOKEN, VALUE, isBlank } from "../../h1/syntax.ts";

/** What a field is, as bits. */
export const FieldFlag = {
  PSEUDO: 1,
  /** May come in crumbs: RFC 9113 section 8.2.3. */
  COOKIE: 2,
  /** About an HTTP/1 connection: always malformed here. */
  CONNECTION_SPECIFIC: 4,
  TE: 8,
  HOST: 16,
  CONTENT_LENGTH: 32,
  /** Came as a literal that no table may hold, and has to go on as one: RFC 7541 section 6.2.3. */
  NEVER_INDEXED: 64,
  MALFORMED: 128,
} as const;

/** Which pseudo-field a field with FieldFlag.PSEUDO is. */
export const Pseudo = { UNKNOWN: 0, METHOD: 1, SCHEME: 2, AUTHORITY: 3, PATH: 4, STATUS: 5, PROTOCOL: 6 } as const;

const PSEUDO_NAMES: readonly (readonly [Uint8Array, number])[] = [
  [Buffer.from(":method"), Pseudo.METHOD],
  [Buffer.from(":scheme"), Pseudo.SCHEME],
  [Buffer.from(":authority"), Pseudo.AUTHORITY],
  [Buffer.from(":path"), Pseudo.PATH],
  [Buffer.from(":status"), Pseudo.STATUS],
  [Buffer.from(":protocol"), Pseudo.PROTOCOL],
];

/** Flags that follow from a name. */
const FLAGS = new Uint8Array(Math.max(...Object.values(Name)) + 1);
FLAGS[Name.COOKIE] = FieldFlag.COOKIE;
FLAGS[Name.TE] = FieldFlag.TE;
FLAGS[Name.HOST] = FieldFlag.HOST;
FLAGS[Name.CONTENT_LENGTH] = FieldFlag.CONTENT_LENGTH;
for (const id of [Name.CONNECTION, Name.PROXY_CONNECTION, Name.KEEP_ALIVE, Name.TRANSFER_ENCODING, Name.UPGRADE]) {
  FLAGS[id] = FieldFlag.CONNECTION_SPECIFIC | FieldFlag.MALFORMED;
}

/** Bytes of names: RFC 9110 section 5.1 without capitals. */
const SMALL = Uint8Array.from(CLASS, (bits, byte) => ((bits & TOKEN) !== 0 && !(byte >= 0x41 && byte <= 0x5a) ? 1 : 0));
const TRAILERS = Buffer.from("trailers");

/**
 * What stands at [start, end): FieldFlag bits in the low byte; above it, Name's id, or Pseudo's for a pseudo-field.
 * Malformed for what its name alone says.
 */
export function marksOfName(buffer: Buffer, start: number, end: number): number {
  const pseudo = end > start && buffer[start] === COLON;
  const flags = isSmallToken(buffer, pseudo ? start + 1 : start, end) ? 0 : FieldFlag.MALFORMED;
  if (pseudo) return flags | FieldFlag.PSEUDO | (pseudoId(buffer, start, end) << 8);
  const id = nameId(buffer, start, end);
  return flags | FLAGS[id]! | (id << 8);
}

/** Does the value at [start, end) make a field malformed whose name has these marks? RFC 9113 section 8.2.1, RFC 9110 section 5.5. */
export function isMalformedValue(marks: number, buffer: Buffer, start: number, end: number): boolean {
  if (start < end && (isBlank(buffer[start]!) || isBlank(buffer[end - 1]!))) return true;
  for (let i = start; i < end; i++) if ((CLASS[buffer[i]!]! & VALUE) === 0) return true;
  return (marks & FieldFlag.TE) !== 0 && !isTrailers(buffer, start, end);
}

/** Says why a field with these marks is malformed. */
export function whyMalformed(marks: number, buffer: Buffer, nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): string {
  if (nameStart === nameEnd) return "a field without a name";
  const name = JSON.stringify(buffer.latin1Slice(nameStart, Math.min(nameEnd, nameStart + SHOWN)));
  for (let i = nameStart; i < nameEnd; i++) if (buffer[i]! >= 0x41 && buffer[i]! <= 0x5a) return `a capital letter in the field name ${name}`;
  if (!isSmallToken(buffer, buffer[nameStart] === COLON ? nameStart + 1 : nameStart, nameEnd)) return `the field name ${name} is not a token`;
  if ((marks & FieldFlag.CONNECTION_SPECIFIC) !== 0) return `the connection-specific field ${name}`;
  for (let i = valueStart; i < valueEnd; i++) if ((CLASS[buffer[i]!]! & VALUE) === 0) return `a control character in the value of ${name}`;
  if (valueStart < valueEnd && (isBlank(buffer[valueStart]!) || isBlank(buffer[valueEnd - 1]!))) return `a blank at an end of the value of ${name}`;
  return `${name} is not "trailers"`;
}

/** Characters of a bad name that are shown. */
const SHOWN = 64;

function isSmallToken(buffer: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (SMALL[buffer[i]!] === 0) return false;
  return start < end;
}

function isTrailers(buffer: Buffer, start: number, end: number): boolean {
  return end - start === TRAILERS.length && equalsLower(buffer, start, TRAILERS);
}

function pseudoId(buffer: Buffer, start: number, end: number): number {
  for (const [name, id] of PSEUDO_NAMES) if (end - start === name.length && equalsLower(buffer, start, name)) return id;
  return Pseudo.UNKNOWN;
}
