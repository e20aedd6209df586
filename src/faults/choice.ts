/** What a client asks to be done to it: the value of X-Fairlead-Fault, as `delay=300, abort=503`. Milliseconds, bytes, statuses: whole numbers. */
import type { ClientFault } from "../config/snapshot.ts";

/** The most that each may be; in ms, and in bytes. */
const MOST_DELAY = 60_000;
const MOST_BYTES = 2 ** 40;

/** What is said of what is none. */
export const CHOICE_RULE = "X-Fairlead-Fault is delay=MS, abort=STATUS, grpc_status=NUMBER, reset, throttle=BYTES or truncate=BYTES, or several of these with commas between them";

const RANGES: Readonly<Record<string, readonly [from: number, to: number]>> = { delay: [0, MOST_DELAY], abort: [400, 599], grpc_status: [1, 16], throttle: [1, MOST_BYTES], truncate: [0, MOST_BYTES] };

/** Undefined: it cannot be understood, or says what cannot be done. */
export function readChoice(text: string): ClientFault | undefined {
  const said = new Map<string, number>();
  for (const part of text.split(",")) {
    const [, name, digits] = /^\s*([a-z_]+)(?:=(\d{1,13}))?\s*$/.exec(part) ?? [];
    if (name === undefined || said.has(name)) return undefined;
    const range = RANGES[name];
    if (name === "reset" ? digits !== undefined : range === undefined || digits === undefined || Number(digits) < range[0] || Number(digits) > range[1]) return undefined;
    said.set(name, Number(digits ?? 1));
  }
  const [delay, abort, grpcStatus, truncate] = ["delay", "abort", "grpc_status", "truncate"].map((name) => said.get(name));
  const reset = said.has("reset");
  const answered = abort !== undefined || grpcStatus !== undefined;
  if ((reset && answered) || ((reset || answered) && (said.has("throttle") || truncate !== undefined))) return undefined;
  return {
    ...(delay === undefined ? {} : { delay: { from: delay, to: delay } }),
    ...(abort === undefined ? {} : { abort }),
    ...(grpcStatus === undefined ? {} : { grpcStatus }),
    reset,
    throttle: said.get("throttle") ?? 0,
    ...(truncate === undefined ? {} : { truncate }),
  };
}
