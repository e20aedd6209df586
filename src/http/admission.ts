/** What a proxy answers itself instead of passing it on: refusals of good syntax, TRACE, Max-Forwards, the health path. */
import type { ListenerConfig } from "../config/snapshot.ts";
import { Name } from "./fields.ts";
import { joined } from "./forward.ts";
import { Parse, refusals } from "./h1/head.ts";
import type { RequestHead } from "./h1/request-head.ts";

/** Status and text of our own answer; `refusal` closes the connection. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly refusal: boolean;
  /** Value of Location. */
  readonly location?: string;
}

/** Where certificate authorities ask by http, for a token in base64url: RFC 8555 section 8.3. */
const CHALLENGE_PATH = "/.well-known/acme-challenge/";
const CHALLENGE = /^\/\.well-known\/acme-challenge\/[\w-]+$/;

function refuse(status: number, text: string): Answer {
  return { status, text, refusal: true };
}

/**
 * Undefined: pass it on, as nearly every request.
 * @param challenges http-01 challenges that are pending, a token to its key authorization; undefined: none
 */
export function answerHere(head: RequestHead, config: ListenerConfig, draining: boolean, challenges: ReadonlyMap<string, string> | undefined): Answer | undefined {
  if (head.hasUnderscore && config.underscoreNames === "reject" && hasUnderscoreName(head)) return refuse(...refusals[Parse.UNDERSCORE_NAME]!);
  if (config.limits.bodyBytes > 0 && head.contentLength > config.limits.bodyBytes) return refuse(413, "body too large");
  if (head.form === "authority") return refuse(405, "CONNECT is not offered here");
  if (head.methodIs("TRACE")) return refuse(405, "TRACE is not offered here");
  if (head.has(Name.EXPECT) && joined(head, Name.EXPECT).toLowerCase() !== "100-continue") return refuse(417, "unknown expectation");
  if (head.has(Name.MAX_FORWARDS) && head.methodIs("OPTIONS")) {
    const value = joined(head, Name.MAX_FORWARDS);
    if (!/^\d{1,9}$/.test(value)) return refuse(400, "invalid Max-Forwards");
    if (Number(value) === 0) return { status: 200, text: "", refusal: false };
  }
  if (challenges !== undefined && head.target.startsWith(CHALLENGE_PATH) && head.methodIs("GET")) {
    const keyAuthorization = challenges.get(head.target.slice(CHALLENGE_PATH.length));
    if (keyAuthorization !== undefined) return { status: 200, text: keyAuthorization, refusal: false };
  }
  const path = config.healthPath;
  if (path !== undefined && head.pathEnd - head.pathStart === path.length && head.target === path && (head.methodIs("GET") || head.methodIs("HEAD"))) {
    return draining ? { status: 503, text: "draining", refusal: false } : { status: 200, text: "ok\n", refusal: false };
  }
  return config.redirectHttps === undefined || CHALLENGE.test(head.target) ? undefined : toHttps(head, config.redirectHttps);
}

/** The same address under https. 308 (RFC 9110 section 15.4.9) keeps method and body, which browsers may drop after a 301. */
function toHttps(head: RequestHead, port: number): Answer {
  if (head.hostEnd === head.hostStart) return refuse(400, "no Host");
  const host = head.host.replace(/:\d*$/, "");
  const path = head.target.startsWith("/") ? head.target : "/";
  return { status: 308, text: "", refusal: false, location: `https://${host}${port === 443 ? "" : `:${port}`}${path}` };
}

function hasUnderscoreName(head: RequestHead): boolean {
  for (let i = 0; i < head.count; i++) if (head.id[i] === Name.OTHER && head.name(i).includes("_")) return true;
  return false;
}

/** The client waits for a 100 before it sends the body. */
export function expectsContinue(head: RequestHead): boolean {
  return head.has(Name.EXPECT) && head.minor === 1;
}

/** May be sent twice: RFC 9110 section 9.2.2. */
export function isIdempotent(head: RequestHead): boolean {
  return head.methodIs("GET") || head.methodIs("HEAD") || head.methodIs("PUT") || head.methodIs("DELETE") || head.methodIs("OPTIONS");
}
