/**
 * Reads the header of the PROXY protocol, version 1 (text) and 2 (binary): who the client is on whose behalf a proxy speaks.
 * haproxy.org, "The PROXY protocol Versions 1 & 2" (2020-03-05, 2.1 and 2.2). Pure: bytes in, a header out.
 */
import ipaddr from "ipaddr.js";
import type { Peer } from "./arrival.ts";
import { crc32c } from "./crc32c.ts";

/** Starts every header of version 2. */
export const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
/** Bytes of a version 2 header before its addresses. */
const FIXED = 16;
/** The longest line of version 1, with its CRLF. */
export const MAX_LINE = 107;
const PREFIX = Buffer.from("PROXY ");
const UNIX_ADDRESS = 108;

/** The types of what may follow the addresses (section 2.2). */
export const Tlv = { ALPN: 0x01, AUTHORITY: 0x02, CRC32C: 0x03, UNIQUE_ID: 0x05 } as const;
const MAX_UNIQUE_ID = 128;

export interface ProxyHeader {
  /** Bytes that it takes up. */
  readonly length: number;
  /** Undefined: the proxy speaks for itself (LOCAL), or does not know (UNKNOWN, UNSPEC): what the socket says stands. */
  readonly peer: Peer | undefined;
  /** What the client asked for in TLS: its protocol (PP2_TYPE_ALPN); "": not said. */
  readonly alpn: string;
  /** And the host name (PP2_TYPE_AUTHORITY); "": not said. */
  readonly authority: string;
  /** Names the connection across proxies (PP2_TYPE_UNIQUE_ID). */
  readonly uniqueId: Buffer | undefined;
}

/** The header, or what is wrong with it; `more`: it is not all there yet. */
export type ReadProxyHeader = ProxyHeader | { readonly problem: string } | "more";

/** @param limit bytes that a header of version 2 may have */
export function readProxyHeader(bytes: Buffer, limit: number): ReadProxyHeader {
  if (startsAlike(bytes, SIGNATURE)) return bytes.length < FIXED ? "more" : readBinary(bytes, limit);
  if (startsAlike(bytes, PREFIX)) return readLine(bytes);
  return { problem: "no PROXY protocol header" };
}

/** As far as both go. */
function startsAlike(bytes: Buffer, expected: Buffer): boolean {
  const length = Math.min(bytes.length, expected.length);
  return bytes.compare(expected, 0, length, 0, length) === 0;
}

function header(length: number, peer: Peer | undefined): ProxyHeader {
  return { length, peer, alpn: "", authority: "", uniqueId: undefined };
}

function readLine(bytes: Buffer): ReadProxyHeader {
  const end = bytes.subarray(0, MAX_LINE).indexOf("\r\n");
  if (end < 0) return bytes.length < MAX_LINE ? "more" : { problem: `the line is longer than ${MAX_LINE} bytes` };
  const length = end + 2;
  const [, family, source, destination, sourcePort, destinationPort, ...rest] = bytes.latin1Slice(0, end).split(" ");
  // What follows is to be ignored.
  if (family === "UNKNOWN") return header(length, undefined);
  if (family !== "TCP4" && family !== "TCP6") return { problem: "unknown family in version 1" };
  const ports = [portOf(sourcePort), portOf(destinationPort)] as const;
  const addresses = [addressOf(source, family), addressOf(destination, family)] as const;
  if (rest.length > 0 || ports[0] === undefined || ports[1] === undefined || addresses[0] === undefined || addresses[1] === undefined) return { problem: "malformed addresses in version 1" };
  return header(length, { remoteAddress: addresses[0], remotePort: ports[0], localAddress: addresses[1], localPort: ports[1] });
}

function portOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^(0|[1-9]\d{0,4})$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

function addressOf(text: string | undefined, family: "TCP4" | "TCP6"): string | undefined {
  if (text === undefined) return undefined;
  if (family === "TCP4") return ipaddr.IPv4.isValidFourPartDecimal(text) ? text : undefined;
  // A zone has a meaning on one machine only.
  return text.includes("%") || !ipaddr.IPv6.isValid(text) ? undefined : ipaddr.process(text).toString();
}

function readBinary(bytes: Buffer, limit: number): ReadProxyHeader {
  const versionAndCommand = bytes[12]!;
  const familyAndTransport = bytes[13]!;
  const length = FIXED + bytes.readUInt16BE(14);
  if (versionAndCommand >> 4 !== 2) return { problem: `unknown version ${versionAndCommand >> 4}` };
  const command = versionAndCommand & 15;
  if (command > 1) return { problem: `unknown command ${command} in version 2` };
  if (familyAndTransport >> 4 > 3 || (familyAndTransport & 15) > 2) return { problem: "unknown family or transport in version 2" };
  if (length > limit) return { problem: `${length} bytes long, more than the ${limit} that are allowed` };
  if (bytes.length < length) return "more";
  if (command === 0) return header(length, undefined);
  const block = bytes.subarray(0, length);
  const family = familyAndTransport >> 4;
  const size = family === 0 ? 0 : family === 1 ? 12 : family === 2 ? 36 : 2 * UNIX_ADDRESS;
  if (length - FIXED < size) return { problem: "too short for its addresses" };
  // Without a family there are no addresses, and of what is no stream they mean nothing here.
  const peer = family !== 0 && (familyAndTransport & 15) === 1 ? readPeer(block, family) : undefined;
  return readTlvs(block, FIXED + size, peer);
}

function readPeer(block: Buffer, family: number): Peer | undefined {
  if (family === 3) return { remoteAddress: "", remotePort: 0, localAddress: "", localPort: 0 };
  const size = family === 1 ? 4 : 16;
  const address = (at: number): string => ipaddr.process(ipaddr.fromByteArray([...block.subarray(at, at + size)]).toString()).toString();
  const ports = FIXED + 2 * size;
  return { remoteAddress: address(FIXED), remotePort: block.readUInt16BE(ports), localAddress: address(FIXED + size), localPort: block.readUInt16BE(ports + 2) };
}

function readTlvs(block: Buffer, from: number, peer: Peer | undefined): ReadProxyHeader {
  let alpn = "";
  let authority = "";
  let uniqueId: Buffer | undefined;
  for (let at = from; at < block.length; ) {
    const end = at + 3 <= block.length ? at + 3 + block.readUInt16BE(at + 1) : Number.POSITIVE_INFINITY;
    if (end > block.length) return { problem: "a TLV reaches beyond the header" };
    const value = block.subarray(at + 3, end);
    if (block[at] === Tlv.ALPN) alpn = value.toString("latin1");
    else if (block[at] === Tlv.AUTHORITY) authority = value.toString("utf8").toLowerCase();
    else if (block[at] === Tlv.UNIQUE_ID) {
      if (value.length > MAX_UNIQUE_ID) return { problem: `a unique id of more than ${MAX_UNIQUE_ID} bytes` };
      uniqueId = Buffer.from(value);
    } else if (block[at] === Tlv.CRC32C && !checksumHolds(block, at + 3, end)) return { problem: "the checksum is wrong" };
    at = end;
  }
  return { length: block.length, peer, alpn, authority, uniqueId };
}

/** Over the whole header, its own four bytes taken as zero. */
function checksumHolds(block: Buffer, from: number, end: number): boolean {
  if (end - from !== 4) return false;
  const zeroed = Buffer.from(block);
  zeroed.fill(0, from, end);
  return crc32c(zeroed) === block.readUInt32BE(from);
}
