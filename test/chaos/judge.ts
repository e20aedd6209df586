/** Which of the requests that failed were allowed to, and which break the bar. */
import type { Failure, LoadReport } from "./load/plan.ts";

/** What a fault is known to have cost: computed from what was looked at when it was done. */
export interface Allowance {
  /** Ends the sentence "allowed are …". */
  readonly why: string;
  readonly covers: (failure: Failure) => boolean;
  /** At most so many. */
  readonly most: number;
}

export interface Judgement {
  /** How many each `why` has covered, of how many at most. */
  readonly allowed: readonly { readonly why: string; readonly used: number; readonly most: number }[];
  /** Failures that nothing allows. */
  readonly violations: readonly Failure[];
  readonly wrong: number;
  /** What else breaks the bar. */
  readonly complaints: readonly string[];
}

/** Until the end of a process has been noticed by those who had connections to it, they still use them; and a client sees an end later than it was. In ms. */
const UNNOTICED = 500;
const LATE = 3_000;

/** Was it under way at some time from `from` to `to`, or sent before anybody could know? */
export function wasUnderWay(failure: Failure, from: number, to: number): boolean {
  return failure.sent <= to + UNNOTICED && failure.ended >= from && failure.ended <= to + LATE;
}

/** @param leftOver what was found wrong when the load had ended */
export function judge({ failures, failed }: LoadReport, allowances: readonly Allowance[], leftOver: readonly string[]): Judgement {
  const used = new Map<Allowance, number>();
  const violations: Failure[] = [];
  let wrong = 0;
  for (const failure of failures) {
    if (failure.kind === "wrong") wrong++;
    const allowance = failure.kind === "wrong" ? undefined : allowances.find((one) => (used.get(one) ?? 0) < one.most && one.covers(failure));
    if (allowance === undefined) violations.push(failure);
    else used.set(allowance, (used.get(allowance) ?? 0) + 1);
  }
  const untold = failed - failures.length;
  const complaints = [...leftOver, ...(untold > 0 ? [`${untold} more failures than are told one by one`] : [])];
  const allowed = new Map<string, { why: string; used: number; most: number }>();
  for (const allowance of allowances) {
    const sum = allowed.get(allowance.why) ?? { why: allowance.why, used: 0, most: 0 };
    sum.used += used.get(allowance) ?? 0;
    sum.most += allowance.most;
    allowed.set(allowance.why, sum);
  }
  return { allowed: [...allowed.values()], violations, wrong, complaints };
}

export function isGood({ violations, complaints }: Judgement): boolean {
  return violations.length === 0 && complaints.length === 0;
}

/** One line. */
export function describe({ kind, lane, number, method, port, status, answeredBefore, backend, sent, ended, detail, reason }: Failure): string {
  const clock = (time: number): string => new Date(time).toISOString().slice(11, 23);
  return `${kind}${status > 0 ? ` ${status}` : ""}: ${method} ${number} on ${lane}, client port ${port} (${answeredBefore} answered before, last by back end ${backend}), ${clock(sent)} to ${clock(ended)}${detail === "" ? "" : `: ${detail}`}${reason === "" ? "" : ` (${reason})`}`;
}
