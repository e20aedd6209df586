/** What the admin API says when it does not do what was asked: a problem document (RFC 9457). */
import { jsonText } from "./json.ts";

/** Where the page about all of them is. Types are names, told apart by programs; they need not be fetched. */
const TYPES = "https://fairlead.dev/problems/";

/** Statuses that the API answers with, and what each is called in `type` and `title`. */
const KINDS = {
  400: ["bad-request", "The request is not understood"],
  401: ["unauthorized", "A token is needed"],
  403: ["forbidden", "That is not allowed here"],
  404: ["not-found", "There is no such thing"],
  405: ["method-not-allowed", "That cannot be done with it"],
  409: ["conflict", "That does not go with what there is"],
  412: ["precondition-failed", "Somebody else was faster"],
  413: ["too-large", "The body is too large"],
  415: ["unsupported-media-type", "The body is of a kind that is not read here"],
  422: ["invalid", "What was sent is not valid"],
  500: ["internal", "Something went wrong on this side"],
  503: ["unavailable", "That is not possible now"],
} as const;

export type ProblemStatus = keyof typeof KINDS;

/** Thrown by whoever handles a call; answered as `application/problem+json`. */
export class Problem extends Error {
  readonly code = "FAIRLEAD_PROBLEM";
  readonly status: ProblemStatus;
  /** Beyond the members that every problem has, as `errors`. */
  readonly members: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  /** @param detail what is wrong with this very request, and what to do instead */
  constructor(status: ProblemStatus, detail: string, members: Readonly<Record<string, unknown>> = {}, headers: Readonly<Record<string, string>> = {}) {
    super(detail);
    this.status = status;
    this.members = members;
    this.headers = headers;
  }

  response(): Response {
    const [name, title] = KINDS[this.status];
    const body = { type: `${TYPES}${name}`, title, status: this.status, detail: this.message, ...this.members };
    return new Response(`${jsonText(body)}\n`, { status: this.status, headers: { "Content-Type": "application/problem+json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", ...this.headers } });
  }
}
