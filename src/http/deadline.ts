/** How long a client will wait for its answer, when it says so: it can only shorten what the listener allows. */
import { least } from "../net/least.ts";
import { Name } from "./fields.ts";
import type { RequestHead } from "./h1/request-head.ts";

const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1 / 1000, n: 1 / 1_000_000 };
const SUFFIXES: Readonly<Record<string, number>> = { "": 1000, s: 1000, ms: 1, m: 60_000 };
/** About 24.8 days: what is longer is no limit. */
const MOST = 2 ** 31 - 1;

/**
 * In ms, at least 1; 0: it says nothing, or nothing that can be read.
 *
 * `grpc-timeout` is at most 8 digits and a unit (gRPC over HTTP/2, Requests); `X-Request-Timeout` is seconds, or has a unit: `2`, `1.5s`, `250ms`.
 */
export function deadlineOf(head: RequestHead): number {
  let deadline = 0;
  if (head.has(Name.GRPC_TIMEOUT)) deadline = read(/^(\d{1,8})([HMSmun])$/, UNITS, head.value(head.find(Name.GRPC_TIMEOUT)));
  if (head.has(Name.X_REQUEST_TIMEOUT)) deadline = least(deadline, read(/^(\d{1,9}(?:\.\d{1,9})?)\s?(ms|s|m|)$/, SUFFIXES, head.value(head.find(Name.X_REQUEST_TIMEOUT))));
  return deadline;
}

function read(pattern: RegExp, units: Readonly<Record<string, number>>, text: string): number {
  const match = pattern.exec(text);
  if (match === null) return 0;
  const milliseconds = Math.max(1, Math.round(Number(match[1]) * units[match[2]!]!));
  return milliseconds > MOST ? 0 : milliseconds;
}
