/**
 * The scoreboard: memory that supervisor and workers share, mapped from one file, which they hold by its descriptor: they never ask for its name.
 *
 * What must be one truth over all workers lives here: each target's state and share, cursors, open connections and requests,
 * counters and histograms. State is written by the supervisor only. Each counter is written by one worker only, in a column of
 * its own, so that nothing is lost when a worker dies: its column is cleared (open) or kept (totals) by the supervisor. What every
 * pick needs to see of all workers (cursors, open requests) is common and atomic beside that.
 */
import { fstatSync, ftruncateSync, readSync, rmSync } from "node:fs";
import { mapFile } from "../net/mapped-file.ts";
import { CHECK_TIMES, CLIENTS, Column, CONNECT_TIMES, DURATIONS, FAULT_EFFECTS, FAULTS_INJECTED, FIRST_BYTE_TIMES, GAUGES, HISTOGRAM_CELLS, HISTOGRAM_SUM, LISTENER_CELLS, OPEN_CONNECTIONS, OPEN_REQUESTS, OPEN_RETRIES, QUEUE_TIMES, ROUTE_CELLS, TARGET_CELLS, TargetColumn, TOTAL_LOST_LINES, UPSTREAM_CELLS, WORKER_CELLS } from "./columns.ts";
import { Bounds, BOUNDS_CELLS, type Histogram } from "./histogram.ts";
import { bytesFor, CommonLayout, HEADER_WORDS, partBytes, type ScoreboardSize, type UsedRows, WORKER_ROWS } from "./layout.ts";
import { type Part, Parts } from "./part.ts";
import { Table } from "./table.ts";
import { ADDRESS_WORDS, firstPlace, Flag, LISTENER_ROWS, MAX_ROUTES, RETRIES_HELD, secondPlace, STAT_LATENCY, STAT_STAMP, STAT_WORDS, UPSTREAM_EPOCH, UPSTREAM_WORDS, WORKER_CLIENTS, WORKER_WORDS } from "./words.ts";

export * from "./columns.ts";
export { type Bounds, type Histogram, quantile } from "./histogram.ts";
export type { ScoreboardSize, UsedRows } from "./layout.ts";
export type { Table } from "./table.ts";
export * from "./words.ts";

const MAGIC = 0x46_4c_42_33; // "FLB3"

/** Header words. */
const H_MAGIC = 0;
const H_WORKERS = 1;
const H_TARGETS = 2;
const H_UPSTREAMS = 3;
const H_EPOCH = 4;
const H_GENERATION = 5;
const H_DRAINING = 6;
/** How many worker slots were ever used. */
const H_USED = 7;

/** Where its memory is. */
interface BoardFile {
  readonly descriptor: number;
  /** Undefined: who made it knows. */
  readonly path: string | undefined;
}

/** @throws Error when it is not a scoreboard */
function sizeOf(descriptor: number): ScoreboardSize {
  const header = new Int32Array(HEADER_WORDS);
  readSync(descriptor, header, 0, header.byteLength, 0);
  if (header[H_MAGIC] !== MAGIC) throw new Error("not a Fairlead scoreboard");
  const size = { workers: header[H_WORKERS]!, targets: header[H_TARGETS]!, upstreams: header[H_UPSTREAMS]! };
  if (fstatSync(descriptor).size < bytesFor(size)) throw new Error("this scoreboard is cut short");
  return size;
}

export class Scoreboard {
  /** The mapped file; undefined for private memory. */
  readonly file: BoardFile | undefined;
  readonly size: ScoreboardSize;
  /** All that is common; who needs an index asks one of the methods that end in `At`. */
  readonly words: Int32Array;
  /** Of all histograms. */
  readonly bounds: Bounds;
  readonly targets: Table;
  readonly upstreams: Table;
  readonly listeners: Table;
  readonly routes: Table;
  private readonly workerRow: Table;
  private readonly floats: Float32Array;
  private readonly layout: CommonLayout;
  private readonly parts: Parts;

  private constructor(words: Int32Array, size: ScoreboardSize, file: BoardFile | undefined) {
    this.words = words;
    this.floats = new Float32Array(words.buffer, words.byteOffset, words.length);
    this.size = size;
    this.file = file;
    const layout = new CommonLayout(size);
    this.layout = layout;
    this.bounds = new Bounds(new Float64Array(words.buffer, words.byteOffset + layout.bounds * 4, BOUNDS_CELLS));
    const length = partBytes(size);
    const map = (worker: number): Part => {
      const own = file === undefined ? new ArrayBuffer(length) : mapFile(file.descriptor, layout.bytes + worker * length, length);
      return { words: new Int32Array(own), cells: new Float64Array(own) };
    };
    this.parts = new Parts(size.workers + 1, map, (worker) => words[layout.used + worker] !== 0, () => words[H_USED]!);
    let cell = 0;
    const table = (rows: number, cells: number): Table => {
      const begin = cell;
      cell += rows * cells;
      return new Table(this.parts, begin, rows, cells);
    };
    this.workerRow = table(WORKER_ROWS, WORKER_CELLS);
    this.listeners = table(LISTENER_ROWS, LISTENER_CELLS);
    this.routes = table(MAX_ROUTES, ROUTE_CELLS);
    this.upstreams = table(size.upstreams, UPSTREAM_CELLS);
    this.targets = table(size.targets, TARGET_CELLS);
  }

  /** Private memory, for one process. */
  static local(size: ScoreboardSize): Scoreboard {
    const board = new Scoreboard(new Int32Array(new CommonLayout(size).bytes / 4), size, undefined);
    board.writeHeader();
    return board;
  }

  /** Make one of a new file, open for reading and writing. The file is sparse: rows that are never used cost nothing. */
  static create(descriptor: number, path: string, size: ScoreboardSize): Scoreboard {
    ftruncateSync(descriptor, bytesFor(size));
    const board = new Scoreboard(new Int32Array(mapFile(descriptor, 0, new CommonLayout(size).bytes)), size, { descriptor, path });
    board.writeHeader();
    return board;
  }

  /** One that another process made. @param descriptor open for reading and writing; it must stay open @throws Error when it is not a scoreboard */
  static open(descriptor: number): Scoreboard {
    const size = sizeOf(descriptor);
    return new Scoreboard(new Int32Array(mapFile(descriptor, 0, new CommonLayout(size).bytes)), size, { descriptor, path: undefined });
  }

  /** What is common as it is now, in private memory: to look at what another process leaves. @throws Error when it is not a scoreboard */
  static copy(descriptor: number): Scoreboard {
    const size = sizeOf(descriptor);
    const words = new Int32Array(new CommonLayout(size).bytes / 4);
    readSync(descriptor, words, 0, words.byteLength, 0);
    return new Scoreboard(words, size, undefined);
  }

  private writeHeader(): void {
    this.words[H_WORKERS] = this.size.workers;
    this.words[H_TARGETS] = this.size.targets;
    this.words[H_UPSTREAMS] = this.size.upstreams;
    Atomics.store(this.words, H_MAGIC, MAGIC);
  }

  /** Remove the file's name, if it has one still; the memory stays until the last process lets go. */
  unlink(): void {
    if (this.file?.path !== undefined) rmSync(this.file.path, { force: true });
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
    return this.words[this.layout.flags + target]!;
  }

  /** Its health check does not fail. */
  isUp(target: number): boolean {
    return (this.flags(target) & Flag.DOWN) === 0;
  }

  /** Supervisor only. */
  setFlags(upstream: number, target: number, flags: number): void {
    if (this.words[this.layout.flags + target] === flags) return;
    Atomics.store(this.words, this.layout.flags + target, flags);
    this.changed(upstream);
  }

  /** Thousandths of its configured weight that it gets. */
  share(target: number): number {
    return this.words[this.layout.share + target]! === 0 ? 1000 : this.words[this.layout.share + target]! - 1;
  }

  /** Supervisor only. @param thousandths from 0; 1000 is the whole weight */
  setShare(upstream: number, target: number, thousandths: number): void {
    if (this.share(target) === thousandths) return;
    // Fresh memory means the whole weight.
    Atomics.store(this.words, this.layout.share + target, thousandths + 1);
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
    return this.layout.upstream + upstream * UPSTREAM_WORDS + word;
  }

  /** Next number of an upstream's cursor, over all workers; wraps at 2^32. Each tier has its own. */
  nextCursor(upstream: number, tier = 0): number {
    return Atomics.add(this.words, this.upstreamWordAt(upstream, tier), 1) >>> 0;
  }

  /** The number that `nextCursor` gives next. */
  peekCursor(upstream: number, tier = 0): number {
    return this.words[this.upstreamWordAt(upstream, tier)]! >>> 0;
  }

  /** Where a target's open requests over all workers stand. */
  openRequestsAt(target: number): number {
    return this.layout.open + target;
  }

  openRequests(target: number): number {
    return Math.max(0, this.words[this.layout.open + target]!);
  }

  openConnections(target: number): number {
    return Math.max(0, this.words[this.layout.connections + target]!);
  }

  /** Where a word that all workers share for a target stands. */
  statWordAt(target: number, word: number): number {
    return this.layout.stat + target * STAT_WORDS + word;
  }

  /** A target's latency in ms as of `latencyStamp`; 0: not known. */
  latency(target: number): number {
    return this.floats[this.layout.stat + target * STAT_WORDS + STAT_LATENCY]!;
  }

  /** When the latency was set, in ms since any moment, modulo 2^32. */
  latencyStamp(target: number): number {
    return this.words[this.layout.stat + target * STAT_WORDS + STAT_STAMP]!;
  }

  /** Two workers that set it at the same time lose one observation: an average does not mind. */
  setLatency(target: number, milliseconds: number, stamp: number): void {
    const at = this.layout.stat + target * STAT_WORDS;
    this.floats[at + STAT_LATENCY] = milliseconds;
    this.words[at + STAT_STAMP] = stamp;
  }

  /** Count an open client connection of any listener in or out. */
  addClient(worker: number, change: 1 | -1): void {
    this.words[this.layout.worker + worker * WORKER_WORDS + WORKER_CLIENTS]! += change;
  }

  workerWord(worker: number, word: number): number {
    return this.words[this.layout.worker + worker * WORKER_WORDS + word]!;
  }

  setWorkerWord(worker: number, word: number, value: number): void {
    Atomics.store(this.words, this.layout.worker + worker * WORKER_WORDS + word, value);
  }

  /** Open client connections of a listener over all workers. */
  clientsOf(listener: number): number {
    return this.listeners.held(listener, CLIENTS);
  }

  /** Lines of the access log that nobody took, since the start. */
  get lostLines(): number {
    return this.workerRow.sum(0, TOTAL_LOST_LINES);
  }

  /** Faults that were injected since the start, by what they did, in the order of `FAULT_EFFECTS`. */
  get faultsInjected(): number[] {
    return this.workerRow.sums(0, FAULTS_INJECTED, FAULT_EFFECTS.length);
  }

  /** Open client connections over all listeners and workers. */
  get clients(): number {
    let total = 0;
    for (let worker = 0; worker < this.size.workers; worker++) total += this.workerWord(worker, WORKER_CLIENTS);
    return total;
  }

  /** How late a worker's event loop was, in all. */
  lagOf(worker: number): Histogram {
    const first = this.workerRow.at(0) + DURATIONS;
    const cells = this.parts.of(worker).cells.subarray(first, first + HISTOGRAM_CELLS);
    return { counts: [...cells.subarray(0, HISTOGRAM_SUM)], sum: cells[HISTOGRAM_SUM]! };
  }

  /** Count a connection of a client address in or out. @param hash of the address and its listener, 32 bits */
  addAddress(worker: number, hash: number, change: 1 | -1): void {
    const row = this.layout.address + worker * ADDRESS_WORDS;
    this.words[row + firstPlace(hash)]! += change;
    this.words[row + secondPlace(hash)]! += change;
  }

  /** Open connections of a client address over all workers; rarely more than there are, never fewer. */
  connectionsOfAddress(hash: number): number {
    let first = 0;
    let second = 0;
    for (let worker = 0; worker < this.size.workers; worker++) {
      const row = this.layout.address + worker * ADDRESS_WORDS;
      first += this.words[row + firstPlace(hash)]!;
      second += this.words[row + secondPlace(hash)]!;
    }
    return Math.min(first, second);
  }

  /**
   * Take back what a dead worker held: its open connections and requests; totals stay. Supervisor only.
   * @param used absent: all
   */
  reclaim(worker: number, used: UsedRows = { ...this.size, listeners: LISTENER_ROWS, routes: MAX_ROUTES }): void {
    for (let word = 0; word < WORKER_WORDS; word++) this.setWorkerWord(worker, word, 0);
    this.words.fill(0, this.layout.address + worker * ADDRESS_WORDS, this.layout.address + (worker + 1) * ADDRESS_WORDS);
    const { words } = this.parts.of(worker);
    for (let target = 0; target < used.targets; target++) {
      const gauges = this.targets.at(target) * 2;
      this.giveBack(words, gauges + OPEN_CONNECTIONS, this.layout.connections + target);
      this.giveBack(words, gauges + OPEN_REQUESTS, this.layout.open + target);
    }
    for (let upstream = 0; upstream < used.upstreams; upstream++) {
      const gauges = this.upstreams.at(upstream) * 2;
      this.giveBack(words, gauges + OPEN_RETRIES, this.upstreamWordAt(upstream, RETRIES_HELD));
      for (let gauge = 0; gauge < GAUGES; gauge++) if (words[gauges + gauge] !== 0) words[gauges + gauge] = 0;
    }
    for (let listener = 0; listener < used.listeners; listener++) words[this.listeners.at(listener) * 2 + CLIENTS] = 0;
  }

  private giveBack(own: Int32Array, gauge: number, shared: number): void {
    const held = own[gauge]!;
    if (held === 0) return;
    own[gauge] = 0;
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
    this.upstreams.clear(upstream, "totals");
  }

  /** Forget everything about a target whose slot is given to another one. Supervisor only. */
  clearTarget(target: number): void {
    const { flags, share, open, connections } = this.layout;
    for (const at of [flags, share, open, connections]) this.words[at + target] = 0;
    this.words.fill(0, this.statWordAt(target, 0), this.statWordAt(target + 1, 0));
    this.targets.clear(target, "all");
    Atomics.add(this.words, H_EPOCH, 1);
  }

  /**
   * Count durations by these bounds from now on; if they are others than before, histograms begin anew. Supervisor only.
   * @param bounds in ms, ascending, 1 to 30
   */
  setBounds(bounds: readonly number[], used: UsedRows): void {
    const { list } = this.bounds;
    if (list.join() === bounds.join()) return;
    this.bounds.set(bounds);
    if (list.length === 0) return;
    for (const [table, rows] of [[this.workerRow, WORKER_ROWS], [this.listeners, used.listeners], [this.routes, used.routes], [this.upstreams, used.upstreams], [this.targets, used.targets]] as const) table.clearHistogram(DURATIONS, rows);
    for (const first of [QUEUE_TIMES, CONNECT_TIMES, FIRST_BYTE_TIMES, CHECK_TIMES]) this.upstreams.clearHistogram(first, used.upstreams);
  }

  /** A worker's own part, which it writes from now on. */
  private partOf(worker: number): Part {
    const first = this.layout.used + worker;
    // The count last: who sees it finds all of them.
    if (Atomics.compareExchange(this.words, first, 0, 1) === 0) Atomics.add(this.words, H_USED, 1);
    return this.parts.of(worker);
  }

  /** What one worker writes about one target. @param upstream its upstream's column, which counts what it counts too */
  column(worker: number, target: number, upstream?: Column): TargetColumn {
    return new TargetColumn(this.partOf(worker), this.targets.at(target), this.words, this.layout.open + target, this.layout.connections + target, upstream);
  }

  /** What one worker writes about one upstream. */
  upstreamColumn(worker: number, upstream: number): Column {
    return new Column(this.partOf(worker), this.upstreams.at(upstream));
  }

  /** What the supervisor writes about one upstream: checks and ejections. */
  supervisorColumn(upstream: number): Column {
    return this.upstreamColumn(this.size.workers, upstream);
  }

  /** What one worker writes about one listener, … */
  listenerColumn(worker: number, listener: number): Column {
    return new Column(this.partOf(worker), this.listeners.at(listener));
  }

  /** … one route, … */
  routeColumn(worker: number, route: number): Column {
    return new Column(this.partOf(worker), this.routes.at(route));
  }

  /** … and itself. */
  workerColumn(worker: number): Column {
    return new Column(this.partOf(worker), this.workerRow.at(0));
  }
}
