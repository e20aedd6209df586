/** `[listeners.tls.acme]`. */
import { z } from "zod";
import { key } from "./key.ts";
import { lifetime } from "./types.ts";

const domain = z.string().regex(/^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/, {
  error: (issue) => (String(issue.input).startsWith("*.") ? `"${String(issue.input)}" needs the challenge dns-01, which is not offered: name each host, or get this certificate elsewhere` : `"${String(issue.input)}" is not a host name, as "www.example.org"`),
});

export const acme = z.strictObject({
  domains: key(z.array(domain).min(1, { error: "a certificate is for at least one domain" }).max(100, { error: "a certificate is for at most 100 domains" }), "Names of one certificate; absent: the hosts of all routes."),
  email: key(z.string().regex(/^[^\s@,?]+@[^\s@,?]+$/, { error: "this is not a mail address" }), "Where the CA writes to when something is wrong."),
  directory: key(z.url({ protocol: /^https$/, error: "a directory is an https:// URL" }), "The ACME server's directory. Using it is agreeing to its terms of service.", "https://acme-v02.api.letsencrypt.org/directory"),
  challenge: key(z.enum(["auto", "http-01", "tls-alpn-01"]), "How it is shown that the domains are ours; auto: http-01 where a listener speaks http in the clear, else tls-alpn-01, and the other one after a failure.", "auto"),
  key_type: key(z.enum(["ec256", "rsa2048"]), "The certificate's key: ECDSA P-256 or RSA.", "ec256"),
  renew_before: key(lifetime, "So long before it ends a certificate is renewed; absent: after two thirds of its lifetime."),
  ca: key(z.string().min(1), "PEM file: authorities that the directory's own certificate is checked against, instead of the system's; relative to this file."),
  storage: key(z.string().min(1), "Directory where accounts, keys and certificates are kept, relative to this file.", "$XDG_STATE_HOME/fairlead/acme; for root /var/lib/fairlead/acme"),
  eab_kid: key(z.string().min(1), "External account binding, for CAs that ask for it: the key's identifier."),
  eab_hmac_key: key(z.string().regex(/^[A-Za-z0-9_-]{16,}={0,2}$/, { error: "this is not base64url" }), "External account binding: the key, in base64url."),
});
