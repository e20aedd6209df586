/** The workers of an instance: as many as wanted, replaced when one dies, rolled over when their sockets change. */
import type { Snapshot } from "../config/snapshot.ts";
import type { Log, LogFormat } from "../observability/log.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";
import { StartError } from "./errors.ts";
import type { RuntimeDirectory } from "./runtime-directory.ts";
import type { ListeningSocket, ListeningSockets } from "./sockets.ts";
import { WorkerProcess } from "./worker-process.ts";

/** More deaths than this within the window are a crash loop. */
const CRASH_DEATHS = 5;
const CRASH_WINDOW = 10_000;
const FIRST_BACKOFF = 200;
const LAST_BACKOFF = 10_000;

export interface WorkersOptions {
  readonly self: readonly string[];
  readonly logFormat: LogFormat;
  readonly log: Log;
  readonly board: Scoreboard;
  readonly sockets: ListeningSockets;
  readonly directory: RuntimeDirectory;
  readonly alone: "serve" | "end";
  /** Somebody came or went. */
  readonly changed: () => void;
}

export class Workers {
  private readonly options: WorkersOptions;
  /** Everyone who has not ended, those who leave too. */
  private readonly running = new Set<WorkerProcess>();
  private snapshot: Snapshot | undefined = undefined;
  private readonly deaths: number[] = [];
  private backoff = 0;
  private stopping = false;

  constructor(options: WorkersOptions) {
    this.options = options;
  }

  get all(): WorkerProcess[] {
    return [...this.running];
  }

  /** Those who serve. */
  private get serving(): WorkerProcess[] {
    return this.all.filter(({ leaving }) => !leaving);
  }

  get pids(): number[] {
    return this.serving.map(({ pid }) => pid);
  }

  /** @throws StartError when one does not come up */
  async start(snapshot: Snapshot): Promise<void> {
    this.snapshot = snapshot;
    const started = Array.from({ length: snapshot.workers }, () => this.spawn(snapshot, this.options.sockets.all));
    await Promise.all(started.map(({ ready }) => ready));
  }

  private spawn(snapshot: Snapshot, sockets: readonly ListeningSocket[]): { readonly worker: WorkerProcess; readonly ready: Promise<void> } {
    const { self, logFormat, board, directory, alone } = this.options;
    const slot = this.freeSlot();
    const worker = new WorkerProcess({ self, slot, scoreboard: board.path!, snapshot, sockets, logFormat, controlSocket: directory.controlSocket(slot), alone });
    this.running.add(worker);
    void worker.ended.then((how) => this.gone(worker, how));
    const ready = worker.answer().catch((error: unknown) => {
      worker.kill();
      throw new StartError(`worker does not start: ${error instanceof Error ? error.message : String(error)}`);
    });
    return { worker, ready };
  }

  private freeSlot(): number {
    const taken = new Set(this.all.map(({ slot }) => slot));
    for (let slot = 0; slot < this.options.board.size.workers; slot++) if (!taken.has(slot)) return slot;
    // Reloads in quick succession while old workers still drain: the oldest has had its time.
    throw new StartError("too many workers are still draining; try again when they are gone");
  }

  private gone(worker: WorkerProcess, how: number | string): void {
    const { log, board } = this.options;
    this.running.delete(worker);
    board.reclaim(worker.slot);
    this.options.changed();
    if (this.stopping || worker.leaving) return;
    log.error({ worker: worker.pid, how }, "Worker died; replacing it");
    const now = performance.now();
    this.deaths.push(now);
    while (this.deaths[0]! < now - CRASH_WINDOW) this.deaths.shift();
    if (this.deaths.length <= CRASH_DEATHS) {
      this.backoff = 0;
      this.replace();
      return;
    }
    this.backoff = Math.min(LAST_BACKOFF, Math.max(FIRST_BACKOFF, this.backoff * 2));
    log.error({ deaths: this.deaths.length, window: CRASH_WINDOW, backoff: this.backoff }, `Workers keep dying; the next one starts in ${this.backoff} ms`);
    setTimeout(() => this.replace(), this.backoff);
  }

  private replace(): void {
    if (this.stopping || this.snapshot === undefined || this.serving.length >= this.snapshot.workers) return;
    const began = performance.now();
    const { worker, ready } = this.spawn(this.snapshot, this.options.sockets.all);
    ready.then(
      () => {
        this.options.changed();
        this.options.log.info({ worker: worker.pid, milliseconds: Math.round(performance.now() - began) }, "Worker replaced");
      },
      (error: unknown) => {
        this.options.log.error({ worker: worker.pid, reason: String(error) }, "The new worker does not start");
        // kill() marked it as leaving, so gone() will not count it.
        this.deaths.push(performance.now());
        setTimeout(() => this.replace(), Math.max(FIRST_BACKOFF, (this.backoff = Math.min(LAST_BACKOFF, Math.max(FIRST_BACKOFF, this.backoff * 2)))));
      },
    );
  }

  /** In place, on all of them. @throws when one refuses; then all run `before` again */
  async apply(snapshot: Snapshot, before: Snapshot): Promise<void> {
    const { serving } = this;
    this.snapshot = snapshot;
    const results = await Promise.allSettled(serving.map((worker) => worker.apply(snapshot)));
    const refused = results.find((result) => result.status === "rejected");
    if (refused === undefined) return;
    this.snapshot = before;
    await Promise.allSettled(serving.map((worker) => worker.apply(before)));
    throw refused.reason;
  }

  /** New workers for these sockets, one after another, each ready before an old one drains. @throws when one does not come up; then the old ones stay */
  async roll(snapshot: Snapshot, sockets: readonly ListeningSocket[]): Promise<void> {
    const old = this.serving;
    const before = this.snapshot;
    this.snapshot = snapshot;
    for (let index = 0; index < Math.max(snapshot.workers, old.length); index++) {
      if (index < snapshot.workers) {
        try {
          await this.spawn(snapshot, sockets).ready;
        } catch (error) {
          if (index > 0) throw error;
          this.snapshot = before;
          throw error;
        }
      }
      old[index]?.drain(snapshot.drainTimeout);
    }
  }

  /** All let their exchanges end; resolves when all have gone. */
  async drain(timeout: number): Promise<void> {
    this.stopping = true;
    for (const worker of this.running) worker.drain(timeout);
    // A worker that hangs does not keep us for ever.
    const late = setTimeout(() => this.kill(), timeout + 2_000);
    await Promise.all(this.all.map(({ ended }) => ended));
    clearTimeout(late);
  }

  kill(): void {
    this.stopping = true;
    for (const worker of this.running) worker.kill();
  }
}
