/** PROXY protocol headers byte by byte, written from the specification alone. */
import ipaddr from "ipaddr.js";

export const SIGNATURE = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
export const PP2 = { ALPN: 1, AUTHORITY: 2, CRC32C: 3, NOOP: 4, UNIQUE_ID: 5, SSL: 0x20, NETNS: 0x30 } as const;

export interface V2 {
  readonly source?: string;
  readonly destination?: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly versionAndCommand?: number;
  readonly familyAndTransport?: number;
  readonly tlvs?: readonly (readonly [type: number, value: Uint8Array | string])[];
  /** Instead of the true length. */
  readonly length?: number;
}

export function v1(source: string, destination: string, sourcePort: number, destinationPort: number): string {
  return `PROXY TCP${source.includes(":") ? 6 : 4} ${source} ${destination} ${sourcePort} ${destinationPort}\r\n`;
}

export function v2(of: V2 = {}): Buffer {
  const { source = "192.0.2.7", sourcePort = 5000, destinationPort = 443, versionAndCommand = 0x21, tlvs = [] } = of;
  const destination = of.destination ?? (source.includes(":") ? "2001:db8::1" : "198.51.100.1");
  const familyAndTransport = of.familyAndTransport ?? (source.includes(":") ? 0x21 : 0x11);
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(sourcePort, 0);
  ports.writeUInt16BE(destinationPort, 2);
  const family = familyAndTransport >> 4;
  const addresses = family === 0 ? Buffer.alloc(0) : family === 3 ? Buffer.alloc(216) : Buffer.concat([Buffer.from(ipaddr.parse(source).toByteArray()), Buffer.from(ipaddr.parse(destination).toByteArray()), ports]);
  const more = tlvs.map(([type, value]) => {
    const bytes = Buffer.from(value as Uint8Array);
    return Buffer.concat([Buffer.from([type, bytes.length >> 8, bytes.length & 255]), bytes]);
  });
  const body = Buffer.concat([addresses, ...more]);
  const length = of.length ?? body.length;
  return Buffer.concat([SIGNATURE, Buffer.from([versionAndCommand, familyAndTransport, length >> 8, length & 255]), body]);
}

/** CRC-32C bit by bit. */
function checksum(bytes: Uint8Array): number {
  let crc = 0xff_ff_ff_ff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82_f6_3b_78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** The same header with a checksum as its last TLV. */
export function withChecksum(of: V2): Buffer {
  const bytes = v2({ ...of, tlvs: [...(of.tlvs ?? []), [PP2.CRC32C, new Uint8Array(4)]] });
  bytes.writeUInt32BE(checksum(bytes), bytes.length - 4);
  return bytes;
}
