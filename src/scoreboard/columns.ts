/**
 * What stands where in a column: what one worker alone writes about a target, an upstream, a listener or a route.
 *
 * A column is made of cells of 64 bits. The first two hold gauges, which are words of 32 bits: what is open now, cleared when the worker
 * dies. All others hold totals, which stay; as floating point they are exact up to 2^53.
 */
import type { Part } from "./part.ts";

/** Gauges of a target. */
export const OPEN_CONNECTIONS = 0;
export const OPEN_REQUESTS = 1;
/** Gauges of an upstream. */
export const OPEN_EXCHANGES = 0;
export const OPEN_RETRIES = 1;
export const QUEUED = 2;
/** The oldest number in this worker's queue, plus one; 0: nobody waits. */
export const QUEUE_HEAD = 3;
/** Gauge of a listener. */
export const CLIENTS = 0;
export const GAUGES = 4;

/** How an exchange ended, in every column: by the class of its status, … */
export const CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx", "failed", "done"] as const;
export type Class = 0 | 1 | 2 | 3 | 4 | 5 | 6;
export const CLASS_5XX = 4;
/** … without one, … */
export const CLASS_FAILED = 5;
/** … or as it should, where there are no statuses (tcp, udp). */
export const CLASS_DONE = 6;
/** Cell of the first class; the others follow. */
export const ENDED = 2;
export const TOTAL_5XX = ENDED + CLASS_5XX;
/** Of a target: it could not be reached, broke off, or took too long. */
export const TOTAL_FAILURES = ENDED + CLASS_FAILED;

/** Bytes that came from clients (of a target or an upstream: from targets), and that went to them. */
export const BYTES_RECEIVED = 9;
export const BYTES_SENT = 10;

/** Bounds that a histogram has at most. */
export const MAX_BOUNDS = 30;
/** A histogram: a cell for each bound and one for what is beyond the last; then the sum of all in ms. */
export const HISTOGRAM_CELLS = 32;
export const HISTOGRAM_SUM = 31;
/** How long exchanges took, in every column; of a worker: how late its event loop was. */
export const DURATIONS = 16;

/** Totals of a target, and of all that its upstream has ever had: requests that it was sent, … */
export const TOTAL_REQUESTS = 11;
export const TOTAL_CONNECTS = 12;
/** … those that failed and were tried again, … */
export const TOTAL_RETRIES = 13;
/** … and those that were over before the target had its say: the client has gone, another answer was quicker. */
export const TOTAL_CALLED_OFF = 14;
export const TARGET_CELLS = 48;

/** Totals of an upstream. */
export const TOTAL_BUDGET_REFUSED = 48;
export const TOTAL_HEDGES = 49;
export const TOTAL_HEDGES_WON = 50;
export const TOTAL_BREAKER_REFUSED = 51;
export const TOTAL_QUEUED = 58;
export const TOTAL_QUEUE_FULL = 59;
export const TOTAL_QUEUE_TIMEOUTS = 60;

/** Totals of HTTP/2, of a listener's clients or an upstream's targets. */
export const TOTAL_H2_CONNECTIONS = 52;
export const TOTAL_H2_STREAMS = 53;
export const TOTAL_H2_RESETS_RECEIVED = 54;
export const TOTAL_H2_RESETS_SENT = 55;
export const TOTAL_H2_GOAWAYS_RECEIVED = 56;
export const TOTAL_H2_GOAWAYS_SENT = 57;

/** Totals of a listener. */
export const TOTAL_CLIENTS = 11;
/** TLS handshakes: with keys agreed on anew, and with those of a session before. */
export const TOTAL_TLS_FULL = 12;
export const TOTAL_TLS_RESUMED = 13;

/** Causes that there may be. */
export const MAX_CAUSES = 64;
/** Of a listener and an upstream: a cell for each cause that its exchanges ended with, other than "done". */
export const CAUSES_OF_END = 64;
export const LISTENER_CELLS = 128;
/** Of an upstream: the same for attempts that came to nothing. */
export const CAUSES_OF_ATTEMPTS = 128;
/** Histograms of an upstream. */
export const QUEUE_TIMES = 192;
export const CONNECT_TIMES = 224;
/** From the begin of an attempt to the first byte of its reply. */
export const FIRST_BYTE_TIMES = 256;
/** Health checks; written by the supervisor, like what follows. */
export const CHECK_TIMES = 288;
export const TOTAL_CHECKS_PASSED = 61;
export const TOTAL_CHECKS_FAILED = 62;
/** A cell for each detector. */
export const EJECTIONS = 320;
export const UPSTREAM_CELLS = 328;

export const ROUTE_CELLS = 48;
/** Total of a worker: lines of the access log that nobody took. */
export const TOTAL_LOST_LINES = 11;
/** Faults that it injected: a cell for each thing that one does. */
export const FAULT_EFFECTS = ["delay", "abort", "reset", "throttle", "truncate", "target-delay", "target-error"] as const;
export type FaultEffectName = (typeof FAULT_EFFECTS)[number];
export const FAULTS_INJECTED = 48;
export const WORKER_CELLS = 56;

/** 100 to 599; 0: there is none. */
export function classOf(status: number): Class {
  const hundreds = (status / 100) | 0;
  return hundreds >= 1 && hundreds <= 5 ? ((hundreds - 1) as Class) : CLASS_FAILED;
}

/** One worker alone writes it, so plain adds are exact. */
export class Column {
  protected readonly words: Int32Array;
  protected readonly cells: Float64Array;
  protected readonly at: number;
  /** The first of its gauges. */
  protected readonly gaugesAt: number;

  constructor({ words, cells }: Part, at: number) {
    this.words = words;
    this.cells = cells;
    this.at = at;
    this.gaugesAt = at * 2;
  }

  /** Count a total. */
  add(total: number, change = 1): void {
    this.cells[this.at + total]! += change;
  }

  received(bytes: number): void {
    this.add(BYTES_RECEIVED, bytes);
  }

  sent(bytes: number): void {
    this.add(BYTES_SENT, bytes);
  }

  hold(gauge: number, change: number): void {
    this.words[this.gaugesAt + gauge]! += change;
  }

  set(gauge: number, value: number): void {
    this.words[this.gaugesAt + gauge] = value;
  }

  /** An exchange is over. @param bucket where so many ms belong */
  ended(how: Class, bucket: number, milliseconds: number): void {
    const { cells, at } = this;
    cells[at + ENDED + how]! += 1;
    cells[at + DURATIONS + bucket]! += 1;
    cells[at + DURATIONS + HISTOGRAM_SUM]! += milliseconds;
  }

  /** @param histogram its first cell @param bucket where so many ms belong */
  observe(histogram: number, bucket: number, milliseconds: number): void {
    const first = this.at + histogram;
    this.cells[first + bucket]! += 1;
    this.cells[first + HISTOGRAM_SUM]! += milliseconds;
  }
}

/**
 * One worker's column of one target, and its part in what all workers count together.
 *
 * A worker that is killed between its own count and the common one leaves the common one too low, never too high: the one who finds it
 * below zero, where it cannot be, sets it right.
 */
export class TargetColumn extends Column {
  private readonly common: Int32Array;
  /** Its upstream's, which goes on when the target goes. */
  private readonly upstream: Column | undefined;
  private readonly open: number;
  private readonly connections: number;

  /** @param common words that all workers write, and where in them its open requests and connections are */
  constructor(part: Part, at: number, common: Int32Array, open: number, connections: number, upstream: Column | undefined) {
    super(part, at);
    this.upstream = upstream;
    this.common = common;
    this.open = open;
    this.connections = connections;
  }

  override add(total: number, change = 1): void {
    super.add(total, change);
    this.upstream?.add(total, change);
  }

  requestBegins(): void {
    this.words[this.gaugesAt + OPEN_REQUESTS]! += 1;
    this.add(TOTAL_REQUESTS);
    this.countIn(this.open);
  }

  /** It had begun, but must not. */
  requestTurnedAway(): void {
    this.requestEnds();
    this.add(TOTAL_REQUESTS, -1);
  }

  requestEnds(): void {
    Atomics.sub(this.common, this.open, 1);
    this.words[this.gaugesAt + OPEN_REQUESTS]! -= 1;
  }

  connectionBegins(): void {
    this.words[this.gaugesAt + OPEN_CONNECTIONS]! += 1;
    this.countIn(this.connections);
  }

  connectionEnds(): void {
    Atomics.sub(this.common, this.connections, 1);
    this.words[this.gaugesAt + OPEN_CONNECTIONS]! -= 1;
  }

  /** @param bucket where so many ms belong */
  connected(bucket: number, milliseconds: number): void {
    this.upstream?.observe(CONNECT_TIMES, bucket, milliseconds);
  }

  private countIn(at: number): void {
    const before = Atomics.add(this.common, at, 1);
    if (before < 0) Atomics.sub(this.common, at, before);
  }
}
