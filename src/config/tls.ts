/** What the config says of TLS, on listeners and to targets: compiled, and tried out. */
import { bunTlsContext } from "../net/bun-tls.ts";
import { isPemProblem, type PemFiles, type PemProblem } from "./certificates.ts";
import type { Problem } from "./compile.ts";
import type { Path } from "./positions.ts";
import type { RawListener, RawUpstream } from "./schema.ts";
import type { CertificateConfig, ListenerTls, TlsVersion, UpstreamTls } from "./snapshot.ts";

/** Forward secrecy and authenticated encryption only; what is quickest on today's processors first. */
const CIPHERS = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
].join(":");
/** What http listeners speak, by preference. */
const HTTP_PROTOCOLS: readonly string[] = ["http/1.1"];

/** Where files come from, and what their dates are held against. */
export interface TlsSources {
  readonly files: PemFiles;
  /** Wall-clock ms. */
  readonly now: number;
}

/** @returns undefined when it is absent, or wrong: then that is among the problems */
export function listenerTls(raw: RawListener, at: Path, { files, now }: TlsSources, problems: Problem[]): ListenerTls | undefined {
  const { tls } = raw;
  if (tls === undefined) return undefined;
  const path = [...at, "tls"];
  const before = problems.length;
  const { min_version: minVersion = "1.2", max_version: maxVersion = "1.3", ciphers = CIPHERS, alpn, certificates = [] } = tls;
  checkVersions(minVersion, maxVersion, path, problems);
  if (alpn !== undefined && raw.protocol !== "tcp") problems.push({ path: [...path, "alpn"], about: "key", message: "an http listener offers what it speaks", hint: "leave alpn out" });
  if (certificates.length === 0) problems.push({ path, about: "key", message: "a listener with TLS needs a certificate", hint: "add [[listeners.tls.certificates]] with certificate and key" });
  const read = certificates.flatMap(({ certificate, key }, index) => identity(files.identity(certificate, key, now), [...path, "certificates", index], problems) ?? []);
  if (problems.length > before) return undefined;
  for (const [index, each] of read.entries()) if (!tryOut(each, { minVersion, maxVersion, ciphers }, path, index, problems)) return undefined;
  return { minVersion, maxVersion, ciphers, alpn: alpn ?? (raw.protocol === "tcp" ? [] : HTTP_PROTOCOLS), certificates: read };
}

function checkVersions(min: TlsVersion, max: TlsVersion, path: Path, problems: Problem[]): void {
  if (min > max) problems.push({ path: [...path, "min_version"], about: "value", message: `min_version ${min} is above max_version ${max}`, hint: "leave one of the two out" });
}

function told({ about, message, hint }: PemProblem, path: Path): Problem {
  return { path: [...path, about], about: "value", message, ...(hint === undefined ? {} : { hint }) };
}

function identity(result: CertificateConfig | PemProblem, at: Path, problems: Problem[]): CertificateConfig | undefined {
  if (!isPemProblem(result)) return result;
  problems.push(told(result, at));
  return undefined;
}

/** What can be wrong beyond what was checked, only the library knows. */
function tryOut({ certificate, key }: CertificateConfig, how: { minVersion: TlsVersion; maxVersion: TlsVersion; ciphers: string }, path: Path, index: number, problems: Problem[]): boolean {
  try {
    bunTlsContext({ ...how, certificate, key });
    return true;
  } catch (error) {
    const { message } = error as Error;
    if (message.includes("NO_CIPHER_MATCH")) problems.push({ path: [...path, "ciphers"], about: "value", message: "none of these ciphers is known", hint: "write OpenSSL's names, as ECDHE-RSA-AES128-GCM-SHA256, or leave ciphers out" });
    else problems.push({ path: [...path, "certificates", index], about: "key", message: `this certificate cannot be used: ${message}` });
    return false;
  }
}

/** @returns undefined when it is absent, or wrong: then that is among the problems */
export function upstreamTls(raw: RawUpstream, at: Path, { files, now }: TlsSources, problems: Problem[]): UpstreamTls | undefined {
  if (raw.tls === undefined || raw.tls === false) return undefined;
  const table = raw.tls === true ? {} : raw.tls;
  const path = [...at, "tls"];
  const before = problems.length;
  const { verify = true, server_name: serverName, min_version: minVersion = "1.2", max_version: maxVersion = "1.3", certificate, key, ca } = table;
  checkVersions(minVersion, maxVersion, path, problems);
  if ((certificate === undefined) !== (key === undefined)) problems.push({ path: [...path, certificate === undefined ? "key" : "certificate"], about: "key", message: "certificate and key go together", hint: "add the other one" });
  if (ca !== undefined && !verify) problems.push({ path: [...path, "ca"], about: "key", message: "ca is of no use with verify = false", hint: "leave verify out: then certificates are checked against ca" });
  const own = certificate === undefined || key === undefined ? undefined : identity(files.identity(certificate, key, now), path, problems);
  const authorities = ca === undefined ? undefined : files.authorities(ca);
  if (authorities !== undefined && isPemProblem(authorities)) problems.push({ ...told(authorities, path), path: [...path, "ca"] });
  if (problems.length > before) return undefined;
  return {
    verify,
    minVersion,
    maxVersion,
    ...(serverName === undefined ? {} : { serverName }),
    ...(typeof authorities === "string" ? { ca: authorities } : {}),
    ...(own === undefined ? {} : { certificate: own.certificate, key: own.key }),
  };
}
