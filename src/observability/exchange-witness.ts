/**
 * Decides in a worker which exchanges are kept, and hands them on in batches.
 *
 * Asked with each exchange, so it decides by numbers. A flood of failures is cut down, cause by cause, so that it neither costs the worker much nor
 * hides a rare one; what is left out is counted. No more waits here than one batch: whoever takes them says so before the next one goes.
 */
import type { Clock } from "../net/network.ts";
import type { Account, Witness } from "./account.ts";
import { CAUSES, type Cause } from "./cause.ts";
import { isFailure, isSlow, recordOf, type RecordRules } from "./exchange-record.ts";

/** Exchanges of one cause, and all together, in one second. */
export const PER_CAUSE = 50;
export const PER_SECOND = 200;
/** Between two batches, in ms. */
const BATCH_AFTER = 100;
/** What waits, in exchanges and in characters. */
export const MAX_WAITING = 200;
const MAX_TEXT = 1024 * 1024;

/** An exchange as it crosses over: its record as JSON, and what it went by. */
export interface SentRecord {
  readonly cause: Cause;
  readonly text: string;
}

export interface Batch {
  readonly records: readonly SentRecord[];
  /** Left out since the last one. */
  readonly dropped: number;
}

export interface ExchangeWitnessOptions {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** `taken` must be called before there is another one. */
  readonly send: (batch: Batch) => void;
}

export class ExchangeWitness implements Witness {
  private readonly options: ExchangeWitnessOptions;
  private rules: RecordRules;
  /** Of the second that began then, in clock ms. */
  private since = Number.NEGATIVE_INFINITY;
  private count = 0;
  private readonly ofCause = new Map<Cause, { count: number }>((Object.keys(CAUSES) as Cause[]).map((cause) => [cause, { count: 0 }]));
  private waiting: SentRecord[] = [];
  private length = 0;
  private dropped = 0;
  /** A batch is under way, or will be in a moment. */
  private isSending = false;

  constructor(rules: RecordRules, options: ExchangeWitnessOptions) {
    this.rules = rules;
    this.options = options;
  }

  /** From now on. */
  apply(rules: RecordRules): void {
    this.rules = rules;
  }

  wants(cause: Cause, status: number, attempts: number, milliseconds: number): boolean {
    const { rules } = this;
    const { sample } = rules;
    const worth = attempts > 1 || isFailure(cause, status) || isSlow(status, milliseconds, rules) || (sample > 0 && this.options.random() < sample);
    return worth && this.admits(cause);
  }

  tell(account: Account): void {
    const text = JSON.stringify(recordOf(account, this.rules));
    if (this.waiting.length >= MAX_WAITING || this.length + text.length > MAX_TEXT) {
      this.leaveOut();
      return;
    }
    this.waiting.push({ cause: account.cause, text });
    this.length += text.length;
    this.sendSoon();
  }

  /** Whoever takes them has the last batch. */
  taken(): void {
    this.isSending = false;
    if (this.waiting.length + this.dropped > 0) this.sendSoon();
  }

  private admits(cause: Cause): boolean {
    const { now } = this.options.clock;
    if (now - this.since >= 1000) {
      this.since = now;
      this.count = 0;
      for (const window of this.ofCause.values()) window.count = 0;
    }
    const window = this.ofCause.get(cause)!;
    if (this.count >= PER_SECOND || window.count >= PER_CAUSE) {
      this.leaveOut();
      return false;
    }
    this.count++;
    window.count++;
    return true;
  }

  private leaveOut(): void {
    this.dropped++;
    this.sendSoon();
  }

  private sendSoon(): void {
    if (this.isSending) return;
    this.isSending = true;
    this.options.clock.after(BATCH_AFTER, () => {
      const { waiting: records, dropped } = this;
      this.waiting = [];
      this.length = 0;
      this.dropped = 0;
      this.options.send({ records, dropped });
    });
  }
}
