/** Certificates in the config: what is wrong with them is said where their key stands in the file, with what would be right. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createPrivateKey } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Diagnostic, loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import { Authority, type Pair, pemFiles } from "../support/certificates.ts";

const directory = mkdtempSync(join(tmpdir(), "fairlead-certificates-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
let good: Pair;
let authority: Authority;

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
}

beforeAll(async () => {
  authority = await Authority.create();
  const below = await authority.intermediate("Below");
  good = await below.issue({ names: ["A.test", "*.a.test", "127.0.0.1"] });
  const weak = await authority.issue({ rsa: 1024 });
  write({
    ...pemFiles({ good, other: await authority.issue(), expired: await authority.issue({ from: -90, to: -2 }), early: await authority.issue({ from: 2 }), weak, unnamed: await authority.issue({ names: [], subject: [{ O: ["Nobody"] }] }), soon: await authority.issue({ to: 5.5 }) }),
    "reversed.pem": good.certificate.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n/g)!.toReversed().join(""),
    "encrypted.key": createPrivateKey(good.key).export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" }) as string,
    "garbage.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "binary.pem": "\u0030\u0082\u0001",
    "ca.pem": authority.pem,
  });
  mkdirSync(join(directory, "folder.pem"));
});

function load(listener: string, upstream = ""): ReturnType<typeof loadConfigText> {
  const text = `[[listeners]]\naddress = ":443"\nupstream = "main"\n${listener}\n[[upstreams]]\nname = "main"\ntargets = [{ address = "127.0.0.1:1" }]\n${upstream}\n`;
  return loadConfigText(text, join(directory, "fairlead.toml"), { slots: new SlotAllocator({ targets: 8, upstreams: 8 }), generation: 1 });
}

function pair(certificate: string, key = certificate.replace(".pem", ".key")): string {
  return `[[listeners.tls.certificates]]\ncertificate = "${certificate}"\nkey = "${key}"`;
}

/** The only thing that is wrong, with the part of the file that it points at. */
function problem(loaded: ReturnType<typeof loadConfigText>): Diagnostic & { at: string } {
  if (loaded.ok) throw new Error("nothing is wrong with it");
  expect(loaded.diagnostics.length).toBe(1);
  const [diagnostic] = loaded.diagnostics as [Diagnostic];
  const { place, quoted } = diagnostic;
  return { ...diagnostic, at: quoted!.slice(place!.column - 1, place!.column - 1 + place!.length) };
}

describe("a certificate that is good", () => {
  test("is in the snapshot with its key, its names in lower case and its end", () => {
    const loaded = load(pair("good.pem"));
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
    const { tls } = loaded.snapshot.listeners[0]!;
    expect(tls!.certificates).toMatchObject([{ file: "good.pem", certificate: good.certificate, key: good.key, names: ["a.test", "*.a.test", "127.0.0.1"] }]);
    expect(Math.round((tls!.certificates[0]!.notAfter - Date.now()) / 86_400_000)).toBe(90);
    expect(tls).toMatchObject({ minVersion: "1.2", maxVersion: "1.3", alpn: ["h2", "http/1.1"] });
    const old = load(`http2 = false\n${pair("good.pem")}`);
    expect(old.ok && old.snapshot.listeners[0]!.tls!.alpn).toEqual(["http/1.1"]);
    expect(loaded.certificateFiles).toEqual([join(directory, "good.pem"), join(directory, "good.key")]);
    expect(loaded.warnings).toEqual([]);
  });

  test("may come as editors and pipelines leave it: with a byte order mark, CRLF, and its key in the same file", () => {
    const odd = (text: string): string => `\uFEFF${text.replaceAll("\n", "\r\n")}`;
    write({ "odd.pem": odd(good.certificate), "odd.key": odd(good.key), "both.pem": good.key + good.certificate, "odd-ca.pem": odd(authority.pem) });
    for (const tables of [pair("odd.pem"), pair("both.pem", "both.pem")]) {
      const loaded = load(`tls.client_ca = "odd-ca.pem"\n${tables}`);
      if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
      // Nothing else is taken out of the file.
      expect(loaded.snapshot.listeners[0]!.tls).toMatchObject({ certificates: [{ certificate: good.certificate }], clientCa: authority.pem });
    }
  });

  test("that is about to expire is warned of", () => {
    const loaded = load(pair("soon.pem"));
    expect(loaded.ok && loaded.warnings[0]).toContain('certificate soon.pem of listener "listener-1" expires in 5 days');
  });
});

describe("a certificate that nobody would see is warned of:", () => {
  const warnings = (...tables: string[]): readonly string[] => {
    const loaded = load(tables.join("\n"));
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
    return loaded.warnings;
  };
  test("those before it have all of its names", () => {
    expect(warnings(pair("good.pem"), pair("other.pem"), pair("good.pem"))).toEqual(['certificate good.pem of listener "listener-1" is never shown: those before it are for a.test, *.a.test, 127.0.0.1 too']);
    expect(warnings(pair("good.pem"), pair("other.pem"))).toEqual([]);
  });
  test("it has none, and is not the first", () => {
    expect(warnings(pair("good.pem"), pair("unnamed.pem"))).toEqual(['certificate unnamed.pem of listener "listener-1" is never shown: it is for no host name']);
    expect(warnings(pair("unnamed.pem"), pair("good.pem"))).toEqual([]);
  });
});

test("hsts may be taken back, and is not off by a word", () => {
  const value = (hsts: string): string | undefined => {
    const loaded = load(`tls = { hsts = ${hsts}, certificates = [{ certificate = "good.pem", key = "good.key" }] }`);
    return loaded.ok ? loaded.snapshot.listeners[0]!.tls!.hsts : loaded.diagnostics[0]!.message;
  };
  expect(['"0s"', '{ max_age = "0s" }', "false", "true", '"off"'].map(value)).toEqual(["max-age=0", "max-age=0", undefined, "max-age=31536000", '"off" is not a duration, as "12h" or "365d"']);
});

describe("what is wrong is told at its key, and what would be right:", () => {
  const cases: readonly [what: string, certificate: string, key: string, at: string, message: RegExp, hint: RegExp][] = [
    ["no such file", "none.pem", "good.key", '"none.pem"', /none\.pem: no such file/, /relative to the config file/],
    ["a directory", "folder.pem", "good.key", '"folder.pem"', /it is a directory/, /relative/],
    ["no such key", "good.pem", "none.key", '"none.key"', /none\.key: no such file/, /relative/],
    ["not PEM", "binary.pem", "good.key", '"binary.pem"', /no certificate in PEM form/, /openssl x509 -inform der/],
    ["changed places", "good.key", "good.pem", '"good.key"', /no certificate in PEM form/, /changed places/],
    ["no key in it", "good.pem", "ca.pem", '"ca.pem"', /no private key/, /BEGIN PRIVATE KEY/],
    ["garbage", "garbage.pem", "good.key", '"garbage.pem"', /certificate 1 in .* cannot be read/, /anew/],
    ["an expired one", "expired.pem", "expired.key", '"expired.pem"', /expired on \d{4}-/, /renew/],
    ["one of the future", "early.pem", "early.key", '"early.pem"', /not valid before/, /clock/],
    ["another's key", "good.pem", "other.key", '"other.key"', /does not belong/, /same renewal/],
    ["an encrypted key", "good.pem", "encrypted.key", '"encrypted.key"', /encrypted/, /openssl pkey/],
    ["a weak key", "weak.pem", "weak.key", '"weak.pem"', /RSA key of 1024 bits/, /P-256/],
    ["the wrong order", "reversed.pem", "good.key", '"reversed.pem"', /wrong order.*number 2/, /first/],
  ];
  for (const [what, certificate, key, at, message, hint] of cases) {
    test(what, () => {
      const found = problem(load(pair(certificate, key)));
      expect(found.message).toMatch(message);
      expect(found.hint).toMatch(hint);
      expect(found.at).toBe(at);
    });
  }

  test("no certificate at all", () => expect(problem(load("[listeners.tls]")).hint).toContain("[[listeners.tls.certificates]]"));
  test("unknown ciphers", () => expect(problem(load(`tls = { ciphers = "NOPE", certificates = [{ certificate = "good.pem", key = "good.key" }] }`))).toMatchObject({ at: '"NOPE"', message: "none of these ciphers is known" }));
  test("versions that exclude each other", () => expect(problem(load(`tls = { min_version = "1.3", max_version = "1.2", certificates = [{ certificate = "good.pem", key = "good.key" }] }`)).message).toContain("above max_version"));
  test("alpn of an http listener", () => expect(problem(load(`tls = { alpn = ["x"], certificates = [{ certificate = "good.pem", key = "good.key" }] }`))).toMatchObject({ at: "alpn" }));
  test.each(["Host", "content-length", "Transfer-Encoding", "Connection", "X-Forwarded-For", "via"])("a subject in %s", (name) => {
    expect(problem(load(`tls = { client_ca = "ca.pem", client_subject_header = "${name}", certificates = [{ certificate = "good.pem", key = "good.key" }] }`))).toMatchObject({ at: `"${name}"`, message: `${name} has a meaning of its own`, hint: expect.stringContaining("X-Client-Subject") });
  });
  test("an unknown key, with those that there are", () => expect(problem(load(`[listeners.tls]\ncertificats = []`)).hint).toContain('"certificates"'));
});

describe("of an upstream", () => {
  test("authorities and our own certificate are read", () => {
    const loaded = load("", `tls = { ca = "ca.pem", certificate = "good.pem", key = "good.key", server_name = "x.test" }`);
    expect(loaded.ok && loaded.snapshot.upstreams[0]!.tls).toEqual({ verify: true, minVersion: "1.2", maxVersion: "1.3", serverName: "x.test", ca: authority.pem, certificate: good.certificate, key: good.key });
    const short = load("", "tls = true");
    expect(short.ok && short.snapshot.upstreams[0]!.tls).toEqual({ verify: true, minVersion: "1.2", maxVersion: "1.3" });
    const off = load("", "tls = false");
    expect(off.ok && "tls" in off.snapshot.upstreams[0]!).toBe(false);
  });

  test("what is wrong is told at its key", () => {
    expect(problem(load("", 'tls = { ca = "good.key" }'))).toMatchObject({ at: '"good.key"', message: expect.stringContaining("no certificate") });
    expect(problem(load("", 'tls = { certificate = "good.pem" }')).message).toContain("go together");
    expect(problem(load("", 'tls = { ca = "ca.pem", verify = false }')).at).toBe("ca");
    expect(problem(load("", "tls = { vrify = false }")).hint).toContain('"verify"');
    expect(problem(load("", 'tls = { server_name = "api internal" }'))).toMatchObject({ at: '"api internal"', message: expect.stringContaining("host name") });
    expect(problem(load("", "tls = { verify = 1 }")).message).toContain("true or false");
    expect(problem(load("", "health_check = { tls = true }")).hint).toContain("tls = true");
  });
});
