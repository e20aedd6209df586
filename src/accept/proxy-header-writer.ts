/** Writes the header of the PROXY protocol for a target: who the client is, and what it connected to (see proxy-header.ts for the source). */
import ipaddr from "ipaddr.js";
import { plainAddress } from "../net/endpoint.ts";
import type { Arrival, Peer } from "./arrival.ts";
import { crc32c } from "./crc32c.ts";
import { SIGNATURE, Tlv } from "./proxy-header.ts";

export type ProxyVersion = "v1" | "v2";

const LOCAL = 0x20;
const PROXY = 0x21;
const UNSPEC = 0x00;
const TCP4 = 0x11;
const TCP6 = 0x21;

/** For a connection of our own, as that of a health check. */
const OWN: Readonly<Record<ProxyVersion, Buffer>> = { v1: Buffer.from("PROXY UNKNOWN\r\n"), v2: Buffer.concat([SIGNATURE, Buffer.from([LOCAL, UNSPEC, 0, 0])]) };

/** @param arrival undefined: this is nobody's connection but ours */
export function proxyHeader(version: ProxyVersion, arrival: Arrival | undefined): Buffer {
  if (arrival === undefined) return OWN[version];
  return version === "v1" ? Buffer.from(line(arrival.peer)) : binary(...addresses(arrival.peer), tlvs(arrival));
}

/** Both ends in the family of the two that can say both; undefined on unix sockets, which have no addresses. */
function ends({ remoteAddress, localAddress }: Peer): readonly [ipaddr.IPv4 | ipaddr.IPv6, ipaddr.IPv4 | ipaddr.IPv6] | undefined {
  const [source, destination] = [plainAddress(remoteAddress), plainAddress(localAddress)];
  if (!ipaddr.isValid(source) || !ipaddr.isValid(destination)) return undefined;
  const [a, b] = [ipaddr.parse(source), ipaddr.parse(destination)];
  return a.kind() === b.kind() ? [a, b] : [inIPv6(a), inIPv6(b)];
}

/** Nobody can say it of a client that has cut its connection meanwhile. */
function portOf({ remotePort }: Peer): number {
  return remotePort ?? 0;
}

function inIPv6(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv6 {
  return address instanceof ipaddr.IPv4 ? address.toIPv4MappedAddress() : address;
}

function line(peer: Peer): string {
  const both = ends(peer);
  if (both === undefined) return "PROXY UNKNOWN\r\n";
  const [source, destination] = both;
  return `PROXY ${source.kind() === "ipv4" ? "TCP4" : "TCP6"} ${source.toString()} ${destination.toString()} ${portOf(peer)} ${peer.localPort}\r\n`;
}

function addresses(peer: Peer): [family: number, block: readonly Uint8Array[]] {
  const both = ends(peer);
  if (both === undefined) return [UNSPEC, []];
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(portOf(peer), 0);
  ports.writeUInt16BE(peer.localPort, 2);
  return [both[0].kind() === "ipv4" ? TCP4 : TCP6, [...both.map((address) => Buffer.from(address.toByteArray())), ports]];
}

/** What is known of the client's TLS, whether it ended here or goes on, and what names the connection. */
function tlvs({ tls, hello, uniqueId }: Arrival): readonly (readonly [type: number, value: Uint8Array])[] {
  const alpn = tls?.alpn ?? (hello?.alpn.length === 1 ? hello.alpn[0]! : "");
  const serverName = tls?.serverName ?? hello?.serverName ?? "";
  return [
    ...(alpn === "" ? [] : [[Tlv.ALPN, Buffer.from(alpn, "latin1")] as const]),
    ...(serverName === "" ? [] : [[Tlv.AUTHORITY, Buffer.from(serverName)] as const]),
    ...(uniqueId === undefined ? [] : [[Tlv.UNIQUE_ID, uniqueId] as const]),
  ];
}

/** With a checksum. */
function binary(family: number, block: readonly Uint8Array[], more: readonly (readonly [type: number, value: Uint8Array])[]): Buffer {
  const parts = [...more, [Tlv.CRC32C, new Uint8Array(4)] as const].flatMap(([type, value]) => [Buffer.from([type, value.length >> 8, value.length & 255]), value]);
  const body = Buffer.concat([...block, ...parts]);
  const header = Buffer.concat([SIGNATURE, Buffer.from([PROXY, family, body.length >> 8, body.length & 255]), body]);
  header.writeUInt32BE(crc32c(header), header.length - 4);
  return header;
}
