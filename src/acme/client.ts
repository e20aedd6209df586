/** Talks to an ACME server (RFC 8555): its directory, nonces, signed requests, and the account that signs them. What is asked for is order.ts's business. */
import { calculateJwkThumbprint, FlattenedSign, importJWK, type FlattenedJWS, type JWK } from "jose";
import packageJson from "../../package.json";
import type { AcmeAccountConfig } from "../config/snapshot.ts";
import { AcmeProblem, type ProblemDocument, retryAfterOf } from "./problem.ts";
import type { Account } from "./store.ts";

/** One request, in ms. */
const REQUEST_TIMEOUT = 30_000;
/** A nonce that is refused is replaced so often (RFC 8555 section 6.5). */
const NONCE_TRIES = 10;
/** Nothing that an ACME server says is longer, in bytes: a chain of certificates has a few KiB. */
const MAX_ANSWER = 1024 * 1024;

/** The part of a directory (RFC 8555 section 7.1.1) that is used here. */
interface Directory {
  readonly newNonce: string;
  readonly newAccount: string;
  readonly newOrder: string;
  readonly meta?: { readonly externalAccountRequired?: boolean; readonly termsOfService?: string };
}

export interface Answer<T> {
  readonly body: T;
  /** URL of what was made; "": none was. */
  readonly location: string;
  /** In ms; undefined: it did not say. */
  readonly retryAfter: number | undefined;
}

export interface ClientOptions {
  readonly account: AcmeAccountConfig;
  /** PEM that the server's own certificate is checked against; undefined: the authorities that Bun trusts. */
  readonly ca: string | undefined;
  readonly wall: () => number;
  /** Aborted: nothing more is asked. */
  readonly signal: AbortSignal;
}

export class AcmeClient {
  private readonly options: ClientOptions;
  private directory: Directory | undefined = undefined;
  private readonly nonces: string[] = [];
  private key: JWK | undefined = undefined;
  private accountUrl = "";

  constructor(options: ClientOptions) {
    this.options = options;
  }

  private async fetch(url: string, init: BunFetchRequestInit = {}): Promise<Response> {
    const { ca, signal } = this.options;
    const headers = { "User-Agent": `fairlead/${packageJson.version}`, ...init.headers } as Record<string, string>;
    const tls = ca === undefined ? {} : { tls: { ca } };
    try {
      const response = await fetch(url, { ...init, ...tls, headers, signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT)]) });
      const nonce = response.headers.get("Replay-Nonce");
      if (nonce !== null) this.nonces.push(nonce);
      return response;
    } catch (error) {
      throw new Error(`${new URL(url).host} cannot be asked: ${(error as Error).message}`, { cause: error });
    }
  }

  /** @throws AcmeProblem for every status but 2xx */
  private async read<T>(response: Response, during: string): Promise<Answer<T>> {
    if (Number(response.headers.get("Content-Length") ?? 0) > MAX_ANSWER) throw new Error(`${during}: the answer is too long`);
    const text = await response.text();
    const retryAfter = retryAfterOf(response.headers.get("Retry-After"), this.options.wall());
    const type = response.headers.get("Content-Type") ?? "";
    const isJson = /[/+]json\b/.test(type);
    let body: unknown = text;
    try {
      if (isJson && text !== "") body = JSON.parse(text);
    } catch {
      throw new Error(`${during}: the answer is no JSON`);
    }
    if (!response.ok) throw new AcmeProblem(during, isJson ? (body as ProblemDocument) : { detail: `status ${response.status}` }, retryAfter);
    return { body: body as T, location: response.headers.get("Location") ?? "", retryAfter };
  }

  private async theDirectory(): Promise<Directory> {
    const { directory: url } = this.options.account;
    if (this.directory === undefined) {
      const { body } = await this.read<Partial<Directory>>(await this.fetch(url), "directory");
      for (const name of ["newNonce", "newAccount", "newOrder"] as const) if (typeof body[name] !== "string") throw new Error(`${url} is no ACME directory: it has no ${name}`);
      this.directory = body as Directory;
    }
    return this.directory;
  }

  private async nonce(): Promise<string> {
    if (this.nonces.length === 0) await this.fetch((await this.theDirectory()).newNonce, { method: "HEAD" });
    const nonce = this.nonces.pop();
    if (nonce === undefined) throw new Error("the ACME server gives no nonce");
    return nonce;
  }

  /** @param payload undefined: POST-as-GET (RFC 8555 section 6.3) @throws AcmeProblem */
  private async signed<T>(during: string, url: string, payload: object | undefined): Promise<Answer<T>> {
    const key = this.key!;
    const who = this.accountUrl === "" ? { jwk: publicPart(key) } : { kid: this.accountUrl };
    const signer = await importJWK(key, "ES256");
    for (let tries = 1; ; tries++) {
      const header = { alg: "ES256", nonce: await this.nonce(), url, ...who };
      const jws = await new FlattenedSign(payload === undefined ? new Uint8Array() : encode(payload)).setProtectedHeader(header).sign(signer);
      const accept = { "Content-Type": "application/jose+json", Accept: "application/json, application/problem+json, application/pem-certificate-chain" };
      try {
        return await this.read<T>(await this.fetch(url, { method: "POST", headers: accept, body: JSON.stringify(jws) }), during);
      } catch (error) {
        // The refusal brings a fresh one.
        if (!(error instanceof AcmeProblem) || error.type !== "badNonce" || tries === NONCE_TRIES) throw error;
      }
    }
  }

  /**
   * Be this account from now on; one that the server does not know, or not with this contact, is made or changed.
   * @returns the account as it is to be kept
   */
  async logIn(account: Account): Promise<Account> {
    const { email = "" } = this.options.account;
    this.key = account.key;
    this.accountUrl = account.url;
    if (account.url !== "") {
      if (account.email === email) return account;
      try {
        await this.signed("change of the account's contact", account.url, { contact: contactOf(email) });
        return { ...account, email };
      } catch (error) {
        if (!isForgotten(error)) throw error;
        this.accountUrl = "";
      }
    }
    return this.register(account, email);
  }

  private async register(account: Account, email: string): Promise<Account> {
    const { newAccount, meta } = await this.theDirectory();
    const { externalAccount } = this.options.account;
    if (meta?.externalAccountRequired === true && externalAccount === undefined) throw new Error("this ACME server wants an account that is bound to one of its own: set eab_kid and eab_hmac_key");
    const binding = externalAccount === undefined ? {} : { externalAccountBinding: await bindingOf(account.key, newAccount, externalAccount) };
    const { location } = await this.signed("a new account", newAccount, { termsOfServiceAgreed: true, contact: contactOf(email), ...binding });
    if (location === "") throw new Error("the ACME server gives its new account no URL");
    this.accountUrl = location;
    return { ...account, url: location, email };
  }

  /** @throws AcmeProblem */
  async newOrder<T>(payload: object): Promise<Answer<T>> {
    return this.signed<T>("a new order", (await this.theDirectory()).newOrder, payload);
  }

  /** @throws AcmeProblem */
  get<T>(during: string, url: string): Promise<Answer<T>> {
    return this.signed<T>(during, url, undefined);
  }

  /** @throws AcmeProblem */
  post<T>(during: string, url: string, payload: object): Promise<Answer<T>> {
    return this.signed<T>(during, url, payload);
  }

  /** What shows that the holder of this account answers a challenge: RFC 8555 section 8.1. */
  async keyAuthorization(token: string): Promise<string> {
    return `${token}.${await calculateJwkThumbprint(publicPart(this.key!))}`;
  }
}

/** The server does not know the account any more: RFC 8555 section 7.3.1. */
export function isForgotten(error: unknown): boolean {
  return error instanceof AcmeProblem && error.type === "accountDoesNotExist";
}

function encode(payload: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(payload));
}

function publicPart({ kty, crv, x, y }: JWK): JWK {
  return { kty: kty!, crv: crv!, x: x!, y: y! };
}

function contactOf(email: string): string[] {
  return email === "" ? [] : [`mailto:${email}`];
}

/** RFC 8555 section 7.3.4. */
function bindingOf(key: JWK, url: string, { kid, hmacKey }: { readonly kid: string; readonly hmacKey: string }): Promise<FlattenedJWS> {
  return new FlattenedSign(encode(publicPart(key))).setProtectedHeader({ alg: "HS256", kid, url }).sign(Buffer.from(hmacKey, "base64url"));
}
