/** What an upstream's shared counters say, for inspection. */
import type { TargetConfig } from "../config/snapshot.ts";
import {
  BREAKER_STATE,
  OPEN_EXCHANGES,
  OPEN_RETRIES,
  QUEUED,
  QUEUE_TIMES,
  type Scoreboard,
  TOTAL_5XX,
  TOTAL_BREAKER_REFUSED,
  TOTAL_BUDGET_REFUSED,
  TOTAL_FAILURES,
  TOTAL_HEDGES,
  TOTAL_HEDGES_WON,
  TOTAL_QUEUED,
  TOTAL_QUEUE_FULL,
  TOTAL_QUEUE_TIMEOUTS,
  TOTAL_REQUESTS,
  TOTAL_RETRIES,
} from "../scoreboard/scoreboard.ts";
import { BREAKER_STATES } from "../upstream/circuit-breaker.ts";

/** Open now, and in all since the start. */
export interface Traffic {
  readonly upstream: string;
  readonly open: { readonly requests: number; readonly retries: number; readonly queued: number };
  readonly requests: number;
  /** Could not be reached, broke off, took too long. */
  readonly failures: number;
  readonly status5xx: number;
  readonly retries: { readonly made: number; readonly refusedByBudget: number };
  readonly hedges: { readonly sent: number; readonly won: number };
  readonly queue: { readonly waited: number; readonly milliseconds: number; readonly full: number; readonly timeouts: number };
  readonly circuitBreaker: { readonly state: string; readonly refused: number };
}

export function trafficOf(board: Scoreboard, upstream: string, slot: number, targets: readonly TargetConfig[]): Traffic {
  const of = (word: number): number => board.upstreams.sum(slot, word);
  const open = (gauge: number): number => board.upstreams.held(slot, gauge);
  const ofTargets = (word: number): number => targets.reduce((sum, target) => sum + board.targets.sum(target.slot, word), 0);
  return {
    upstream,
    open: { requests: open(OPEN_EXCHANGES), retries: open(OPEN_RETRIES), queued: open(QUEUED) },
    requests: ofTargets(TOTAL_REQUESTS),
    failures: ofTargets(TOTAL_FAILURES),
    status5xx: ofTargets(TOTAL_5XX),
    retries: { made: ofTargets(TOTAL_RETRIES), refusedByBudget: of(TOTAL_BUDGET_REFUSED) },
    hedges: { sent: of(TOTAL_HEDGES), won: of(TOTAL_HEDGES_WON) },
    queue: { waited: of(TOTAL_QUEUED), milliseconds: Math.round(board.upstreams.histogram(slot, QUEUE_TIMES).sum), full: of(TOTAL_QUEUE_FULL), timeouts: of(TOTAL_QUEUE_TIMEOUTS) },
    circuitBreaker: { state: BREAKER_STATES[board.words[board.upstreamWordAt(slot, BREAKER_STATE)]! as 0 | 1 | 2], refused: of(TOTAL_BREAKER_REFUSED) },
  };
}
