/** The X.509 things that ACME needs made: requests, placeholders, and certificates that answer tls-alpn-01. Keys are made here too, in PEM. */
import { createHash, webcrypto } from "node:crypto";
import type { Extension, SubjectAlternativeNameExtension } from "@peculiar/x509";
import type { AcmeKeyType } from "../config/snapshot.ts";
import { PLACEHOLDER } from "../config/acme-certificates.ts";

/** id-pe-acmeIdentifier: RFC 8737 section 6.1. */
const ACME_IDENTIFIER = "1.3.6.1.5.5.7.1.31";
/** A placeholder's life and a challenge's, in ms: nobody is to trust either. */
const PLACEHOLDER_LIFE = 365 * 86_400_000;
const CHALLENGE_LIFE = 86_400_000;
/** Clocks differ. */
const BACKDATED = 3_600_000;

const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const RSA = { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" };

// What the library stands on comes first, in a bundle too, which does not keep the order of import declarations.
await import("reflect-metadata");
const x509 = await import("@peculiar/x509");

x509.cryptoProvider.set(webcrypto as unknown as Crypto);

/** Certificate, with what chains it up, and key. */
export interface Pair {
  readonly certificate: string;
  readonly key: string;
}

/** A request (RFC 2986) for these names, with the key that it is for. */
export async function certificateRequest(names: readonly string[], keyType: AcmeKeyType): Promise<{ readonly der: Uint8Array; readonly key: string }> {
  const { algorithm, keys } = await makeKeys(keyType);
  // Names go in the extension alone: a common name holds 64 characters, and CAs leave it out.
  const request = await x509.Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm: algorithm, extensions: [namesExtension(names)] });
  return { der: new Uint8Array(request.rawData), key: await pemOf(keys) };
}

/** What a listener shows before the first certificate is there. */
export async function placeholder(names: readonly string[], wall: number): Promise<Pair> {
  return selfSigned(PLACEHOLDER, names, wall, PLACEHOLDER_LIFE, []);
}

/** What answers tls-alpn-01 for a name: RFC 8737 section 3. */
export async function challengeCertificate(name: string, keyAuthorization: string, wall: number): Promise<Pair> {
  const digest = createHash("sha256").update(keyAuthorization).digest();
  // An OCTET STRING of 32 bytes in DER.
  const value = Uint8Array.from([0x04, digest.length, ...digest]);
  return selfSigned("CN=ACME challenge", [name], wall, CHALLENGE_LIFE, [new x509.Extension(ACME_IDENTIFIER, true, value)]);
}

async function selfSigned(subject: string, names: readonly string[], wall: number, life: number, extensions: readonly Extension[]): Promise<Pair> {
  const { algorithm, keys } = await makeKeys("ec256");
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: subject,
    notBefore: new Date(wall - BACKDATED),
    notAfter: new Date(wall + life),
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(false, undefined, true), namesExtension(names), ...extensions],
  });
  return { certificate: `${certificate.toString("pem")}\n`, key: await pemOf(keys) };
}

function namesExtension(names: readonly string[]): SubjectAlternativeNameExtension {
  return new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: "dns" as const, value })));
}

async function makeKeys(keyType: AcmeKeyType): Promise<{ readonly algorithm: typeof ECDSA | typeof RSA; readonly keys: CryptoKeyPair }> {
  const algorithm = keyType === "ec256" ? ECDSA : RSA;
  return { algorithm, keys: (await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as CryptoKeyPair };
}

async function pemOf({ privateKey }: CryptoKeyPair): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", privateKey as never));
  return `-----BEGIN PRIVATE KEY-----\n${der.toString("base64").replaceAll(/.{1,64}/g, "$&\n")}-----END PRIVATE KEY-----\n`;
}
