/** Certificates, keys and authorities that a config names: read once, checked here, so that no worker finds out in the middle of the night. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { CertificateConfig } from "./snapshot.ts";

/** What is wrong, and with which of the two files. */
export interface PemProblem {
  readonly about: "certificate" | "key";
  readonly message: string;
  readonly hint?: string;
}

class Wrong extends Error {
  readonly problem: PemProblem;

  constructor(problem: PemProblem) {
    super(problem.message);
    this.problem = problem;
  }
}

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
/** RSA keys below are refused: too weak since 2013 (NIST SP 800-131A). */
const MIN_RSA_BITS = 2048;

export class PemFiles {
  private readonly directory: string;
  /** What was read before: it stays in use where what is read now is wrong. */
  private readonly before: ReadonlyMap<string, CertificateConfig | string | PemProblem> | undefined;
  private readonly read = new Map<string, CertificateConfig | string | PemProblem>();
  private readonly followed = new Set<string>();
  /** What is wrong with files whose earlier content is used instead. */
  readonly kept: PemProblem[] = [];

  /** @param directory where relative paths start */
  constructor(directory: string, before?: PemFiles) {
    this.directory = directory;
    this.before = before?.read;
  }

  /** Paths of all files that were asked for. */
  get paths(): string[] {
    return [...new Set([...this.followed, ...[...this.read.keys()].flatMap((key) => key.split("\0"))])];
  }

  /** A change of this file matters too, though it is read elsewhere. */
  follow(path: string): void {
    this.followed.add(path);
  }

  /** A chain and its key. @param now wall-clock ms, against which its dates are held */
  identity(certificate: string, key: string, now: number): CertificateConfig | PemProblem {
    const paths = [resolve(this.directory, certificate), resolve(this.directory, key)] as const;
    return this.once(paths.join("\0"), () => readIdentity(certificate, paths[0], paths[1], now)) as CertificateConfig | PemProblem;
  }

  /** Certificates of authorities, as PEM. */
  authorities(file: string): string | PemProblem {
    const path = resolve(this.directory, file);
    return this.once(path, () => pemOf(parseChain(readText(path, "certificate"), path))) as string | PemProblem;
  }

  private once(name: string, read: () => CertificateConfig | string): CertificateConfig | string | PemProblem {
    const known = this.read.get(name);
    if (known !== undefined) return known;
    let result: CertificateConfig | string | PemProblem;
    try {
      result = read();
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      const earlier = this.before?.get(name);
      if (earlier === undefined || isPemProblem(earlier)) result = error.problem;
      else {
        this.kept.push(error.problem);
        result = earlier;
      }
    }
    this.read.set(name, result);
    return result;
  }
}

export function isPemProblem(result: CertificateConfig | string | PemProblem): result is PemProblem {
  return typeof result === "object" && "about" in result;
}

function readText(path: string, about: PemProblem["about"]): string {
  try {
    // A byte order mark hides the first line from who looks for its beginning.
    return readFileSync(path, "utf8").replace(/^\uFEFF/, "");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const why = { ENOENT: "no such file", EACCES: "no permission to read it", EISDIR: "it is a directory" }[code] ?? String(error);
    throw new Wrong({ about, message: `cannot read ${path}: ${why}`, hint: "paths are relative to the config file" });
  }
}

function parseChain(text: string, path: string): X509Certificate[] {
  const blocks = text.match(BLOCK) ?? [];
  if (blocks.length === 0) {
    const isKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text);
    const hint = isKey ? "it holds a private key: have the two files changed places?" : `a PEM file has lines "-----BEGIN CERTIFICATE-----"; from DER: openssl x509 -inform der -in FILE -out FILE.pem`;
    throw new Wrong({ about: "certificate", message: `${path} holds no certificate in PEM form`, hint });
  }
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new Wrong({ about: "certificate", message: `certificate ${index + 1} in ${path} cannot be read: ${(error as Error).message}`, hint: "get the file anew from whoever issued it" });
    }
  });
}

/** What was checked and nothing else: a file may have more in it, and text around its blocks that another reader of PEM stumbles over. */
function pemOf(chain: readonly X509Certificate[]): string {
  return chain.map((certificate) => `${certificate.toString().trimEnd()}\n`).join("");
}

function parseKey(text: string, path: string): KeyObject {
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) throw new Wrong({ about: "key", message: `${path} holds no private key in PEM form`, hint: 'a PEM file has a line "-----BEGIN PRIVATE KEY-----"' });
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) throw new Wrong({ about: "key", message: `the key in ${path} is encrypted`, hint: "decrypt it once: openssl pkey -in FILE -out FILE.plain, and let nobody else read it" });
  try {
    return createPrivateKey(text);
  } catch (error) {
    throw new Wrong({ about: "key", message: `the key in ${path} cannot be read: ${(error as Error).message}` });
  }
}

function readIdentity(name: string, certificatePath: string, keyPath: string, now: number): CertificateConfig {
  const chain = parseChain(readText(certificatePath, "certificate"), certificatePath);
  const keyText = readText(keyPath, "key");
  const key = parseKey(keyText, keyPath);
  const leaf = chain[0]!;
  if (!leaf.checkPrivateKey(key)) {
    const place = chain.findIndex((each) => each.checkPrivateKey(key));
    if (place > 0) throw new Wrong({ about: "certificate", message: `the chain in ${certificatePath} is in the wrong order: the server's own certificate is number ${place + 1}`, hint: "put it first, then whoever issued it, and so on" });
    throw new Wrong({ about: "key", message: `the key in ${keyPath} does not belong to the certificate in ${certificatePath}`, hint: "they are made in pairs: take both from the same renewal" });
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if ((type === "rsa" || type === "rsa-pss") && (details?.modulusLength ?? 0) < MIN_RSA_BITS) {
    throw new Wrong({ about: "certificate", message: `the certificate in ${certificatePath} has an RSA key of ${details?.modulusLength} bits, which is too weak`, hint: `take ECDSA P-256, or RSA with at least ${MIN_RSA_BITS} bits` });
  }
  const [from, to] = [Date.parse(leaf.validFrom), Date.parse(leaf.validTo)];
  if (now > to) throw new Wrong({ about: "certificate", message: `the certificate in ${certificatePath} expired on ${day(to)}`, hint: "renew it" });
  if (now < from) throw new Wrong({ about: "certificate", message: `the certificate in ${certificatePath} is not valid before ${day(from)}`, hint: "is this machine's clock right?" });
  return { file: name, certificate: pemOf(chain), key: keyText, names: namesOf(leaf), notAfter: to };
}

function day(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}

/** Subject alternative names; of a certificate that has none, the common name. */
export function namesOf(leaf: X509Certificate): string[] {
  const alternatives = leaf.subjectAltName?.split(", ") ?? [];
  const names = alternatives.flatMap((name) => /^(?:DNS|IP Address):(.+)$/.exec(name)?.[1] ?? []);
  if (alternatives.length === 0) names.push(/^CN=(.+)$/m.exec(leaf.subject)?.[1] ?? "");
  return names.filter((name) => name !== "").map((name) => name.toLowerCase());
}
