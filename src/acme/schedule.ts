/** When a certificate is ordered: renewals in time, failures ever more rarely. Pure, so that tests bring their own clock and chance. */
import type { Milliseconds } from "../config/snapshot.ts";

/** Without renew_before: of the lifetime, as CAs ask for (90 days: after 60). */
const RENEW_AFTER = 2 / 3;
/** However large renew_before is, so much of the lifetime passes first: a certificate that is due as soon as it is issued would be ordered in a loop. */
const LEAST_AGE = 1 / 2;
/** The longest that chance brings a renewal forward, as a share of the lifetime: a fleet does not order at one time. */
const JITTER = 1 / 50;

/** Before the second attempt; doubles with each failure. */
export const FIRST_RETRY = 60_000;
/** The longest pause between two attempts, unless the CA asks for a longer one. */
export const LAST_RETRY = 86_400_000;
/** A share of each pause by which chance makes it longer. */
const RETRY_JITTER = 0.2;
/** A CA that says rateLimited without saying for how long is left alone for this long at least. */
const RATE_LIMITED = 3_600_000;
/** What a CA asks for beyond this is a mistake: it is asked again then. */
export const LONGEST_PAUSE = 7 * 86_400_000;

/** In milliseconds since 1970. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

/** When to order the next one, in ms since 1970. @param random in [0, 1) */
export function renewalTime({ notBefore, notAfter }: Validity, renewBefore: Milliseconds | undefined, random: number): number {
  const lifetime = notAfter - notBefore;
  const due = renewBefore === undefined ? notBefore + lifetime * RENEW_AFTER : Math.max(notAfter - renewBefore, notBefore + lifetime * LEAST_AGE);
  return Math.round(due - lifetime * JITTER * random);
}

/** What a CA has said with its refusal. */
export interface Refusal {
  /** Its Retry-After; undefined: it gave none. */
  readonly retryAfter: Milliseconds | undefined;
  readonly rateLimited: boolean;
}

/** The pause after so many failures in a row, from 1 on. @param random in [0, 1) */
export function retryDelay(failures: number, refusal: Refusal, random: number): Milliseconds {
  const own = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** Math.min(failures - 1, 30)) * (1 + RETRY_JITTER * random);
  return Math.round(Math.max(own, leastPause(refusal)));
}

/** How long the CA wants to be left alone, whatever else would be a reason to ask it. */
export function leastPause({ retryAfter, rateLimited }: Refusal): Milliseconds {
  return Math.min(LONGEST_PAUSE, retryAfter ?? (rateLimited ? RATE_LIMITED : 0));
}
