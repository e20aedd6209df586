/** The reader of PROXY protocol headers: what it makes of good ones, of bad ones, and of any bytes at all. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { crc32c } from "../../src/accept/crc32c.ts";
import { readProxyHeader } from "../../src/accept/proxy-header.ts";
import { PP2, v1, v2, withChecksum } from "../support/proxy-header.ts";

const LIMIT = 4096;

function read(bytes: Uint8Array | string, limit = LIMIT): ReturnType<typeof readProxyHeader> {
  return readProxyHeader(Buffer.from(bytes as Uint8Array), limit);
}

function peer(source: string, sourcePort: number, destination: string, destinationPort: number): object {
  return { remoteAddress: source, remotePort: sourcePort, localAddress: destination, localPort: destinationPort };
}

describe("version 1", () => {
  test("says both ends, IPv4 and IPv6", () => {
    expect(read(v1("192.0.2.7", "198.51.100.1", 5000, 443))).toMatchObject({ length: 44, peer: peer("192.0.2.7", 5000, "198.51.100.1", 443) });
    expect(read(v1("2001:db8::7", "2001:db8::1", 65_535, 0))).toMatchObject({ peer: peer("2001:db8::7", 65_535, "2001:db8::1", 0) });
    expect(read(v1("::ffff:192.0.2.7", "::ffff:c633:6401", 1, 2))).toMatchObject({ peer: peer("192.0.2.7", 1, "198.51.100.1", 2) });
  });

  test("of somebody unknown leaves what the socket says, whatever follows", () => {
    for (const line of ["PROXY UNKNOWN\r\n", `PROXY UNKNOWN ${"f".repeat(91)}\r\n`]) expect(read(line)).toMatchObject({ length: line.length, peer: undefined });
  });

  test("ends where its line ends", () => {
    const header = v1("192.0.2.7", "198.51.100.1", 5000, 443);
    expect(read(`${header}GET / HTTP/1.1\r\n\r\n`)).toMatchObject({ length: header.length });
  });

  for (const line of [
    "PROXY\r\n",
    "PROXY \r\n",
    "PROXY TCP5 192.0.2.7 198.51.100.1 1 2\r\n",
    "PROXY tcp4 192.0.2.7 198.51.100.1 1 2\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
    "PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 1e1 2\r\n",
    "PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n",
    "PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
    "PROXY TCP4 0300.0.2.7 198.51.100.1 1 2\r\n",
    "PROXY TCP4 2001:db8::7 198.51.100.1 1 2\r\n",
    "PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
    "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n\r\n",
    `PROXY UNKNOWN ${"f".repeat(92)}\r\n`,
    "proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    "GET / HTTP/1.1\r\n",
    "\u0016\u0003\u0001",
  ])
    test(`${JSON.stringify(line)} is refused`, () => expect(read(line)).toHaveProperty("problem"));
});

describe("version 2", () => {
  test("says both ends, IPv4 and IPv6", () => {
    expect(read(v2())).toMatchObject({ length: 28, peer: peer("192.0.2.7", 5000, "198.51.100.1", 443) });
    expect(read(v2({ source: "2001:db8::7", destination: "2001:db8::1" }))).toMatchObject({ length: 52, peer: peer("2001:db8::7", 5000, "2001:db8::1", 443) });
    expect(read(v2({ source: "::ffff:192.0.2.7", destination: "::1" }))).toMatchObject({ peer: peer("192.0.2.7", 5000, "::1", 443) });
    expect(read(v2({ familyAndTransport: 0x31 }))).toMatchObject({ length: 232, peer: peer("", 0, "", 0) });
  });

  test("of the proxy itself, of somebody unknown, or of what is no stream leaves what the socket says", () => {
    expect(read(v2({ versionAndCommand: 0x20, familyAndTransport: 0 }))).toMatchObject({ length: 16, peer: undefined });
    expect(read(v2({ versionAndCommand: 0x20, tlvs: [[PP2.AUTHORITY, "a.test"]] }))).toMatchObject({ peer: undefined, authority: "" });
    expect(read(v2({ familyAndTransport: 0 }))).toMatchObject({ peer: undefined });
    expect(read(v2({ familyAndTransport: 0x12 }))).toMatchObject({ peer: undefined });
  });

  test("says more in TLVs; those that are not known are passed over", () => {
    const header = v2({
      tlvs: [
        [PP2.NOOP, "fill"],
        [PP2.ALPN, "h2"],
        [0xe0, "vendor"],
        [PP2.AUTHORITY, "A.Test"],
        [PP2.UNIQUE_ID, "id-1"],
        [PP2.SSL, Buffer.from([1, 0, 0, 0, 0, 0x22, 0, 3, 0x61, 0x62, 0x63])],
        [PP2.NETNS, ""],
      ],
    });
    expect(read(header)).toMatchObject({ length: header.length, alpn: "h2", authority: "a.test", uniqueId: Buffer.from("id-1") });
  });

  test("with a checksum is believed when it is right, and not with any bit of the header turned", () => {
    const header = withChecksum({ tlvs: [[PP2.AUTHORITY, "a.test"]] });
    expect(read(header)).toMatchObject({ authority: "a.test" });
    for (let at = 16; at < header.length; at++) {
      const broken = Buffer.from(header);
      broken[at]! ^= 1;
      // Turned into another TLV the checksum is none any more.
      if (at !== header.length - 7) expect(read(broken)).toHaveProperty("problem");
    }
  });

  for (const [what, bytes] of [
    ["another version", v2({ versionAndCommand: 0x11 })],
    ["an unknown command", v2({ versionAndCommand: 0x22 })],
    ["an unknown family", v2({ familyAndTransport: 0x41, length: 0 })],
    ["an unknown transport", v2({ familyAndTransport: 0x13 })],
    ["a length too small for its addresses", v2({ length: 11 })],
    ["a length beyond the limit", v2({ length: 65_535 })],
    ["a TLV that is cut short", v2({ tlvs: [[PP2.ALPN, "h2"]] }).fill(0xff, 29, 31)],
    ["a TLV without its length", Buffer.concat([v2({ length: 14 }), Buffer.from([1, 0])])],
    ["a checksum of three bytes", v2({ tlvs: [[PP2.CRC32C, "abc"]] })],
    ["a unique id of 129 bytes", v2({ tlvs: [[PP2.UNIQUE_ID, Buffer.alloc(129)]] })],
  ] as const)
    test(`with ${what} is refused`, () => expect(read(bytes)).toHaveProperty("problem"));
});

const port = fc.integer({ min: 0, max: 65_535 });
const anyHeader = fc.oneof(
  fc.tuple(fc.ipV4(), fc.ipV4(), port, port).map((of) => Buffer.from(v1(...of))),
  fc.tuple(fc.ipV6(), fc.ipV6(), port, port).map((of) => Buffer.from(v1(...of))),
  fc
    .record({
      ends: fc.oneof(fc.tuple(fc.ipV4(), fc.ipV4()), fc.tuple(fc.ipV6(), fc.ipV6())),
      sourcePort: port,
      destinationPort: port,
      tlvs: fc.array(fc.tuple(fc.integer({ min: 6, max: 255 }), fc.uint8Array({ maxLength: 100 })), { maxLength: 5 }),
    })
    .map(({ ends: [source, destination], ...rest }) => withChecksum({ source, destination, ...rest })),
);

describe("any header", () => {
  test("wants more until it is whole, and takes no byte of what follows", () => {
    fc.assert(
      fc.property(anyHeader, fc.uint8Array({ maxLength: 50 }), (header, rest) => {
        for (let length = 0; length < header.length; length++) expect(read(header.subarray(0, length))).toBe("more");
        expect(read(header)).toHaveProperty("length", header.length);
        expect(read(Buffer.concat([header, rest]))).toHaveProperty("length", header.length);
      }),
      { numRuns: 200 },
    );
  });

  test("however it is changed, is read, refused or waited for within its limit", () => {
    const changes = fc.array(fc.tuple(fc.nat({ max: 400 }), fc.nat({ max: 255 })), { maxLength: 8 });
    fc.assert(
      fc.property(anyHeader, changes, fc.uint8Array({ maxLength: 300 }), (header, each, rest) => {
        const bytes = Buffer.concat([header, rest]);
        for (const [at, value] of each) bytes[at % bytes.length] = value;
        const result = read(bytes, 600);
        if (result === "more") expect(bytes.length).toBeLessThan(600);
        else if ("length" in result) expect(result.length).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 2000 },
    );
  });
});

test("version 2 of a stream without a family has no addresses, and TLVs all the same", () => {
  const header = Buffer.concat([Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1"), Buffer.from([0x21, 0x01, 0, 5, 1, 0, 2, 0x68, 0x32])]);
  expect(read(header)).toMatchObject({ length: header.length, peer: undefined, alpn: "h2" });
});

test("CRC-32C has the check value of its definition", () => {
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3_06_92_83);
});
