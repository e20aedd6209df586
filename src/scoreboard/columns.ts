/** What one worker alone writes about a target or an upstream. */
import { LATENCY, LATENCY_BUCKETS, OPEN_CONNECTIONS, OPEN_REQUESTS, TOTAL_REQUESTS } from "./words.ts";

/** Words that one worker alone writes, so plain adds are exact. */
export class Column {
  protected readonly words: Int32Array;
  protected readonly at: number;

  constructor(words: Int32Array, at: number) {
    this.words = words;
    this.at = at;
  }

  add(counter: number, change: number): void {
    this.words[this.at + counter]! += change;
  }

  set(counter: number, value: number): void {
    this.words[this.at + counter] = value;
  }

  get(counter: number): number {
    return this.words[this.at + counter]!;
  }
}

/**
 * One worker's counters of one target, and its part in what all workers count together.
 *
 * A worker that is killed between its own count and the common one leaves the common one too low, never too high: the one who finds it
 * below zero, where it cannot be, sets it right.
 */
export class TargetColumn extends Column {
  private readonly open: number;
  private readonly connections: number;

  constructor(words: Int32Array, at: number, open: number, connections: number) {
    super(words, at);
    this.open = open;
    this.connections = connections;
  }

  requestBegins(): void {
    this.words[this.at + OPEN_REQUESTS]! += 1;
    this.words[this.at + TOTAL_REQUESTS]! += 1;
    this.countIn(this.open);
  }

  /** It had begun, but must not. */
  requestTurnedAway(): void {
    this.requestEnds();
    this.words[this.at + TOTAL_REQUESTS]! -= 1;
  }

  requestEnds(): void {
    Atomics.sub(this.words, this.open, 1);
    this.words[this.at + OPEN_REQUESTS]! -= 1;
  }

  connectionBegins(): void {
    this.words[this.at + OPEN_CONNECTIONS]! += 1;
    this.countIn(this.connections);
  }

  connectionEnds(): void {
    Atomics.sub(this.words, this.connections, 1);
    this.words[this.at + OPEN_CONNECTIONS]! -= 1;
  }

  private countIn(at: number): void {
    const before = Atomics.add(this.words, at, 1);
    if (before < 0) Atomics.sub(this.words, at, before);
  }

  /** Count one exchange that took this many milliseconds. */
  latency(milliseconds: number): void {
    const quarter = milliseconds * 4;
    const bucket = quarter < 1 ? 0 : Math.min(LATENCY_BUCKETS - 1, 32 - Math.clz32(quarter | 0));
    this.words[this.at + LATENCY + bucket]! += 1;
  }
}
