/** One order from beginning to end: RFC 8555 section 7.4, with its authorizations and challenges. Whether and when is acme.ts's business. */
import { X509Certificate, createPrivateKey } from "node:crypto";
import type { AcmeCertificateConfig, AcmeChallenge } from "../config/snapshot.ts";
import type { Answer, AcmeClient } from "./client.ts";
import type { PendingChallenges } from "./challenges.ts";
import { AcmeProblem, type ProblemDocument } from "./problem.ts";
import { certificateRequest, challengeCertificate, type Pair } from "./x509.ts";

/** Between two looks at something that takes its time, in ms: the first pause, doubled up to the last; a Retry-After goes before. */
const FIRST_LOOK = 250;
const LAST_LOOK = 10_000;
/** The longest that one thing is waited for, in ms. */
const PATIENCE = 180_000;

interface Order {
  readonly status: "pending" | "ready" | "processing" | "valid" | "invalid";
  readonly authorizations: readonly string[];
  readonly finalize: string;
  readonly certificate?: string;
  readonly error?: ProblemDocument;
}

interface Challenge {
  readonly type: string;
  readonly url: string;
  readonly token: string;
  readonly error?: ProblemDocument;
}

interface Authorization {
  readonly identifier: { readonly value: string };
  readonly status: "pending" | "valid" | "invalid" | "deactivated" | "expired" | "revoked";
  readonly challenges: readonly Challenge[];
}

export interface OrderOptions {
  readonly client: AcmeClient;
  readonly certificate: AcmeCertificateConfig;
  /** The one that is tried where the CA offers it; else the next. */
  readonly challenges: readonly AcmeChallenge[];
  readonly pending: PendingChallenges;
  readonly wall: () => number;
  readonly sleep: (milliseconds: number) => Promise<void>;
}

/** @throws AcmeProblem when the CA refuses, Error for everything else */
export async function order(options: OrderOptions): Promise<Pair> {
  const { client, certificate } = options;
  const { domains, keyType } = certificate;
  const { body: placed, location } = await client.newOrder<Order>({ identifiers: domains.map((value) => ({ type: "dns", value })) });
  const outcomes = await Promise.allSettled(placed.authorizations.map((url) => authorize(options, url)));
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  const ready = await settled<Order>(options, "the order", location, ({ status }) => status === "pending");
  failIfInvalid(ready);
  const { der, key } = await certificateRequest(domains, keyType);
  await client.post<Order>("the certificate request", ready.finalize, { csr: Buffer.from(der).toString("base64url") });
  const done = await settled<Order>(options, "the certificate", location, ({ status }) => status === "processing" || status === "ready");
  failIfInvalid(done);
  if (done.certificate === undefined) throw new Error("the order is valid and names no certificate");
  const { body: chain } = await client.get<string>("the certificate", done.certificate);
  check(chain, key, domains);
  return { certificate: chain, key };
}

function failIfInvalid({ status, error }: Order): void {
  if (status === "invalid") throw new AcmeProblem("the order", error ?? {});
}

/** Show that one name is ours. */
async function authorize(options: OrderOptions, url: string): Promise<void> {
  const { client } = options;
  const { body: authorization } = await client.get<Authorization>("an authorization", url);
  if (authorization.status === "valid") return;
  const name = authorization.identifier.value;
  const challenge = options.challenges.flatMap((type) => authorization.challenges.filter((each) => each.type === type)).at(0);
  if (challenge === undefined) throw new Error(`${name}: the CA offers ${authorization.challenges.map(({ type }) => type).join(", ")}; here there is ${options.challenges.join(" and ")}`);
  const hide = await show(options, challenge, name);
  try {
    await client.post("a challenge", challenge.url, {});
    const end = await settled<Authorization>(options, `the authorization of ${name}`, url, ({ status }) => status === "pending");
    if (end.status === "valid") return;
    const error = end.challenges.find(({ type }) => type === challenge.type)?.error;
    throw new AcmeProblem(`${name} by ${challenge.type}`, error ?? { detail: `the authorization is ${end.status}` });
  } finally {
    await hide();
  }
}

/** @returns what takes the answer away again */
async function show({ client, pending, wall }: OrderOptions, { type, token }: Challenge, name: string): Promise<() => Promise<void>> {
  const keyAuthorization = await client.keyAuthorization(token);
  if (type === "http-01") {
    // A token is base64url (RFC 8555 section 8.1); anything else would be a path of the CA's choice.
    if (!/^[A-Za-z0-9_-]+$/.test(token)) throw new Error(`${name}: the CA's token is none`);
    await pending.addHttp(token, keyAuthorization);
    return () => pending.removeHttp(token);
  }
  await pending.addAlpn(name, await challengeCertificate(name, keyAuthorization, wall()));
  return () => pending.removeAlpn(name);
}

/** Ask until it is something else than `unsettled`. */
async function settled<T>({ client, sleep, wall }: OrderOptions, what: string, url: string, unsettled: (body: T) => boolean): Promise<T> {
  const end = wall() + PATIENCE;
  for (let pause = FIRST_LOOK; ; pause = Math.min(LAST_LOOK, pause * 2)) {
    const { body, retryAfter }: Answer<T> = await client.get<T>(what, url);
    if (!unsettled(body)) return body;
    const next = retryAfter ?? pause;
    if (wall() + next > end) throw new Error(`${what} is not settled after ${PATIENCE / 1000} s`);
    await sleep(next);
  }
}

/** What the CA gives is looked at before it goes where it is served. */
function check(chain: string, key: string, domains: readonly string[]): void {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(chain);
  } catch {
    throw new Error("what the CA gives is no certificate");
  }
  if (!certificate.checkPrivateKey(createPrivateKey(key))) throw new Error("the certificate is for another key");
  const missing = domains.filter((name) => certificate.checkHost(name) === undefined);
  if (missing.length > 0) throw new Error(`the certificate is not for ${missing.join(", ")}`);
}
