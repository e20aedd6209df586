/** TLS towards clients and towards targets. */
import { z } from "zod";
import { parseLongDuration } from "../values.ts";
import { acme } from "./acme.ts";
import { key } from "./key.ts";
import { DURATION, file, headerName, parsed } from "./types.ts";

const tlsVersion = z.enum(["1.2", "1.3"]);

const certificate = z.strictObject({
  certificate: file.meta({ description: "PEM file: the chain, the server's own certificate first; relative to this file." }),
  key: file.meta({ description: "PEM file: its private key, not encrypted." }),
});

/** Zero tells browsers to forget it (RFC 6797 section 6.1.1). */
const hstsAge = parsed((text) => (text === "off" ? undefined : parseLongDuration(text)), 'a duration, as "12h" or "365d"', DURATION);

const hsts = z.strictObject({
  max_age: key(hstsAge, "How long browsers ask by https only; 0s: they forget it.", "365d"),
  include_subdomains: key(z.boolean(), "Names below the host too.", false),
  preload: key(z.boolean(), "The host may be listed in browsers; needs include_subdomains and a year.", false),
});

export const listenerTls = z.strictObject({
  certificates: key(z.array(certificate), "Chosen by the name that a client asks for; the first one for any other name, and for clients that name nobody."),
  acme: key(acme, "A certificate that Fairlead gets and renews by itself (RFC 8555), after those of certificates."),
  min_version: key(tlsVersion, "The oldest version of TLS.", "1.2"),
  max_version: key(tlsVersion, "The newest.", "1.3"),
  ciphers: key(z.string().min(1), "OpenSSL's list of ciphers for TLS 1.2; those of 1.3 are fixed.", "ECDHE with AES-GCM or ChaCha20"),
  alpn: key(z.array(z.string().regex(/^[\x21-\x7e]{1,255}$/, { error: "a protocol's name has 1 to 255 printable characters" })), "tcp listeners: protocols that are offered, by preference; http listeners offer what they speak."),
  client_ca: key(file, "PEM file: authorities whose clients' certificates are accepted; relative to this file. Absent: clients are not asked for one."),
  client_auth: key(z.enum(["required", "optional"]), "With client_ca: clients without a certificate are refused, or let in. One that is not good is refused in any case.", "required"),
  client_subject_header: key(headerName, "http: targets are told the subject of the client's certificate in this header (RFC 4514). What a client sends under that name is taken away."),
  hsts: key(z.union([hsts, hstsAge, z.boolean()]), "http: Strict-Transport-Security on replies that have none, for this long; true: a year; 0s: browsers forget it; absent: none."),
});

export const upstreamTls = z.strictObject({
  verify: key(z.boolean(), "The target's certificate must be valid, and for server_name.", true),
  ca: key(file, "PEM file: authorities that are trusted instead of the system's; relative to this file."),
  server_name: key(z.string().regex(/^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$/, { error: 'a server is asked for by a host name, as "api.internal"' }), "The name that is asked for (SNI) and that the certificate must be for; absent: the host of the target's address."),
  certificate: key(file, "PEM file: the chain that we show to targets that ask for one."),
  key: key(file, "PEM file: its private key, not encrypted."),
  min_version: key(tlsVersion, "The oldest version of TLS.", "1.2"),
  max_version: key(tlsVersion, "The newest.", "1.3"),
});
