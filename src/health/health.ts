/**
 * What is known of one target's health, and the rule by which results change it. No time and no sockets in here.
 *
 * The first result about a new target decides at once, either way, as HAProxy (init-state up, down) and Envoy do: it is better
 * knowledge than `initial`, and a fleet that starts should neither wait for `rise` checks nor send requests to a dead target for `fall` checks.
 * From then on `rise` successes in a row bring a target back and `fall` failures in a row take it out.
 */
import type { Verdict } from "./check.ts";

/** What one check said, for inspection. */
export interface CheckResult {
  readonly ok: boolean;
  readonly reason: string;
  /** False when the check could not be made for a reason on our side; such a result counts for nothing. */
  readonly conclusive: boolean;
  /** When it ended, in wall-clock milliseconds since 1970. */
  readonly at: number;
  /** How long it took. */
  readonly milliseconds: number;
}

export class TargetHealth {
  up: boolean;
  /** When the present state began, in wall-clock milliseconds since 1970. */
  since: number;
  lastResult: CheckResult | undefined = undefined;
  /** In a row, up to now. */
  successes = 0;
  failures = 0;
  /** A check has decided the state before: from now on rise and fall count. */
  decided: boolean;

  /** `decided` is true for a state that checks of the past stand behind. */
  constructor(up: boolean, since: number, decided: boolean) {
    this.up = up;
    this.since = since;
    this.decided = decided;
  }

  /** Take in one result. True when it changed the state. */
  record(verdict: Verdict, at: number, milliseconds: number, rise: number, fall: number): boolean {
    this.lastResult = { ok: verdict.ok, reason: verdict.reason, conclusive: verdict.conclusive, at, milliseconds };
    if (!verdict.conclusive) return false;
    if (verdict.ok) {
      this.successes += 1;
      this.failures = 0;
    } else {
      this.failures += 1;
      this.successes = 0;
    }
    const enough = !this.decided || (verdict.ok ? this.successes >= rise : this.failures >= fall);
    this.decided = true;
    if (!enough || this.up === verdict.ok) return false;
    this.up = verdict.ok;
    this.since = at;
    return true;
  }

  /** The check is another one now: the state stands, the counts begin again. */
  recount(): void {
    this.successes = 0;
    this.failures = 0;
    this.decided = true;
  }
}
