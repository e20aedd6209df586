/** Makes a certificate that is signed by its own key: for development, where no authority is at hand. X.509 version 3 (RFC 5280) in DER (X.690). */
import { generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";
import ipaddr from "ipaddr.js";

/** As PEM. */
export interface SelfSigned {
  /** Where it is kept, or what it is called where it is not. */
  readonly file: string;
  readonly certificate: string;
  readonly key: string;
}

const DAY = 86_400_000;
/** Browsers refuse longer ones. */
const LIFETIME = 365 * DAY;
/** Clocks differ. */
const BACKDATED = 3_600_000;

const OID = { ecdsaWithSha256: "2a8648ce3d040302", commonName: "550403", basicConstraints: "551d13", keyUsage: "551d0f", extendedKeyUsage: "551d25", subjectAltName: "551d11", serverAuth: "2b06010505070301" } as const;

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...head]), content]);
}

const sequence = (...parts: Uint8Array[]): Buffer => der(0x30, ...parts);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"));
const octets = (...parts: Uint8Array[]): Buffer => der(0x04, ...parts);
const TRUE = der(0x01, Buffer.from([0xff]));

/** UTCTime, which ends in 2049. */
function time(at: number): Buffer {
  return der(0x17, Buffer.from(`${new Date(at).toISOString().replaceAll(/[-:T]/g, "").slice(2, 14)}Z`));
}

function extension(id: string, value: Uint8Array, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [TRUE] : []), octets(value));
}

/** GeneralName: iPAddress or dNSName. */
function generalName(name: string): Buffer {
  return ipaddr.isValid(name) ? der(0x87, Buffer.from(ipaddr.parse(name).toByteArray())) : der(0x82, Buffer.from(name, "latin1"));
}

function pem(label: string, bytes: Uint8Array): string {
  return `-----BEGIN ${label}-----\n${Buffer.from(bytes).toString("base64").replaceAll(/.{1,64}/g, "$&\n")}-----END ${label}-----\n`;
}

/**
 * @param names host names, `*.` too, and addresses
 * @param now wall-clock ms
 */
export function makeSelfSigned(names: readonly string[], now: number): Omit<SelfSigned, "file"> {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const name = sequence(der(0x31, sequence(oid(OID.commonName), der(0x0c, Buffer.from("Fairlead development")))));
  // A serial number is positive and not empty.
  const serial = Buffer.concat([Buffer.from([0x40]), randomBytes(15)]);
  const extensions = sequence(
    // Who trusts it has put it among the authorities: it must not be able to sign others.
    extension(OID.basicConstraints, sequence(), true),
    extension(OID.keyUsage, der(0x03, Buffer.from([7, 0x80])), true),
    extension(OID.extendedKeyUsage, sequence(oid(OID.serverAuth))),
    extension(OID.subjectAltName, sequence(...names.map(generalName))),
  );
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    algorithm,
    name,
    sequence(time(now - BACKDATED), time(now + LIFETIME)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, extensions),
  );
  const signature = sign("sha256", body, privateKey);
  return {
    certificate: pem("CERTIFICATE", sequence(body, algorithm, der(0x03, Buffer.from([0]), signature))),
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}

/** Below so many days it is made anew. */
const SPARE = 30 * DAY;

/** Is this PEM text, chain and key, still good for these names? @returns the names that it has; undefined: it is not good at all */
export function namesOfSelfSigned(text: string, now: number): string[] | undefined {
  try {
    const leaf = new X509Certificate(text);
    if (Date.parse(leaf.validTo) - now < SPARE) return undefined;
    return (leaf.subjectAltName ?? "").split(", ").map((each) => each.replace(/^(DNS|IP Address):/, "")).map((each) => (ipaddr.isValid(each) ? ipaddr.parse(each).toString() : each));
  } catch {
    return undefined;
  }
}
