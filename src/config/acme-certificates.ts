/** Certificates that we got by ourselves, as they are kept: what a listener shows by now. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { namesOf } from "./certificates.ts";
import type { AcmeCertificateConfig, CertificateConfig } from "./snapshot.ts";

/** Subject and issuer of what a listener shows before its first certificate is there. */
export const PLACEHOLDER = "CN=Fairlead placeholder";
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const KEY = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/g;

/**
 * What is shown by now. One that has expired is better than none, so dates are not looked at. As long as there is a placeholder only, certificates from before
 * the domains were changed go first, for the names that they have.
 */
export function acmeCertificates({ file, domains }: AcmeCertificateConfig, now: number): CertificateConfig[] {
  const own = readCertificate(file);
  if (own?.isPlaceholder === false) return [own.certificate];
  const before = neighbours(file).filter(({ isPlaceholder, certificate: { names, notAfter } }) => !isPlaceholder && notAfter > now && names.some((name) => domains.includes(name)));
  const all = [...before.toSorted((a, b) => b.certificate.notAfter - a.certificate.notAfter), ...(own === undefined ? [] : [own])];
  return all.map(({ certificate }) => certificate);
}

interface Read {
  readonly certificate: CertificateConfig;
  readonly isPlaceholder: boolean;
}

function readCertificate(file: string): Read | undefined {
  try {
    const pem = readFileSync(file, "utf8");
    const leaf = new X509Certificate(pem);
    const [certificate, key] = [pem.match(CERTIFICATE) ?? [], pem.match(KEY) ?? []].map((blocks) => `${blocks.join("\n")}\n`) as [string, string];
    if (!leaf.checkPrivateKey(createPrivateKey(key))) return undefined;
    return { certificate: { file, certificate, key, names: namesOf(leaf), notAfter: Date.parse(leaf.validTo) }, isPlaceholder: leaf.subject === PLACEHOLDER };
  } catch {
    // None yet, or somebody has written something else there: a new one will come.
    return undefined;
  }
}

function neighbours(file: string): Read[] {
  const folder = dirname(file);
  try {
    return readdirSync(folder).flatMap((name) => (name.endsWith(".pem") && name !== basename(file) ? (readCertificate(join(folder, name)) ?? []) : []));
  } catch {
    return [];
  }
}
