/**
 * The scoreboard: memory that supervisor and workers share, mapped from one file.
 *
 * What must be one truth over all workers lives here: each target's health, the round-robin cursors, open connections
 * and requests, counters and latencies. Health is written by the supervisor only; each counter is written by
 * one worker only, in a column of its own, so that nothing is lost when a worker dies: its column is cleared
 * (open) or kept (totals) by the supervisor. Cursors are shared and atomic.
 */
import { closeSync, ftruncateSync, openSync, unlinkSync } from "node:fs";

const MAGIC = 0x46_4c_42_31; // "FLB1"

/** Header words. */
const H_MAGIC = 0;
const H_WORKERS = 1;
const H_TARGETS = 2;
const H_UPSTREAMS = 3;
const H_EPOCH = 4;
const H_GENERATION = 5;
const H_DRAINING = 6;
const HEADER_WORDS = 32;

/** Words of a worker's own row. */
export const WORKER_PID = 0;
export const WORKER_CLIENTS = 1;
/** Counts up once a second while the worker's event loop turns. */
export const WORKER_HEARTBEAT = 2;
const WORKER_WORDS = 16;
/** Client connections a listener, in the worker's row. */
export const MAX_LISTENERS = 64;

/** Words of a target's column a worker. */
export const OPEN_CONNECTIONS = 0;
export const OPEN_REQUESTS = 1;
export const TOTAL_REQUESTS = 2;
export const TOTAL_FAILURES = 3;
export const TOTAL_CONNECTS = 4;
export const TOTAL_RETRIES = 5;
/** Latency histogram: bucket i counts exchanges below 2^i × 0.25 ms, the last one all above. */
export const LATENCY_BUCKETS = 10;
const LATENCY = 6;
const COLUMN_WORDS = 16;

/** A target's state word; 0 so that fresh memory means "usable". */
export const HEALTH_UP = 0;
export const HEALTH_DOWN = 1;

export interface ScoreboardSize {
  /** Worker slots; twice the number of workers, so that old and new ones can stand side by side. */
  readonly workers: number;
  readonly targets: number;
  readonly upstreams: number;
}

export class Scoreboard {
  /** Path of the mapped file; undefined for a private one (library mode). */
  readonly path: string | undefined;
  readonly size: ScoreboardSize;
  private readonly words: Int32Array;
  private readonly healthAt: number;
  private readonly cursorAt: number;
  private readonly workerAt: number;
  private readonly listenerAt: number;
  private readonly columnAt: number;

  private constructor(words: Int32Array, size: ScoreboardSize, path: string | undefined) {
    this.words = words;
    this.size = size;
    this.path = path;
    this.cursorAt = HEADER_WORDS;
    // One cursor a cache line (16 words), so that two upstreams never share one.
    this.workerAt = this.cursorAt + size.upstreams * 16;
    this.listenerAt = this.workerAt + size.workers * WORKER_WORDS;
    this.healthAt = this.listenerAt + size.workers * MAX_LISTENERS;
    this.columnAt = this.healthAt + Math.ceil(size.targets / 16) * 16;
  }

  private static wordsFor(size: ScoreboardSize): number {
    return (
      HEADER_WORDS +
      size.upstreams * 16 +
      size.workers * (WORKER_WORDS + MAX_LISTENERS) +
      Math.ceil(size.targets / 16) * 16 +
      size.targets * size.workers * COLUMN_WORDS
    );
  }

  /** Private memory, for one process. */
  static local(size: ScoreboardSize): Scoreboard {
    const board = new Scoreboard(new Int32Array(Scoreboard.wordsFor(size)), size, undefined);
    board.writeHeader();
    return board;
  }

  /** A new file, mapped. The file is sparse: rows that are never used cost nothing. Mode 0600. */
  static create(path: string, size: ScoreboardSize): Scoreboard {
    const fd = openSync(path, "wx+", 0o600);
    ftruncateSync(fd, Scoreboard.wordsFor(size) * 4);
    closeSync(fd);
    const board = new Scoreboard(Scoreboard.map(path), size, path);
    board.writeHeader();
    return board;
  }

  /** Map a file that another process made. Throws when it is not a scoreboard. */
  static open(path: string): Scoreboard {
    const words = Scoreboard.map(path);
    if (words.length < HEADER_WORDS || words[H_MAGIC] !== MAGIC) throw new Error(`not a Fairlead scoreboard: ${path}`);
    const size = { workers: words[H_WORKERS]!, targets: words[H_TARGETS]!, upstreams: words[H_UPSTREAMS]! };
    if (words.length < Scoreboard.wordsFor(size)) throw new Error(`scoreboard cut short: ${path}`);
    return new Scoreboard(words, size, path);
  }

  private static map(path: string): Int32Array {
    const bytes = Bun.mmap(path, { shared: true });
    return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
  }

  private writeHeader(): void {
    this.words[H_WORKERS] = this.size.workers;
    this.words[H_TARGETS] = this.size.targets;
    this.words[H_UPSTREAMS] = this.size.upstreams;
    Atomics.store(this.words, H_MAGIC, MAGIC);
  }

  /** Remove the file's name; the memory stays until the last process lets go. */
  unlink(): void {
    if (this.path !== undefined) unlinkSync(this.path);
  }

  /** Changes whenever any target's health does: workers rebuild their lists of usable targets when it moved. */
  get epoch(): number {
    return this.words[H_EPOCH]!;
  }

  get generation(): number {
    return this.words[H_GENERATION]!;
  }
  set generation(value: number) {
    Atomics.store(this.words, H_GENERATION, value);
  }

  /** True while the whole instance is stopping: `/health` says 503. */
  get draining(): boolean {
    return this.words[H_DRAINING] === 1;
  }
  set draining(value: boolean) {
    Atomics.store(this.words, H_DRAINING, value ? 1 : 0);
  }

  isUp(target: number): boolean {
    return this.words[this.healthAt + target] === HEALTH_UP;
  }

  /** Supervisor only. */
  setUp(target: number, up: boolean): void {
    Atomics.store(this.words, this.healthAt + target, up ? HEALTH_UP : HEALTH_DOWN);
    Atomics.add(this.words, H_EPOCH, 1);
  }

  /** Next number of an upstream's cursor, over all workers; wraps at 2^32. */
  nextCursor(upstream: number): number {
    return Atomics.add(this.words, this.cursorAt + upstream * 16, 1) >>> 0;
  }

  /** Sum of one counter of a target over all workers. */
  sum(target: number, counter: number): number {
    let total = 0;
    const first = this.columnAt + target * this.size.workers * COLUMN_WORDS + counter;
    for (let worker = 0; worker < this.size.workers; worker++) total += this.words[first + worker * COLUMN_WORDS]!;
    return total;
  }

  latencies(target: number): number[] {
    return Array.from({ length: LATENCY_BUCKETS }, (_, bucket) => this.sum(target, LATENCY + bucket));
  }

  workerWord(worker: number, word: number): number {
    return this.words[this.workerAt + worker * WORKER_WORDS + word]!;
  }

  setWorkerWord(worker: number, word: number, value: number): void {
    Atomics.store(this.words, this.workerAt + worker * WORKER_WORDS + word, value);
  }

  /** Open client connections of a listener over all workers. */
  clientsOf(listener: number): number {
    let total = 0;
    for (let worker = 0; worker < this.size.workers; worker++) total += this.words[this.listenerAt + worker * MAX_LISTENERS + listener]!;
    return total;
  }

  /** Open client connections over all listeners and workers. */
  get clients(): number {
    let total = 0;
    for (let worker = 0; worker < this.size.workers; worker++) total += this.workerWord(worker, WORKER_CLIENTS);
    return total;
  }

  addClient(worker: number, listener: number, change: 1 | -1): void {
    this.words[this.workerAt + worker * WORKER_WORDS + WORKER_CLIENTS]! += change;
    this.words[this.listenerAt + worker * MAX_LISTENERS + listener]! += change;
  }

  /**
   * Take back what a dead worker held: its open connections and requests; totals stay. Supervisor only.
   * @param targets rows from here on were never used; looking at them would make them take memory
   */
  reclaim(worker: number, targets = this.size.targets): void {
    for (let word = 0; word < WORKER_WORDS; word++) this.setWorkerWord(worker, word, 0);
    for (let listener = 0; listener < MAX_LISTENERS; listener++) this.words[this.listenerAt + worker * MAX_LISTENERS + listener] = 0;
    for (let target = 0; target < targets; target++) {
      const column = this.columnOf(worker, target);
      if (this.words[column + OPEN_CONNECTIONS] !== 0) this.words[column + OPEN_CONNECTIONS] = 0;
      if (this.words[column + OPEN_REQUESTS] !== 0) this.words[column + OPEN_REQUESTS] = 0;
    }
  }

  /** Forget everything about a target whose slot is given to another one. Supervisor only. */
  clearTarget(target: number): void {
    this.words[this.healthAt + target] = HEALTH_UP;
    const first = this.columnOf(0, target);
    this.words.fill(0, first, first + this.size.workers * COLUMN_WORDS);
    Atomics.add(this.words, H_EPOCH, 1);
  }

  private columnOf(worker: number, target: number): number {
    return this.columnAt + (target * this.size.workers + worker) * COLUMN_WORDS;
  }

  /** What one worker writes about one target. */
  column(worker: number, target: number): TargetColumn {
    return new TargetColumn(this.words, this.columnOf(worker, target));
  }
}

/** One worker's counters of one target; written by that worker alone, so plain adds are exact. */
export class TargetColumn {
  private readonly words: Int32Array;
  private readonly at: number;

  constructor(words: Int32Array, at: number) {
    this.words = words;
    this.at = at;
  }

  add(counter: number, change: number): void {
    this.words[this.at + counter]! += change;
  }

  get(counter: number): number {
    return this.words[this.at + counter]!;
  }

  /** Count one exchange that took this many milliseconds. */
  latency(milliseconds: number): void {
    const quarter = milliseconds * 4;
    const bucket = quarter < 1 ? 0 : Math.min(LATENCY_BUCKETS - 1, 32 - Math.clz32(quarter | 0));
    this.words[this.at + LATENCY + bucket]! += 1;
  }
}
