/** TLS towards clients and towards targets, and certificates. */
import type { Milliseconds } from "./units.ts";

export type TlsVersion = "1.2" | "1.3";

export interface ListenerTls {
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** OpenSSL's list for TLS 1.2. */
  readonly ciphers: string;
  /** Offered by preference; empty: none. */
  readonly alpn: readonly string[];
  /** PEM of authorities; absent: clients are not asked for a certificate. */
  readonly clientCa?: string;
  readonly clientCertificate: "none" | "optional" | "required";
  /** Tells targets its subject. */
  readonly clientSubjectHeader?: string;
  /** Its certificate is one for development. */
  readonly selfSigned?: true;
  /** Value of Strict-Transport-Security (RFC 6797). */
  readonly hsts?: string;
  /** At least one where it is served; the first is for clients whose name none of them has. */
  readonly certificates: readonly CertificateConfig[];
  /** The last of them, which we get by ourselves. */
  readonly acme?: AcmeCertificateConfig;
}

/** Read from its files when the configuration was, so that workers need no access to them. */
export interface CertificateConfig {
  /** The file of the chain, for people. */
  readonly file: string;
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  /** What it is good for: lower-case names, `*.example.org`, addresses. */
  readonly names: readonly string[];
  /** Wall-clock ms since 1970. */
  readonly notAfter: number;
}

export type AcmeChallenge = "http-01" | "tls-alpn-01";
export type AcmeKeyType = "ec256" | "rsa2048";

export interface AcmeCertificateConfig {
  readonly account: AcmeAccountConfig;
  /** Lower-case names, at least one. */
  readonly domains: readonly string[];
  /** What may be tried, by preference; at least one. */
  readonly challenges: readonly AcmeChallenge[];
  readonly keyType: AcmeKeyType;
  /** Absent: a third of its lifetime. */
  readonly renewBefore?: Milliseconds;
  /** Where it is kept, with its key: one PEM file. */
  readonly file: string;
}

export interface AcmeAccountConfig {
  /** URL of the ACME server's directory (RFC 8555 section 7.1.1). */
  readonly directory: string;
  readonly email?: string;
  /** PEM file of what the server's own certificate is checked against; absent: authorities of the system. */
  readonly ca?: string;
  /** RFC 8555 section 7.3.4; the key in base64url. */
  readonly externalAccount?: { readonly kid: string; readonly hmacKey: string };
  /** Where its key is kept. */
  readonly file: string;
}

export interface UpstreamTls {
  /** Check the target's certificate. */
  readonly verify: boolean;
  /** SNI, and what the certificate is checked for; absent: the host of the target's address. */
  readonly serverName?: string;
  /** PEM; absent: authorities of the system. */
  readonly ca?: string;
  /** PEM: what we show of ourselves. */
  readonly certificate?: string;
  readonly key?: string;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
}
