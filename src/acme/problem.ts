/** What an ACME server says when it refuses: problem documents (RFC 8555 section 6.7, RFC 9457). */
import type { Milliseconds } from "../config/snapshot.ts";
import type { Refusal } from "./schedule.ts";

const ACME_ERROR = "urn:ietf:params:acme:error:";

/** A problem as it comes in JSON; nothing of it is sure to be there. */
export interface ProblemDocument {
  readonly type?: unknown;
  readonly detail?: unknown;
  readonly subproblems?: unknown;
}

export class AcmeProblem extends Error implements Refusal {
  readonly code = "FAIRLEAD_ACME";
  /** Without the prefix that all ACME errors have: "rateLimited"; "": it gave none. */
  readonly type: string;
  readonly detail: string;
  readonly retryAfter: Milliseconds | undefined;

  /** @param during what was being done, as "a new order" */
  constructor(during: string, document: ProblemDocument, retryAfter?: Milliseconds) {
    const type = typeof document.type === "string" ? document.type.replace(ACME_ERROR, "") : "";
    const detail = [detailOf(document), ...subproblems(document)].join("; ");
    super(`${during}: ${type === "" ? "" : `${type}: `}${detail}`);
    this.type = type;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }

  get rateLimited(): boolean {
    return this.type === "rateLimited";
  }
}

function detailOf({ detail }: ProblemDocument): string {
  return typeof detail === "string" && detail !== "" ? detail : "no reason was given";
}

function subproblems({ subproblems }: ProblemDocument): string[] {
  if (!Array.isArray(subproblems)) return [];
  return (subproblems as (ProblemDocument & { identifier?: { value?: unknown } })[]).map((each) => `${String(each.identifier?.value ?? "")}: ${detailOf(each)}`);
}

/** Retry-After in ms: seconds or a date (RFC 9110 section 10.2.3); undefined: none, or not understood. @param wall ms since 1970 */
export function retryAfterOf(header: string | null, wall: number): Milliseconds | undefined {
  if (header === null) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - wall);
}
