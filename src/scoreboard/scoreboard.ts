/**
 * The scoreboard: memory that supervisor and workers share, mapped from one file.
 *
 * What must be one truth over all workers lives here: each target's state and share, cursors, open connections and requests,
 * counters and latencies. State is written by the supervisor only. Each counter is written by one worker only, in a column of
 * its own, so that nothing is lost when a worker dies: its column is cleared (open) or kept (totals) by the supervisor. What every
 * pick needs to see of all workers (cursors, open requests) is common and atomic beside that.
 */
import { closeSync, ftruncateSync, openSync, unlinkSync } from "node:fs";
import { Column, TargetColumn } from "./columns.ts";
import { ADDRESS_WORDS, COLUMN_WORDS, firstPlace, Flag, LATENCY, LATENCY_BUCKETS, MAX_LISTENERS, OPEN_CONNECTIONS, OPEN_REQUESTS, OPEN_RETRIES, RETRIES_HELD, secondPlace, STAT_LATENCY, STAT_STAMP, STAT_WORDS, UPSTREAM_COLUMN_WORDS, UPSTREAM_EPOCH, UPSTREAM_GAUGES, UPSTREAM_WORDS, WORKER_CLIENTS, WORKER_LOST_LINES, WORKER_WORDS } from "./words.ts";

export { Column, TargetColumn } from "./columns.ts";
export * from "./words.ts";

const MAGIC = 0x46_4c_42_32; // "FLB2"

/** Header words. */
const H_MAGIC = 0;
const H_WORKERS = 1;
const H_TARGETS = 2;
const H_UPSTREAMS = 3;
const H_EPOCH = 4;
const H_GENERATION = 5;
const H_DRAINING = 6;
const HEADER_WORDS = 32;

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
  /** All of it; who needs an index asks one of the methods that end in `At`. */
  readonly words: Int32Array;
  private readonly floats: Float32Array;
  private readonly upstreamAt: number;
  private readonly workerAt: number;
  private readonly listenerAt: number;
  private readonly flagsAt: number;
  private readonly shareAt: number;
  private readonly openAt: number;
  private readonly connectionsAt: number;
  private readonly statAt: number;
  private readonly upstreamColumnAt: number;
  private readonly columnAt: number;
  private readonly addressAt: number;

  private constructor(words: Int32Array, size: ScoreboardSize, path: string | undefined) {
    this.words = words;
    this.floats = new Float32Array(words.buffer, words.byteOffset, words.length);
    this.size = size;
    this.path = path;
    let at = HEADER_WORDS;
    const area = (length: number): number => {
      const begin = at;
      // Each begins on a cache line (16 words) of its own.
      at += Math.ceil(length / 16) * 16;
      return begin;
    };
    this.upstreamAt = area(size.upstreams * UPSTREAM_WORDS);
    this.workerAt = area(size.workers * WORKER_WORDS);
    this.listenerAt = area(size.workers * MAX_LISTENERS);
    this.flagsAt = area(size.targets);
    this.shareAt = area(size.targets);
    this.openAt = area(size.targets);
    this.connectionsAt = area(size.targets);
    this.statAt = area(size.targets * STAT_WORDS);
    this.upstreamColumnAt = area(size.upstreams * size.workers * UPSTREAM_COLUMN_WORDS);
    this.columnAt = area(size.targets * size.workers * COLUMN_WORDS);
    this.addressAt = area(size.workers * ADDRESS_WORDS);
  }

  private static wordsFor(size: ScoreboardSize): number {
    return (
      HEADER_WORDS +
      16 * 16 +
      size.upstreams * (UPSTREAM_WORDS + size.workers * UPSTREAM_COLUMN_WORDS) +
      size.workers * (WORKER_WORDS + MAX_LISTENERS + ADDRESS_WORDS) +
      size.targets * (4 + STAT_WORDS + size.workers * COLUMN_WORDS)
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

  // A target's state: written by the supervisor, read by all.

  /** Flag bits; 0: in rotation. */
  flags(target: number): number {
    return this.words[this.flagsAt + target]!;
  }

  /** Its health check does not fail. */
  isUp(target: number): boolean {
    return (this.flags(target) & Flag.DOWN) === 0;
  }

  /** Supervisor only. */
  setFlags(upstream: number, target: number, flags: number): void {
    if (this.words[this.flagsAt + target] === flags) return;
    Atomics.store(this.words, this.flagsAt + target, flags);
    this.changed(upstream);
  }

  /** Thousandths of its configured weight that it gets. */
  share(target: number): number {
    return this.words[this.shareAt + target]! === 0 ? 1000 : this.words[this.shareAt + target]! - 1;
  }

  /** Supervisor only. @param thousandths from 0; 1000 is the whole weight */
  setShare(upstream: number, target: number, thousandths: number): void {
    if (this.share(target) === thousandths) return;
    // Fresh memory means the whole weight.
    Atomics.store(this.words, this.shareAt + target, thousandths + 1);
    this.changed(upstream);
  }

  private changed(upstream: number): void {
    Atomics.add(this.words, this.epochAt(upstream), 1);
    Atomics.add(this.words, H_EPOCH, 1);
  }

  // What all workers write together: atomically.

  /** Where the epoch of an upstream stands: it moves whenever the state of one of its targets does. */
  epochAt(upstream: number): number {
    return this.upstreamWordAt(upstream, UPSTREAM_EPOCH);
  }

  /** Where a word that all workers share for an upstream stands. */
  upstreamWordAt(upstream: number, word: number): number {
    return this.upstreamAt + upstream * UPSTREAM_WORDS + word;
  }

  /** Next number of an upstream's cursor, over all workers; wraps at 2^32. Each tier has its own. */
  nextCursor(upstream: number, tier = 0): number {
    return Atomics.add(this.words, this.upstreamWordAt(upstream, tier), 1) >>> 0;
  }

  /** Where a target's open requests over all workers stand. */
  openRequestsAt(target: number): number {
    return this.openAt + target;
  }

  openRequests(target: number): number {
    return Math.max(0, this.words[this.openAt + target]!);
  }

  openConnections(target: number): number {
    return Math.max(0, this.words[this.connectionsAt + target]!);
  }

  /** Where a word that all workers share for a target stands. */
  statWordAt(target: number, word: number): number {
    return this.statAt + target * STAT_WORDS + word;
  }

  /** A target's latency in ms as of `latencyStamp`; 0: not known. */
  latency(target: number): number {
    return this.floats[this.statAt + target * STAT_WORDS + STAT_LATENCY]!;
  }

  /** When the latency was set, in ms since any moment, modulo 2^32. */
  latencyStamp(target: number): number {
    return this.words[this.statAt + target * STAT_WORDS + STAT_STAMP]!;
  }

  /** Two workers that set it at the same time lose one observation: an average does not mind. */
  setLatency(target: number, milliseconds: number, stamp: number): void {
    const at = this.statAt + target * STAT_WORDS;
    this.floats[at + STAT_LATENCY] = milliseconds;
    this.words[at + STAT_STAMP] = stamp;
  }

  // Sums over workers.

  /** Sum of one word of an upstream's columns. */
  upstreamSum(upstream: number, word: number): number {
    let total = 0;
    const first = this.upstreamColumnAt + upstream * this.size.workers * UPSTREAM_COLUMN_WORDS + word;
    for (let worker = 0; worker < this.size.workers; worker++) total += this.words[first + worker * UPSTREAM_COLUMN_WORDS]!;
    return total;
  }

  /** The same word in each worker's column of an upstream. */
  upstreamWords(upstream: number, word: number): number[] {
    const first = this.upstreamColumnAt + upstream * this.size.workers * UPSTREAM_COLUMN_WORDS + word;
    return Array.from({ length: this.size.workers }, (_, worker) => this.words[first + worker * UPSTREAM_COLUMN_WORDS]!);
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

  /** Lines of the access log that nobody took. */
  get lostLines(): number {
    let total = 0;
    for (let worker = 0; worker < this.size.workers; worker++) total += this.workerWord(worker, WORKER_LOST_LINES);
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

  /** Count a connection of a client address in or out. @param hash of the address and its listener, 32 bits */
  addAddress(worker: number, hash: number, change: 1 | -1): void {
    const row = this.addressAt + worker * ADDRESS_WORDS;
    this.words[row + firstPlace(hash)]! += change;
    this.words[row + secondPlace(hash)]! += change;
  }

  /** Open connections of a client address over all workers; rarely more than there are, never fewer. */
  connectionsOfAddress(hash: number): number {
    let first = 0;
    let second = 0;
    for (let worker = 0; worker < this.size.workers; worker++) {
      const row = this.addressAt + worker * ADDRESS_WORDS;
      first += this.words[row + firstPlace(hash)]!;
      second += this.words[row + secondPlace(hash)]!;
    }
    return Math.min(first, second);
  }

  /**
   * Take back what a dead worker held: its open connections and requests; totals stay. Supervisor only.
   * @param used rows from here on were never used; looking at them would make them take memory
   */
  reclaim(worker: number, used: { readonly targets: number; readonly upstreams: number } = this.size): void {
    for (let word = 0; word < WORKER_WORDS; word++) this.setWorkerWord(worker, word, 0);
    for (let listener = 0; listener < MAX_LISTENERS; listener++) this.words[this.listenerAt + worker * MAX_LISTENERS + listener] = 0;
    this.words.fill(0, this.addressAt + worker * ADDRESS_WORDS, this.addressAt + (worker + 1) * ADDRESS_WORDS);
    for (let target = 0; target < used.targets; target++) {
      const column = this.columnOf(worker, target);
      this.giveBack(column + OPEN_CONNECTIONS, this.connectionsAt + target);
      this.giveBack(column + OPEN_REQUESTS, this.openAt + target);
    }
    for (let upstream = 0; upstream < used.upstreams; upstream++) {
      const column = this.upstreamColumnOf(worker, upstream);
      this.giveBack(column + OPEN_RETRIES, this.upstreamWordAt(upstream, RETRIES_HELD));
      for (let word = 0; word < UPSTREAM_GAUGES; word++) if (this.words[column + word] !== 0) this.words[column + word] = 0;
    }
  }

  private giveBack(own: number, shared: number): void {
    const held = this.words[own]!;
    if (held === 0) return;
    this.words[own] = 0;
    // Below zero: what was open to the target that had the row before ended after it was given away.
    Atomics.sub(this.words, shared, Math.max(0, held));
  }

  /** Forget everything about an upstream whose slot is given to another one. Supervisor only. */
  clearUpstream(upstream: number): void {
    const first = this.upstreamWordAt(upstream, 0);
    const epoch = this.words[first + UPSTREAM_EPOCH]!;
    const retries = this.words[first + RETRIES_HELD]!;
    this.words.fill(0, first, first + UPSTREAM_WORDS);
    this.words[first + RETRIES_HELD] = retries;
    Atomics.store(this.words, first + UPSTREAM_EPOCH, epoch + 1);
    // What is open goes down by itself.
    for (let worker = 0; worker < this.size.workers; worker++) {
      const column = this.upstreamColumnOf(worker, upstream);
      this.words.fill(0, column + UPSTREAM_GAUGES, column + UPSTREAM_COLUMN_WORDS);
    }
  }

  /** Forget everything about a target whose slot is given to another one. Supervisor only. */
  clearTarget(target: number): void {
    for (const at of [this.flagsAt, this.shareAt, this.openAt, this.connectionsAt]) this.words[at + target] = 0;
    this.words.fill(0, this.statWordAt(target, 0), this.statWordAt(target + 1, 0));
    const first = this.columnOf(0, target);
    this.words.fill(0, first, first + this.size.workers * COLUMN_WORDS);
    Atomics.add(this.words, H_EPOCH, 1);
  }

  private columnOf(worker: number, target: number): number {
    return this.columnAt + (target * this.size.workers + worker) * COLUMN_WORDS;
  }

  private upstreamColumnOf(worker: number, upstream: number): number {
    return this.upstreamColumnAt + (upstream * this.size.workers + worker) * UPSTREAM_COLUMN_WORDS;
  }

  /** What one worker writes about one target. */
  column(worker: number, target: number): TargetColumn {
    return new TargetColumn(this.words, this.columnOf(worker, target), this.openAt + target, this.connectionsAt + target);
  }

  /** What one worker writes about one upstream. */
  upstreamColumn(worker: number, upstream: number): Column {
    return new Column(this.words, this.upstreamColumnOf(worker, upstream));
  }
}
