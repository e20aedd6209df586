/** One lane of a generator: which request is next, by a closed or an open loop, who carries it, and what became of it. */
import { lengthOf } from "./content.ts";
import { Latencies } from "./latencies.ts";
import { type Failure, type FailureKind, type Lane, type LaneReport, MAX_TOLD } from "./plan.ts";

/** After a connect that failed, in ms. */
const RECONNECT_PAUSE = 20;
const DEFAULT_TIMEOUT = 10_000;
/** Of an open loop over HTTP/1.1 that is kept waiting. TLS has no more than it began with: a storm of handshakes would be a fault of its own. */
const MOST_CONNECTIONS = 256;

export interface Request {
  readonly number: number;
  method: "GET" | "POST";
  readonly length: number;
  /** When it should have been sent, by `performance.now()`. */
  readonly due: number;
  sent: number;
}

/** One connection, as the lane sees it. */
export interface Carrier {
  /** The client's port; 0: none yet. */
  readonly port: number;
  readonly answered: number;
  readonly backend: number;
  readonly pending: number;
  /** It is connected. */
  readonly ready: boolean;
  /** Takes of the lane's requests what it has room for. */
  pump(): void;
  /** Fails what was sent before `before`. */
  overdue(before: number): void;
  /** Leaves without a word. */
  end(): void;
}

/** What all lanes of a generator share. */
export interface Shared {
  next: number;
  readonly failures: Failure[];
}

export class LaneAtWork {
  readonly lane: Lane;
  private readonly shared: Shared;
  private readonly timeout: number;
  private readonly connect: (lane: LaneAtWork) => Carrier;
  private readonly carriers = new Set<Carrier>();
  /** Of an open loop: due, and not sent. */
  private waiting: Request[] = [];
  private readonly again: Request[] = [];
  private readonly latencies = new Latencies();
  private readonly began = performance.now();
  private arrived = 0;
  private posts = 0;
  private stopping = false;
  requests = 0;
  failed = 0;
  resent = 0;
  connections = 0;

  constructor(lane: Lane, timeout: number | undefined, shared: Shared, connect: (lane: LaneAtWork) => Carrier) {
    this.lane = lane;
    this.shared = shared;
    this.timeout = timeout ?? DEFAULT_TIMEOUT;
    this.connect = connect;
    for (let count = 0; count < lane.connections; count++) this.open();
  }

  private open(): void {
    this.connections++;
    this.carriers.add(this.connect(this));
  }

  private make(due: number): Request {
    const number = this.shared.next++;
    this.posts += this.lane.posts ?? 0;
    const isPost = this.posts >= 1;
    if (isPost) this.posts--;
    return { number, method: isPost ? "POST" : "GET", length: lengthOf(number), due, sent: 0 };
  }

  /** For a carrier with room; undefined: there is nothing to do. */
  next(): Request | undefined {
    const now = performance.now();
    const request = this.again.pop() ?? (this.lane.rate !== undefined ? this.waiting.shift() : this.stopping ? undefined : this.make(now));
    if (request !== undefined) request.sent = now;
    return request;
  }

  /** What is due, and what is late. */
  tick(now: number): void {
    const { rate } = this.lane;
    if (rate !== undefined && !this.stopping) {
      for (const due = ((now - this.began) * rate) / 1000; this.arrived < due; this.arrived++) this.waiting.push(this.make(this.began + (this.arrived * 1000) / rate));
    }
    if (this.waiting.length === 0) return;
    const most = this.lane.tls === true ? this.lane.connections : MOST_CONNECTIONS;
    let coming = 0;
    for (const carrier of this.carriers) {
      carrier.pump();
      if (!carrier.ready) coming++;
    }
    for (; coming < this.waiting.length && this.carriers.size < most; coming++) this.open();
  }

  lookForLate(now: number): void {
    for (const carrier of [...this.carriers]) carrier.overdue(now - this.timeout);
    while (this.waiting.length > 0 && this.waiting[0]!.due < now - this.timeout) this.fail(this.waiting.shift()!, "timeout", undefined, "waited for a connection");
  }

  answer(request: Request): void {
    this.requests++;
    this.latencies.add(performance.now() - request.due);
  }

  fail(request: Request, kind: FailureKind, carrier: Carrier | undefined, detail = "", status = 0, reason = ""): void {
    this.requests++;
    this.failed++;
    const { failures } = this.shared;
    if (failures.length >= MAX_TOLD) return;
    const at = (time: number): number => Math.round((performance.timeOrigin + time) * 1000) / 1000;
    const { port = 0, answered = 0, backend = 0 } = carrier ?? {};
    failures.push({ kind, lane: this.lane.name, number: request.number, method: request.method, port, status, answeredBefore: answered, backend, sent: at(request.sent === 0 ? request.due : request.sent), ended: at(performance.now()), detail, reason });
  }

  /** The server has done nothing with it, and has said so. */
  sendAgain(request: Request): void {
    this.resent++;
    this.again.push(request);
    for (const carrier of this.carriers) carrier.pump();
  }

  /** Another connection takes its place. @param kind why it could not be used at all; then the request that wanted it has failed */
  gone(carrier: Carrier, kind?: "refused" | "reset" | "closed", reason = ""): void {
    if (!this.carriers.delete(carrier)) return;
    const isWanted = (): boolean => !this.idle && this.carriers.size < this.lane.connections;
    if (kind === undefined) {
      if (isWanted()) this.open();
      return;
    }
    const request = this.next();
    if (request !== undefined) this.fail(request, kind, carrier, "", 0, reason);
    setTimeout(() => {
      if (isWanted()) this.open();
    }, RECONNECT_PAUSE);
  }

  /** Bytes that no request asked for. */
  unasked(carrier: Carrier, bytes: Buffer): void {
    this.fail({ number: -1, method: "GET", length: 0, due: 0, sent: performance.now() }, "wrong", carrier, `bytes that nobody asked for: ${JSON.stringify(bytes.latin1Slice(0, 80))}`);
  }

  stop(): void {
    this.stopping = true;
    this.waiting = [];
  }

  /** Nothing is under way, and nothing will be. */
  get idle(): boolean {
    if (!this.stopping || this.again.length > 0) return false;
    for (const { pending } of this.carriers) if (pending > 0) return false;
    return true;
  }

  end(): void {
    for (const carrier of [...this.carriers]) carrier.end();
  }

  report(): LaneReport {
    const { requests, failed, resent, connections } = this;
    return { name: this.lane.name, requests, failed, resent, connections, latency: this.latencies.summary() };
  }
}
