/**
 * Who may do what on the admin address.
 *
 * With tokens in `[admin]` everybody shows one, but for what is open to all. Without any the address is a loopback one or a unix socket,
 * and who can reach it may look and steer, but not bring a configuration, which names programs to be run. Browsers are a way round that:
 * a page of anybody's may send requests to this machine, and a name of anybody's may lead to it. So a request must name the address
 * by a number or as localhost (no DNS rebinding), and one that a browser sends for a page must be from our own page (no forgery).
 */
import { createHash, timingSafeEqual } from "node:crypto";
import ipaddr from "ipaddr.js";
import type { AdminConfig, AdminToken } from "../config/snapshot.ts";
import { Problem } from "./problem.ts";

/**
 * What a call needs. "open": nothing, as load balancers and orchestrators before this one ask; "heartbeat": say that one is there; "read": look;
 * "steer": change what targets do; "configure": bring a configuration.
 */
export const ACCESS = ["open", "heartbeat", "read", "steer", "configure"] as const;
export type Access = (typeof ACCESS)[number];

/** What a token may that has this access: of heartbeats nothing else, for every back end has such a one. */
const GRANTED: Readonly<Record<AdminToken["access"], readonly Access[]>> = {
  heartbeat: ["heartbeat"],
  read: ["read"],
  steer: ["read", "heartbeat", "steer"],
  configure: ["read", "heartbeat", "steer", "configure"],
};

/** For the log and the timeline. */
export interface Caller {
  /** The token's; "local" where none is needed. */
  readonly name: string;
}

/** As the timeline has it. */
export function byCaller({ name }: Caller): string {
  return `api:${name}`;
}

const LOCAL: Caller = { name: "local" };
const CHALLENGE = 'Bearer realm="fairlead"';

/** @throws Problem 401 or 403 */
export function admit(request: Request, access: Access, config: AdminConfig | undefined): Caller {
  if (access === "open") return LOCAL;
  const { headers } = request;
  const site = headers.get("sec-fetch-site");
  const origin = headers.get("origin");
  const host = headers.get("host");
  if ((site !== null && site !== "same-origin" && site !== "none") || (origin !== null && (host === null || !URL.canParse(origin) || new URL(origin).host !== host))) {
    throw new Problem(403, "this request comes from a page of another site");
  }
  const tokens = config?.tokens ?? [];
  if (tokens.length === 0) {
    if (config?.address.kind !== "unix" && !isLoopbackName(host ?? "")) throw new Problem(403, `"${host ?? ""}" is no loopback address: name this one by its number or as localhost, or set token in [admin]`);
    if (access === "configure") throw new Problem(403, "a configuration can be brought only with a token: set token in [admin]");
    return LOCAL;
  }
  const shown = digest(/^Bearer (.+)$/i.exec(headers.get("authorization") ?? "")?.[1] ?? "");
  let found: AdminToken | undefined;
  // Digests are of one length, and tell nothing by the time that comparing them takes; all are compared, whichever it is.
  for (const token of tokens) if (timingSafeEqual(shown, digest(token.token))) found = token;
  if (found === undefined) throw new Problem(401, "show a token of [admin] as Authorization: Bearer …", {}, { "WWW-Authenticate": CHALLENGE });
  if (!GRANTED[found.access].includes(access)) {
    // RFC 6750, section 3.1.
    throw new Problem(403, `token "${found.name}" has access = "${found.access}"; this needs "${access}"`, { needs: access }, { "WWW-Authenticate": `${CHALLENGE}, error="insufficient_scope", scope="${access}"` });
  }
  return { name: found.name };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** A Host field that no name service has had a part in. */
function isLoopbackName(host: string): boolean {
  const name = host.replace(/:\d+$/, "").toLowerCase();
  const bracketed = /^\[(.*)\]$/.exec(name)?.[1];
  // As browsers and people write them: not 2130706433, nor 127.1, which are nobody's names but need not be understood either.
  return name === "localhost" || (bracketed === undefined ? ipaddr.IPv4.isValidFourPartDecimal(name) && isLoopback(name) : ipaddr.IPv6.isValid(bracketed) && isLoopback(bracketed));
}

function isLoopback(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === "loopback";
}
