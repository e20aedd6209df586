/** Certificates made for a test: an authority, and what it signs. */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { BasicConstraintsExtension, cryptoProvider, type JsonName, SubjectAlternativeNameExtension, type X509Certificate, X509CertificateGenerator } from "@peculiar/x509";

cryptoProvider.set(webcrypto as unknown as Crypto);

const DAY = 86_400_000;
const EC = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** Both as PEM; the chain has the leaf first and no root. */
export interface Pair {
  readonly certificate: string;
  readonly key: string;
}

export interface IssueOptions {
  /** Names and IPv4 addresses that it is for. */
  readonly names?: readonly string[];
  /** As RFC 4514 writes it, or part by part; default: CN of the first name. */
  readonly subject?: string | JsonName;
  /** Days from now; default -1 to 90. */
  readonly from?: number;
  readonly to?: number;
  /** An RSA key of so many bits instead of P-256. */
  readonly rsa?: number;
}

type Algorithm = Parameters<typeof X509CertificateGenerator.create>[0]["signingAlgorithm"];

async function keysOf(rsa: number | undefined): Promise<CryptoKeyPair> {
  const algorithm = rsa === undefined ? EC : { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength: rsa, publicExponent: new Uint8Array([1, 0, 1]) };
  return (await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as CryptoKeyPair;
}

async function keyPem({ privateKey }: CryptoKeyPair): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", privateKey as never));
  return `-----BEGIN PRIVATE KEY-----\n${der.toString("base64").replaceAll(/.{1,64}/g, "$&\n")}-----END PRIVATE KEY-----\n`;
}

function validity({ from = -1, to = 90 }: IssueOptions): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(Date.now() + from * DAY), notAfter: new Date(Date.now() + to * DAY) };
}

export class Authority {
  private readonly keys: CryptoKeyPair;
  private readonly certificate: X509Certificate;
  /** Its own chain, without the root; "" for a root. */
  private readonly chain: string;

  private constructor(keys: CryptoKeyPair, certificate: X509Certificate, chain: string) {
    this.keys = keys;
    this.certificate = certificate;
    this.chain = chain;
  }

  static async create(name = "Test CA"): Promise<Authority> {
    const keys = await keysOf(undefined);
    const certificate = await X509CertificateGenerator.createSelfSigned({ name: `CN=${name}`, ...validity({ to: 365 }), keys, signingAlgorithm: EC as Algorithm, extensions: [new BasicConstraintsExtension(true, undefined, true)] });
    return new Authority(keys, certificate, "");
  }

  /** What others trust. */
  get pem(): string {
    return `${this.certificate.toString("pem")}\n`;
  }

  /** An authority below this one. */
  async intermediate(name: string): Promise<Authority> {
    const keys = await keysOf(undefined);
    const certificate = await this.sign(keys, `CN=${name}`, {}, [new BasicConstraintsExtension(true, undefined, true)]);
    return new Authority(keys, certificate, `${certificate.toString("pem")}\n${this.chain}`);
  }

  async issue(options: IssueOptions = {}): Promise<Pair> {
    const { names = ["localhost"], rsa } = options;
    const keys = await keysOf(rsa);
    const alternatives = names.map((value) => ({ type: /^[\d.]+$/.test(value) ? ("ip" as const) : ("dns" as const), value }));
    const certificate = await this.sign(keys, options.subject ?? `CN=${names[0]!}`, options, [new BasicConstraintsExtension(false), ...(alternatives.length === 0 ? [] : [new SubjectAlternativeNameExtension(alternatives)])]);
    return { certificate: `${certificate.toString("pem")}\n${this.chain}`, key: await keyPem(keys) };
  }

  private sign(keys: CryptoKeyPair, subject: string | JsonName, options: IssueOptions, extensions: (BasicConstraintsExtension | SubjectAlternativeNameExtension)[]): Promise<X509Certificate> {
    return X509CertificateGenerator.create({ subject, issuer: this.certificate.subject, ...validity(options), publicKey: keys.publicKey, signingKey: this.keys.privateKey, signingAlgorithm: EC as Algorithm, extensions });
  }
}

/** Files of a configuration: `NAME.pem` and `NAME.key`. */
export function pemFiles(pairs: Readonly<Record<string, Pair>>): Record<string, string> {
  return Object.fromEntries(Object.entries(pairs).flatMap(([name, { certificate, key }]) => [[`${name}.pem`, certificate], [`${name}.key`, key]]));
}
