/** The writer of PROXY protocol headers: byte for byte what the specification has, and what the reader reads. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Peer } from "../../src/accept/arrival.ts";
import { type ProxyHeader, readProxyHeader } from "../../src/accept/proxy-header.ts";
import { proxyHeader } from "../../src/accept/proxy-header-writer.ts";
import { PP2, SIGNATURE, v1, v2, withChecksum } from "../support/proxy-header.ts";

function peer(remoteAddress: string, localAddress: string): Peer {
  return { remoteAddress, remotePort: 5000, localAddress, localPort: 443 };
}

const TLS = { alpn: "h2", serverName: "a.test", clientSubject: "" };

describe("a header that is sent", () => {
  for (const [what, source, destination, written] of [
    ["IPv4", "192.0.2.7", "198.51.100.1", ["192.0.2.7", "198.51.100.1"]],
    ["IPv6", "2001:db8::7", "2001:db8::1", ["2001:db8::7", "2001:db8::1"]],
    ["IPv4 on a dual-stack socket", "::ffff:192.0.2.7", "::ffff:198.51.100.1", ["192.0.2.7", "198.51.100.1"]],
    ["one end of each", "192.0.2.7", "2001:db8::1", ["::ffff:c000:207", "2001:db8::1"]],
  ] as const)
    test(`says ${what}`, () => {
      const arrival = { peer: peer(source, destination) };
      expect(proxyHeader("v1", arrival).toString()).toBe(v1(written[0], written[1], 5000, 443));
      expect(proxyHeader("v2", arrival)).toEqual(withChecksum({ source: written[0], destination: written[1] }));
    });

  test("says in version 2 what the client asked for in TLS, and what names the connection", () => {
    const tlvs = [[PP2.ALPN, "h2"], [PP2.AUTHORITY, "a.test"]] as const;
    const uniqueId = Buffer.from("id-1");
    expect(proxyHeader("v2", { peer: peer("192.0.2.7", "198.51.100.1"), tls: TLS })).toEqual(withChecksum({ tlvs }));
    expect(proxyHeader("v2", { peer: peer("192.0.2.7", "198.51.100.1"), hello: { serverName: "a.test", alpn: ["h2"] }, uniqueId })).toEqual(withChecksum({ tlvs: [...tlvs, [PP2.UNIQUE_ID, uniqueId]] }));
    // Of several offers none is chosen yet.
    expect(proxyHeader("v2", { peer: peer("192.0.2.7", "198.51.100.1"), hello: { serverName: "", alpn: ["h2", "http/1.1"] } })).toEqual(withChecksum({}));
  });

  test("says of a client without an address that it is unknown", () => {
    const arrival = { peer: { remoteAddress: undefined, localAddress: undefined } as unknown as Peer };
    expect(proxyHeader("v1", arrival).toString()).toBe("PROXY UNKNOWN\r\n");
    expect(proxyHeader("v2", arrival)).toEqual(withChecksum({ familyAndTransport: 0 }));
  });

  test("says of a connection that is nobody's that it is ours", () => {
    expect(proxyHeader("v1", undefined).toString()).toBe("PROXY UNKNOWN\r\n");
    expect(proxyHeader("v2", undefined)).toEqual(Buffer.concat([SIGNATURE, Buffer.from([0x20, 0, 0, 0])]));
    expect(proxyHeader("v2", undefined)).toEqual(v2({ versionAndCommand: 0x20, familyAndTransport: 0 }));
  });
});

test("whatever is written is read again", () => {
  const ends = fc.oneof(fc.tuple(fc.ipV4(), fc.ipV4()), fc.tuple(fc.ipV6(), fc.ipV6()), fc.tuple(fc.ipV4(), fc.ipV6()));
  const port = fc.integer({ min: 0, max: 65_535 });
  fc.assert(
    fc.property(ends, port, port, fc.stringMatching(/^[a-z0-9.]{0,40}$/), fc.constantFrom("v1", "v2"), ([remoteAddress, localAddress], remotePort, localPort, serverName, version) => {
      const bytes = proxyHeader(version, { peer: { remoteAddress, remotePort, localAddress, localPort }, tls: { ...TLS, serverName } });
      const read = readProxyHeader(bytes, 4096) as ProxyHeader;
      expect([read.length, read.peer!.remotePort, read.peer!.localPort]).toEqual([bytes.length, remotePort, localPort]);
      if (version === "v2") expect([read.authority, read.alpn]).toEqual([serverName, "h2"]);
      const again = readProxyHeader(proxyHeader(version, { peer: read.peer! }), 4096) as ProxyHeader;
      expect(again.peer).toEqual(read.peer!);
    }),
    { numRuns: 500 },
  );
});
