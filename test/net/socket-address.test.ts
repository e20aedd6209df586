/** Addresses as system calls take them. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { AF_INET, AF_INET6, parseIPv4, socketAddress } from "../../src/net/socket-address.ts";

const octet = fc.integer({ min: 0, max: 255 });

describe("an IPv4 address", () => {
  test("is its four bytes, after the port in network order", () => {
    fc.assert(
      fc.property(fc.tuple(octet, octet, octet, octet), fc.integer({ min: 0, max: 65_535 }), (parts, port) => {
        const bytes = socketAddress(parts.join("."), port)!;
        const view = new DataView(bytes.buffer);
        expect([bytes.length, view.getUint16(2, false), [...bytes.subarray(4, 8)], parseIPv4(parts.join("."))]).toEqual([16, port, parts, view.getUint32(4, false)]);
        if (process.platform === "linux") expect(view.getUint16(0, true)).toBe(AF_INET);
      }),
    );
  });

  test("is nothing else", () => {
    for (const text of ["", "1", "1.2.3", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.-4", "1.2.3.4 ", "a.b.c.d", "localhost", "1.2.3.4:5"]) expect([text, parseIPv4(text)]).toEqual([text, undefined]);
    fc.assert(fc.property(fc.string(), (text) => void expect(parseIPv4(text) !== undefined).toBe(/^\d+(\.\d+){3}$/.test(text) && text.split(".").every((part) => Number(part) <= 255))));
  });
});

describe("an IPv6 address", () => {
  test("is its sixteen bytes, after port and flow label", () => {
    fc.assert(
      fc.property(fc.ipV6(), fc.integer({ min: 0, max: 65_535 }), (text, port) => {
        const bytes = socketAddress(text, port)!;
        const view = new DataView(bytes.buffer);
        expect([bytes.length, view.getUint16(2, false), view.getUint32(4), [...bytes.subarray(8, 24)], view.getUint32(24)]).toEqual([28, port, 0, ipaddr.IPv6.parse(text).toByteArray(), 0]);
        if (process.platform === "linux") expect(view.getUint16(0, true)).toBe(AF_INET6);
      }),
    );
  });

  test("of a link has its interface's number, which may be given by name", () => {
    const zone = (text: string): number => new DataView(socketAddress(text, 1)!.buffer).getUint32(24, true);
    expect(zone("fe80::1%7")).toBe(7);
    // The loopback interface is the first one.
    expect(zone(`fe80::1%${process.platform === "darwin" ? "lo0" : "lo"}`)).toBe(1);
  });
});

test("a name is no address", () => {
  for (const text of ["localhost", "dns.example.org", "::g", "[::1]", ""]) expect(socketAddress(text, 1)).toBeUndefined();
});
