/** How long a request may wait for what its client does, and what it ends with if that takes longer; the same for both codecs. */
import type { Timed, TimerWheel } from "../net/timers.ts";
import type { Cause } from "../observability/cause.ts";
import type { Exchange } from "./exchange.ts";

/**
 * Be called in so many ms, or when the whole request must be over, whichever is first.
 * @param now in clock ms @param milliseconds 0: only the latter @param endsAt when that is, in clock ms; 0: no limit
 */
export function scheduleWithin(timed: Timed, wheel: TimerWheel, now: number, milliseconds: number, endsAt: number): void {
  const at = milliseconds > 0 ? now + milliseconds : 0;
  if (at === 0 && endsAt === 0) wheel.cancel(timed);
  else wheel.schedule(timed, at === 0 || (endsAt !== 0 && endsAt < at) ? endsAt : at);
}

/**
 * What a request whose time is up ends with. Undefined: nothing is asked of its client now.
 * @param congested the client does not read @param isWhole it has sent all of its request
 */
export function overdue({ isCall, hasReply, isSent, connection }: Exchange, now: number, congested: boolean, isWhole: boolean, endsAt: number): Cause | undefined {
  if (endsAt !== 0 && now >= endsAt) return "request-timeout";
  if (congested) return "client-write-timeout";
  // A call is a conversation: silence of both sides is what it has a limit for.
  if (isCall && hasReply) return "idle-timeout";
  return !isWhole && isSent && connection?.congested !== true ? "client-body-timeout" : undefined;
}
