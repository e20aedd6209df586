/**
 * Who is at an admin address of TCP. Bun's server does not say when somebody connects, and lets who says nothing stay for 12 s: thousands of them would take
 * every descriptor of the supervisor, which could start no worker then. So when descriptors run low connections are ended that have no call under way.
 */
import { hangUp } from "../net/hang-up.ts";
import { filesLeft } from "../net/open-files.ts";
import type { Log } from "../observability/log.ts";

/** When connections are ended, those of so many calls stay, the last ones: what is asked here takes milliseconds, and a body that never ends takes for ever. */
const MOST_SPARED = 256;
/** So many descriptors are to be free for workers, checks and the rest: at most this, … */
const MOST_FREE = 1_024;
/** … and this part of all. */
const PART_FREE = 0.25;
/** Between two looks, in ms; a longer one when there was nobody to blame. */
const LOOK_EVERY = 50;
const IN_VAIN = 5_000;
const COMPLAIN_EVERY = 10_000;

export class Crowd {
  private readonly port: number;
  private readonly limit: number;
  private readonly log: Log;
  /** Ports of clients with a call under way, the last one at the end. */
  private readonly calls = new Set<number>();
  /** Of those whose answers have no end; stream.ts says how many there may be. */
  private readonly streams = new Set<number>();
  private readonly timer: Timer;
  private nextLook = 0;
  private nextComplaint = 0;
  private ended = 0;

  /** @param limit of files that this process may open */
  constructor(port: number, limit: number, log: Log) {
    this.port = port;
    this.limit = limit;
    this.log = log;
    this.timer = setInterval(() => this.look(), LOOK_EVERY);
    this.timer.unref();
  }

  begins(port: number): void {
    this.calls.delete(port);
    this.calls.add(port);
  }

  /** @param until the answer's end, where that comes later than the call's; undefined: it has come */
  ends(port: number, until: AbortSignal | undefined): void {
    this.calls.delete(port);
    if (until === undefined || until.aborted) return;
    this.streams.add(port);
    until.addEventListener("abort", () => this.streams.delete(port));
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    const now = performance.now();
    if (now < this.nextLook || filesLeft(this.limit) >= Math.min(MOST_FREE, this.limit * PART_FREE)) return;
    const ended = hangUp(this.port, this.limit, new Set([...this.streams, ...[...this.calls].slice(-MOST_SPARED)]));
    this.ended += ended;
    if (ended === 0) this.nextLook = now + IN_VAIN;
    if (this.ended === 0 || now < this.nextComplaint) return;
    this.nextComplaint = now + COMPLAIN_EVERY;
    this.log.warn({ connections: this.ended }, "Open files run low: connections to the admin address without a call are ended");
    this.ended = 0;
  }
}
