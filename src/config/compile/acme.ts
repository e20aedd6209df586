/** `[listeners.tls.acme]`: what it means together with the other listeners and the routes, and where what comes of it is kept. */
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import type { Problem } from "../problem.ts";
import type { RawListener, RawRoute } from "../schema.ts";
import type { AcmeAccountConfig, AcmeCertificateConfig, AcmeChallenge } from "../snapshot.ts";
import { isFile } from "../stat.ts";
import { stateDirectory } from "../state-directory.ts";

type RawAcme = NonNullable<Exclude<NonNullable<RawListener["tls"]>, "self-signed">["acme"]>;

const LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory";
/** A certificate's names, by RFC 8555's most widespread server. */
const MOST_DOMAINS = 100;

function rawAcme({ tls }: RawListener): RawAcme | undefined {
  return tls === "self-signed" ? undefined : tls?.acme;
}

/** Speaks http in the clear, so that http-01 can be answered there. */
function answersHttp({ protocol, tls }: RawListener): boolean {
  return (protocol ?? "http") === "http" && tls === undefined;
}

/** Sees the ClientHello of who validates, so that tls-alpn-01 can be answered there: behind the header of a proxy it does not. */
function answersTls(listener: RawListener): boolean {
  return rawAcme(listener) !== undefined && listener.proxy_protocol === undefined;
}

/** What some listener can answer, by preference. */
function answerable(listeners: readonly RawListener[]): AcmeChallenge[] {
  return [...(listeners.some(answersHttp) ? (["http-01"] as const) : []), ...(listeners.some(answersTls) ? (["tls-alpn-01"] as const) : [])];
}

export function checkAcme(listeners: readonly RawListener[], routes: readonly RawRoute[], directory: string, problems: Problem[]): void {
  const accounts = new Map<string, { readonly index: number; readonly who: string }>();
  const possible = answerable(listeners);
  for (const [index, listener] of listeners.entries()) {
    const acme = rawAcme(listener);
    if (acme === undefined) continue;
    const at = ["listeners", index, "tls", "acme"];
    const wrong = (key: string, message: string, hint: string): void => void problems.push({ path: key === "" ? at : [...at, key], about: "key", message, hint });
    const { challenge = "auto" } = acme;
    if (challenge === "auto" ? possible.length === 0 : !possible.includes(challenge)) {
      if (challenge === "http-01") wrong("challenge", "http-01 is answered by a listener that speaks http without tls, and there is none", 'add one (the CA asks on port 80), or set challenge = "tls-alpn-01"');
      else wrong(acme.challenge === undefined ? "" : "challenge", "tls-alpn-01 cannot be answered behind a proxy that sends the PROXY protocol", "add a listener that speaks http without tls (the CA asks on port 80), for http-01");
    }
    if ((acme.eab_kid === undefined) !== (acme.eab_hmac_key === undefined)) wrong(acme.eab_kid === undefined ? "eab_hmac_key" : "eab_kid", "eab_kid and eab_hmac_key go together", "add the other one, or leave both out");
    if (acme.ca !== undefined && !isFile(resolve(directory, acme.ca))) problems.push({ path: [...at, "ca"], about: "value", message: `no file ${resolve(directory, acme.ca)}`, hint: "its path is relative to the config file" });
    if (acme.domains === undefined) checkRouteHosts(routes, wrong);
    const { file } = accountOf(acme, directory);
    const who = JSON.stringify([acme.email, acme.eab_kid, acme.eab_hmac_key, acme.ca]);
    const other = accounts.get(file);
    if (other !== undefined && other.who !== who) wrong("", `listener ${other.index + 1} has another email, eab or ca for the same directory`, "there is one account a directory: write the same in both");
    accounts.set(file, { index, who });
  }
}

function checkRouteHosts(routes: readonly RawRoute[], wrong: (key: string, message: string, hint: string) => void): void {
  const hosts = hostsOf(routes);
  const odd = hosts.find((host) => !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(host));
  if (hosts.length === 0) wrong("", "it is not said for which names a certificate is wanted, and no route names a host", 'add domains = ["www.example.org"]');
  else if (odd !== undefined) wrong("", `without domains the certificate is for the hosts of all routes, and "${odd}" cannot be had by ${odd.startsWith("*") ? "http-01 or tls-alpn-01" : "name"}`, "name the domains");
  else if (hosts.length > MOST_DOMAINS) wrong("", `the routes have ${hosts.length} hosts, and a certificate is for at most ${MOST_DOMAINS}`, "name the domains, over several listeners");
}

function hostsOf(routes: readonly RawRoute[]): string[] {
  return [...new Set(routes.flatMap(({ hosts = [] }) => hosts.map((host) => host.toLowerCase())))];
}

/** @returns undefined when the listener has none */
export function acmeOf(listener: RawListener, listeners: readonly RawListener[], routes: readonly RawRoute[], directory: string): AcmeCertificateConfig | undefined {
  const raw = rawAcme(listener);
  if (raw === undefined) return undefined;
  const domains = [...new Set((raw.domains ?? hostsOf(routes)).map((domain) => domain.toLowerCase()))];
  const { challenge = "auto", key_type: keyType = "ec256" } = raw;
  return {
    account: accountOf(raw, directory),
    domains,
    challenges: challenge === "auto" ? answerable(listeners) : [challenge],
    keyType,
    ...(raw.renew_before === undefined ? {} : { renewBefore: raw.renew_before }),
    file: join(folderOf(raw, directory), `${fileNameOf(domains)}${keyType === "ec256" ? "" : `.${keyType}`}.pem`),
  };
}

function accountOf(raw: RawAcme, directory: string): AcmeAccountConfig {
  const { email, ca, eab_kid: kid, eab_hmac_key: hmacKey } = raw;
  return {
    directory: raw.directory ?? LETS_ENCRYPT,
    ...(email === undefined ? {} : { email }),
    ...(ca === undefined ? {} : { ca: resolve(directory, ca) }),
    ...(kid === undefined || hmacKey === undefined ? {} : { externalAccount: { kid, hmacKey } }),
    file: join(folderOf(raw, directory), "account.json"),
  };
}

/** Of one ACME server. */
function folderOf(raw: RawAcme, directory: string): string {
  const storage = raw.storage === undefined ? join(stateDirectory(process.env, process.getuid?.() ?? 0), "acme") : resolve(directory, raw.storage);
  const { host, pathname } = new URL(raw.directory ?? LETS_ENCRYPT);
  return join(storage, `${host}${pathname}`.replaceAll(/[^A-Za-z0-9.]+/g, "-"));
}

/** The first name, and something short for the others: file names have 255 bytes. */
function fileNameOf(domains: readonly string[]): string {
  const [first = "", ...others] = domains.toSorted();
  if (others.length === 0) return first;
  const digest = createHash("sha256").update([first, ...others].join(",")).digest("hex").slice(0, 8);
  return `${first.slice(0, 200)}+${others.length}-${digest}`;
}
