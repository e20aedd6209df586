/** What the config says of TLS, on listeners and to targets: compiled, and tried out. */
import { X509Certificate } from "node:crypto";
import { bunTlsContext } from "../../net/bun-tls.ts";
import { acmeCertificates } from "../acme-certificates.ts";
import type { SelfSigned } from "../self-signed.ts";
import { isPemProblem, type PemFiles, type PemProblem } from "../certificates.ts";
import type { Problem } from "../problem.ts";
import type { Path } from "../positions.ts";
import type { RawListener, RawUpstream } from "../schema.ts";
import type { AcmeCertificateConfig, CertificateConfig, ListenerTls, TlsVersion, UpstreamTls } from "../snapshot.ts";

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
const HTTP_PROTOCOLS: readonly string[] = ["h2", "http/1.1"];

/** What frames a message, or is said by a proxy itself: a subject there would break each request, or be taken for something else. */
const RESERVED = /^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-connection|http2-settings|max-forwards|via|forwarded|x-forwarded-(for|proto|host)|x-request-id)$/i;

/** Where files come from, and what their dates are held against. */
export interface TlsSources {
  readonly files: PemFiles;
  /** Gives the development certificate. */
  readonly selfSigned: (names: readonly string[]) => SelfSigned;
  /** Wall-clock ms. */
  readonly now: number;
}

/** In ms. */
const YEAR = 365 * 86_400_000;
/** A development certificate with more hosts would be a burden to each handshake. */
const MAX_DEVELOPMENT_HOSTS = 100;

/**
 * @param hosts of the routes
 * @param http2 it is offered
 * @returns undefined when it is absent, or wrong: then that is among the problems
 */
export function listenerTls(raw: RawListener, hosts: readonly string[], http2: boolean, at: Path, { files, now, selfSigned }: TlsSources, acme: AcmeCertificateConfig | undefined, problems: Problem[]): ListenerTls | undefined {
  if (raw.tls === undefined) return undefined;
  const tls = raw.tls === "self-signed" ? {} : raw.tls;
  const path = [...at, "tls"];
  const before = problems.length;
  const { min_version: minVersion = "1.2", max_version: maxVersion = "1.3", ciphers = CIPHERS, alpn, certificates = [] } = tls;
  checkVersions(minVersion, maxVersion, path, problems);
  if (alpn !== undefined && raw.protocol !== "tcp") problems.push({ path: [...path, "alpn"], about: "key", message: "an http listener offers what it speaks", hint: "leave alpn out" });
  const wantsHttp = (key: "client_subject_header" | "hsts"): void => {
    if (tls[key] !== undefined && raw.protocol === "tcp") problems.push({ path: [...path, key], about: "key", message: `${key} goes with protocol = "http"`, hint: "leave it out" });
  };
  wantsHttp("client_subject_header");
  wantsHttp("hsts");
  for (const key of ["client_auth", "client_subject_header"] as const) {
    if (tls[key] !== undefined && tls.client_ca === undefined) problems.push({ path: [...path, key], about: "key", message: `${key} needs client_ca`, hint: 'add client_ca = "…", a PEM file of authorities' });
  }
  if (RESERVED.test(tls.client_subject_header ?? "")) problems.push({ path: [...path, "client_subject_header"], about: "value", message: `${tls.client_subject_header} has a meaning of its own`, hint: 'take a name that nothing else uses, as "X-Client-Subject"' });
  const clientCa = tls.client_ca === undefined ? undefined : files.authorities(tls.client_ca);
  if (clientCa !== undefined && isPemProblem(clientCa)) problems.push({ ...told(clientCa, path), path: [...path, "client_ca"] });
  const hsts = hstsOf(tls.hsts, path, problems);
  if (certificates.length === 0 && acme === undefined && raw.tls !== "self-signed") problems.push({ path, about: "key", message: "a listener with TLS needs a certificate", hint: "add [[listeners.tls.certificates]] with certificate and key, or acme" });
  const read = certificates.flatMap(({ certificate, key }, index) => identity(files.identity(certificate, key, now), [...path, "certificates", index], problems) ?? []);
  if (problems.length > before) return undefined;
  if (raw.tls === "self-signed") read.push(development(hosts, selfSigned));
  for (const [index, each] of read.entries()) if (!tryOut(each, { minVersion, maxVersion, ciphers }, path, index, problems)) return undefined;
  const own = acme === undefined ? [] : acmeCertificates(acme, now);
  if (acme !== undefined) files.follow(acme.file);
  return {
    minVersion,
    maxVersion,
    ciphers,
    alpn: alpn ?? (raw.protocol === "tcp" ? [] : http2 ? HTTP_PROTOCOLS : HTTP_PROTOCOLS.slice(1)),
    ...(typeof clientCa === "string" ? { clientCa } : {}),
    clientCertificate: clientCa === undefined ? "none" : (tls.client_auth ?? "required"),
    ...(tls.client_subject_header === undefined ? {} : { clientSubjectHeader: tls.client_subject_header }),
    ...(hsts === undefined ? {} : { hsts }),
    ...(raw.tls === "self-signed" ? { selfSigned: true } : {}),
    certificates: [...read, ...own],
    ...(acme === undefined ? {} : { acme }),
  };
}

/** Whom a browser on this machine may ask for, and what the routes are for. */
function development(hosts: readonly string[], selfSigned: TlsSources["selfSigned"]): CertificateConfig {
  const names = [...new Set(["localhost", "127.0.0.1", "::1", ...hosts.filter((host) => /^[a-z0-9*.-]+$/.test(host) && host !== "*").slice(0, MAX_DEVELOPMENT_HOSTS)])];
  const { file, certificate, key } = selfSigned(names);
  return { file, certificate, key, names, notAfter: Date.parse(new X509Certificate(certificate).validTo) };
}

/** The value of Strict-Transport-Security (RFC 6797 section 6.1). */
function hstsOf(raw: Exclude<NonNullable<RawListener["tls"]>, "self-signed">["hsts"], path: Path, problems: Problem[]): string | undefined {
  if (raw === undefined || raw === false) return undefined;
  const { max_age: maxAge = YEAR, include_subdomains: below = false, preload = false } = raw === true ? {} : typeof raw === "number" ? { max_age: raw } : raw;
  // What browsers' lists ask of who wants to be on them.
  if (preload && (!below || maxAge < YEAR)) problems.push({ path: [...path, "hsts", "preload"], about: "key", message: "preload needs include_subdomains = true and a max_age of a year", hint: "add them, or leave preload out" });
  return `max-age=${Math.floor(maxAge / 1000)}${below ? "; includeSubDomains" : ""}${preload ? "; preload" : ""}`;
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
