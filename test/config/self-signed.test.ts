/** The development certificate: what the runtime reads in it is what was asked for. */
import { describe, expect, test } from "bun:test";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { makeSelfSigned, namesOfSelfSigned } from "../../src/config/self-signed.ts";

const NOW = Date.parse("2026-03-04T05:06:07Z");
const DAY = 86_400_000;

describe("a self-signed certificate", () => {
  test("is signed by its own key, for a year from a little before now, and signs nobody else's", () => {
    const { certificate, key } = makeSelfSigned(["localhost", "127.0.0.1", "::1", "*.example.org"], NOW);
    const leaf = new X509Certificate(certificate);
    expect(leaf.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(leaf.verify(leaf.publicKey)).toBe(true);
    expect(leaf.ca).toBe(false);
    expect(Date.parse(leaf.validFrom)).toBe(NOW - 3_600_000);
    expect(Date.parse(leaf.validTo)).toBe(NOW + 365 * DAY);
    expect([leaf.checkHost("localhost"), leaf.checkHost("a.example.org"), leaf.checkHost("example.com"), leaf.checkIP("127.0.0.1"), leaf.checkIP("127.0.0.2")]).toEqual(["localhost", "*.example.org", undefined, "127.0.0.1", undefined] as never);
  });

  test("has a serial number of its own", () => {
    const [a, b] = [makeSelfSigned(["a"], NOW), makeSelfSigned(["a"], NOW)].map(({ certificate }) => new X509Certificate(certificate).serialNumber);
    expect(a).not.toBe(b);
  });

  test("takes any number of names, whatever the length of their lengths", () => {
    for (const count of [1, 5, 9, 10, 200]) {
      const names = Array.from({ length: count }, (_, index) => `host-${index}.example.org`);
      expect(namesOfSelfSigned(makeSelfSigned(names, NOW).certificate, NOW)).toEqual(names);
    }
  });

  test("is told from what is no certificate, and from one that soon expires", () => {
    const { certificate } = makeSelfSigned(["localhost", "::1"], NOW);
    expect(namesOfSelfSigned(certificate, NOW + 334 * DAY)).toEqual(["localhost", "::1"]);
    expect(namesOfSelfSigned(certificate, NOW + 336 * DAY)).toBeUndefined();
    expect(namesOfSelfSigned("nothing", NOW)).toBeUndefined();
  });
});
