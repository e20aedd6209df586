/**
 * A request's header block as an HTTP/1 head: what router, policies and forwarding read, and what the HTTP/1 parser then reads again with its own
 * strictness, so that nothing that HTTP/2 lets through becomes another request on the way (RFC 9113 sections 8.2, 8.3 and 10.3).
 */
import type { Network } from "../../net/network.ts";
import { LOWER } from "../fields.ts";
import type { HeadArena } from "./head-arena.ts";
import { FieldFlag, Pseudo } from "./hpack/field-rules.ts";
import type { HeaderBlock } from "./hpack/header-block.ts";

const VERSION = Buffer.from(" HTTP/1.1\r\nhost: ");
const SPACE = Buffer.from(" ");
const CRLF = Buffer.from("\r\n");
const COOKIE = Buffer.from("cookie: ");
const CHUNKED = Buffer.from("transfer-encoding: chunked\r\n");
const GET = Buffer.from("GET");
const CONNECT = Buffer.from("CONNECT");
const OPTIONS = Buffer.from("OPTIONS");
const ASTERISK = Buffer.from("*");
const SLASH = 0x2f;
const SEMICOLON = Buffer.from("; ");
const REGULAR = FieldFlag.HOST | FieldFlag.COOKIE;

/** Where each pseudo-field is in the block of the moment; -1: nowhere. */
const at = new Int32Array(Object.keys(Pseudo).length);

/** What is random: a network is. */
type Chance = Pick<Network, "random">;

/**
 * Write the head behind what is in the arena.
 * @param endsStream no body follows
 * @param chance an extended CONNECT (RFC 8441) goes on as an Upgrade, which needs a key
 * @returns what makes it malformed
 */
export function requestLines(block: HeaderBlock, endsStream: boolean, out: HeadArena, chance: Chance): string | undefined {
  if (block.malformed !== undefined) return block.malformed;
  const problem = findPseudo(block);
  if (problem !== undefined) return problem;
  const { bytes, count, flags, nameStart, lineEnd, valueStart, valueEnd } = block;

  let upgrade = "";
  if (at[Pseudo.PROTOCOL]! >= 0) {
    const protocol = block.value(at[Pseudo.PROTOCOL]!);
    if (!is(block, at[Pseudo.METHOD]!, CONNECT)) return ":protocol without CONNECT";
    if (at[Pseudo.SCHEME]! < 0 || at[Pseudo.PATH]! < 0 || at[Pseudo.AUTHORITY]! < 0) return "extended CONNECT without :scheme, :path or :authority";
    if (!/^[a-z0-9!#$%&'*+.^_`|~-]+$/i.test(protocol)) return "malformed :protocol";
    if (endsStream) return "extended CONNECT that ends its stream";
    upgrade = `connection: upgrade\r\nupgrade: ${protocol}\r\n${protocol.toLowerCase() === "websocket" ? `sec-websocket-key: ${webSocketKey(chance)}\r\n` : ""}`;
  } else if (is(block, at[Pseudo.METHOD]!, CONNECT)) {
    if (at[Pseudo.SCHEME]! >= 0 || at[Pseudo.PATH]! >= 0 || at[Pseudo.AUTHORITY]! < 0) return "CONNECT with :scheme or :path, or without :authority";
  } else if (at[Pseudo.SCHEME]! < 0 || at[Pseudo.PATH]! < 0) return "no :scheme or no :path";
  if (at[Pseudo.PATH]! >= 0 && bytes[valueStart[at[Pseudo.PATH]!]!] !== SLASH && !(is(block, at[Pseudo.PATH]!, ASTERISK) && is(block, at[Pseudo.METHOD]!, OPTIONS))) {
    return ":path does not begin with /";
  }

  let host = at[Pseudo.AUTHORITY]!;
  let cookies = 0;
  let special = 0;
  let hasLength = false;
  const first = firstRegular;
  for (let i = first; i < count; i++) {
    const flag = flags[i]!;
    if (flag === 0) continue;
    if ((flag & FieldFlag.COOKIE) !== 0) cookies++;
    if ((flag & FieldFlag.CONTENT_LENGTH) !== 0) {
      if (endsStream && !(valueEnd[i]! - valueStart[i]! === 1 && bytes[valueStart[i]!] === 0x30)) return "Content-Length, and no body";
      hasLength = true;
    }
    if ((flag & FieldFlag.HOST) !== 0) {
      if (special++ > 0) return "Host twice";
      if (host >= 0 && !sameValue(block, host, i)) return "Host is not :authority";
      if (host < 0) host = i;
    }
  }
  const pathAt = at[Pseudo.PATH]!;
  const authority = host < 0 ? 0 : valueEnd[host]! - valueStart[host]!;
  const target = pathAt >= 0 ? pathAt : host;
  const regularStart = first < count ? nameStart[first]! : 0;
  const regularEnd = first < count ? lineEnd[count - 1]! : 0;
  const method = at[Pseudo.METHOD]!;
  // Enough in any case: joining and leaving out make it shorter.
  const most = valueEnd[method]! + (valueEnd[target]! - valueStart[target]!) + authority + (regularEnd - regularStart) + VERSION.length + CHUNKED.length + upgrade.length + 16;
  out.reserve(most);
  if (upgrade === "") out.put(bytes, valueStart[method]!, valueEnd[method]!);
  else out.put(GET, 0, GET.length);
  out.put(SPACE, 0, 1);
  out.put(bytes, valueStart[target]!, valueEnd[target]!);
  if (host >= 0) {
    out.put(VERSION, 0, VERSION.length);
    out.put(bytes, valueStart[host]!, valueEnd[host]!);
    out.put(CRLF, 0, 2);
  } else out.put(VERSION, 0, VERSION.length - 6);

  if (special === 0 && cookies < 2) out.put(bytes, regularStart, regularEnd);
  else {
    for (let i = first; i < count; i++) if ((flags[i]! & REGULAR) === 0) out.put(bytes, nameStart[i]!, lineEnd[i]!);
    if (cookies > 0) putCookies(block, first, out);
  }
  if (upgrade !== "") out.text(upgrade);
  else if (!endsStream && !hasLength) out.put(CHUNKED, 0, CHUNKED.length);
  out.put(CRLF, 0, 2);
  return undefined;
}

/** RFC 6455 section 4.1. */
function webSocketKey(chance: Chance): string {
  return Buffer.from(Uint8Array.from({ length: 16 }, () => Math.floor(chance.random() * 256))).toString("base64");
}

/** Crumbs become one field: section 8.2.3. */
function putCookies(block: HeaderBlock, first: number, out: HeadArena): void {
  let separator = COOKIE;
  for (let i = first; i < block.count; i++) {
    if ((block.flags[i]! & FieldFlag.COOKIE) === 0) continue;
    out.put(separator, 0, separator.length);
    out.put(block.bytes, block.valueStart[i]!, block.valueEnd[i]!);
    separator = SEMICOLON;
  }
  out.put(CRLF, 0, 2);
}

let firstRegular = 0;

/** Section 8.3: first, once, known, meant for requests. */
function findPseudo(block: HeaderBlock): string | undefined {
  at.fill(-1);
  const { count, flags, id, valueStart, valueEnd } = block;
  let i = 0;
  for (; i < count && (flags[i]! & FieldFlag.PSEUDO) !== 0; i++) {
    const pseudo = id[i]!;
    if (pseudo === Pseudo.UNKNOWN || pseudo === Pseudo.STATUS) return `unexpected pseudo-field ${block.name(i)}`;
    if (at[pseudo]! >= 0) return `${block.name(i)} twice`;
    if (valueStart[i] === valueEnd[i]) return `empty ${block.name(i)}`;
    at[pseudo] = i;
  }
  firstRegular = i;
  for (; i < count; i++) if ((flags[i]! & FieldFlag.PSEUDO) !== 0) return `${block.name(i)} behind other fields`;
  if (at[Pseudo.METHOD]! < 0) return "no :method";
  const scheme = at[Pseudo.SCHEME]!;
  return scheme < 0 || /^[a-z][a-z0-9+.-]*$/i.test(block.value(scheme)) ? undefined : "malformed :scheme";
}

function is(block: HeaderBlock, field: number, text: Buffer): boolean {
  const start = block.valueStart[field]!;
  if (block.valueEnd[field]! - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (block.bytes[start + i] !== text[i]) return false;
  return true;
}

function sameValue(block: HeaderBlock, a: number, b: number): boolean {
  const { bytes, valueStart, valueEnd } = block;
  const length = valueEnd[a]! - valueStart[a]!;
  if (valueEnd[b]! - valueStart[b]! !== length) return false;
  for (let i = 0; i < length; i++) if (LOWER[bytes[valueStart[a]! + i]!] !== LOWER[bytes[valueStart[b]! + i]!]) return false;
  return true;
}

/** Trailers as lines, with the empty one behind them; undefined when they are malformed (section 8.1). */
export function trailerLines(block: HeaderBlock): Buffer | undefined {
  if (block.malformed !== undefined || block.tooLarge) return undefined;
  for (let i = 0; i < block.count; i++) if ((block.flags[i]! & FieldFlag.PSEUDO) !== 0) return undefined;
  return Buffer.concat([block.bytes.subarray(0, block.end), CRLF]);
}
