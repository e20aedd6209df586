/**
 * Sticky sessions: a cookie that brings a client back to its target.
 *
 * Its value is a keyed hash of the target's name (HMAC-SHA-256, RFC 2104, 128 bits of it): it tells nobody an address, and without the
 * secret nobody can make one. Each target's is worked out once, so a request costs one look into a map.
 */
import { createHmac } from "node:crypto";
import type { StickyConfig } from "../config/snapshot.ts";
import type { RoutingRequest } from "../policies/policy.ts";
import { cookieOf } from "./cookie.ts";
import type { Target } from "./target.ts";

export interface StickyExplanation {
  readonly cookie: string;
  /** Its value; undefined: there is none. */
  readonly seen: string | undefined;
  /** Whose it is. */
  readonly target: Target | undefined;
  /** The client goes there again. */
  readonly used: boolean;
  readonly note: string;
}

export class Sticky {
  private readonly config: StickyConfig;
  private readonly targets = new Map<string, Target>();
  private readonly lines = new Map<Target, { readonly token: string; readonly line: string }>();

  constructor(config: StickyConfig, upstream: string, targets: readonly Target[]) {
    this.config = config;
    for (const target of targets) {
      const token = createHmac("sha256", config.secret).update(`${upstream}\0${target.name}`).digest("base64url").slice(0, 22);
      this.targets.set(token, target);
      this.lines.set(target, { token, line: `Set-Cookie: ${setCookie(config, token)}\r\n` });
    }
  }

  /** Where the client was before, if it may go there now. */
  target(request: RoutingRequest): Target | undefined {
    const token = this.tokenOf(request);
    if (token === undefined) return undefined;
    const target = this.targets.get(token);
    return target !== undefined && this.mayGoTo(target) ? target : undefined;
  }

  private mayGoTo(target: Target): boolean {
    if (target.isFull) return false;
    return target.isUsable || (this.config.whileDraining === "stay" && target.isDraining && target.isHealthy);
  }

  /** What `target` makes of the request's cookie. */
  explain(request: RoutingRequest): StickyExplanation {
    const { cookie } = this.config;
    const seen = this.tokenOf(request);
    const target = seen === undefined ? undefined : this.targets.get(seen);
    const used = target !== undefined && this.mayGoTo(target);
    const note =
      seen === undefined
        ? "the request has no such cookie"
        : target === undefined
          ? "the cookie is of no target that is here now, or not of our making"
          : used
            ? `the client was there before${target.isUsable ? "" : " and may stay while it drains"}`
            : `the client was there before, but it ${target.isFull ? "is full" : "takes nobody now"}`;
    return { cookie, seen, target, used, note };
  }

  /** The field line for the reply; undefined: the client has the right cookie already. */
  line(request: RoutingRequest, target: Target): string | undefined {
    const known = this.lines.get(target);
    return known === undefined || known.token === this.tokenOf(request) ? undefined : known.line;
  }

  private tokenOf(request: RoutingRequest): string | undefined {
    return cookieOf(request.header("cookie"), this.config.cookie);
  }
}

function setCookie(config: StickyConfig, token: string): string {
  const { cookie, path, domain, maxAge, secure, httpOnly, sameSite } = config;
  const attributes = [`Path=${path}`];
  if (domain !== undefined) attributes.push(`Domain=${domain}`);
  if (maxAge > 0) attributes.push(`Max-Age=${maxAge}`);
  if (secure) attributes.push("Secure");
  if (httpOnly) attributes.push("HttpOnly");
  attributes.push(`SameSite=${sameSite.charAt(0).toUpperCase()}${sameSite.slice(1)}`);
  return [`${cookie}=${token}`, ...attributes].join("; ");
}
