/** The workers of an instance: as many as wanted, replaced when one dies or hangs, rolled over when their sockets change. */
import { anyPending, type Challenges, NO_CHALLENGES } from "../acme/challenges.ts";
import type { Snapshot } from "../config/snapshot.ts";
import { type FaultOverlay, NO_OVERLAY } from "../faults/faults.ts";
import type { Batch } from "../observability/exchange-witness.ts";
import type { Log, LogFormat, LogLevels } from "../observability/log.ts";
import type { Chronicle } from "../observability/timeline.ts";
import { type Scoreboard, type UsedRows, WORKER_HEARTBEAT } from "../scoreboard/scoreboard.ts";
import type { BreakerChange } from "../upstream/circuit-breaker.ts";
import type { OutlierReport } from "../upstream/outliers.ts";
import { CRASH_WINDOW, CrashLoop } from "./crash-loop.ts";
import { StartError } from "./errors.ts";
import type { RuntimeDirectory } from "./runtime-directory.ts";
import type { ListeningSocket, ListeningSockets } from "./sockets.ts";
import type { QuestionKind, Questions } from "../worker/messages.ts";
import { Unanswered } from "./questions.ts";
import { WorkerEnded, WorkerProcess } from "./worker-process.ts";

/** Between two looks at the workers' heartbeats, in ms. */
const WATCHDOG_INTERVAL = 1_000;
/** A worker whose heart stands still for this many looks is replaced. */
const WATCHDOG_LOOKS = 10;

export interface WorkersOptions {
  readonly self: readonly string[];
  readonly logFormat: LogFormat;
  readonly log: Log;
  readonly chronicle: Chronicle;
  readonly board: Scoreboard;
  /** Rows of the scoreboard that were ever in use. */
  readonly used: () => UsedRows;
  /** A worker has seen a target fail too much. */
  readonly report: (outlier: OutlierReport) => void;
  /** A worker has turned an upstream's circuit. */
  readonly turned: (change: BreakerChange) => void;
  /** Exchanges that are to be kept. */
  readonly keep: (batch: Batch) => void;
  readonly sockets: ListeningSockets;
  readonly directory: RuntimeDirectory;
  readonly alone: "serve" | "end";
  /** In force now. */
  readonly levels: () => LogLevels;
  /** Somebody came or went. */
  readonly changed: () => void;
}

export class Workers {
  private readonly options: WorkersOptions;
  /** Everyone who has not ended, those who leave too. */
  private readonly running = new Set<WorkerProcess>();
  private snapshot: Snapshot | undefined = undefined;
  private challenges: Challenges = NO_CHALLENGES;
  private challengesShown = 0;
  private faults = NO_OVERLAY;
  private faultsInjected = 0;
  private readonly crashes = new CrashLoop();
  private readonly watchdog: Timer;
  private stopping = false;
  /** Workers that died, and were replaced or will be. */
  restarts = 0;
  /** Nobody from before us reads udp sockets any more. */
  private receiving = false;

  constructor(options: WorkersOptions) {
    this.options = options;
    this.watchdog = setInterval(() => this.lookAfter(), WATCHDOG_INTERVAL);
  }

  get all(): WorkerProcess[] {
    return [...this.running];
  }

  /** Those who serve, or will in a moment. */
  private get staying(): WorkerProcess[] {
    return this.all.filter(({ leaving }) => !leaving);
  }

  /** Those who serve now. */
  get serving(): { readonly pid: number; readonly slot: number }[] {
    return this.staying.filter(({ up }) => up).map(({ pid, slot }) => ({ pid, slot }));
  }

  get pids(): number[] {
    return this.staying.map(({ pid }) => pid);
  }

  /** Ask one of them: what is shared by all is the same to each. @throws Unanswered */
  async ask<Kind extends QuestionKind>(kind: Kind, question: Questions[Kind]["question"]): Promise<{ readonly worker: WorkerProcess; readonly answer: Questions[Kind]["answer"] }> {
    const worker = this.staying.find(({ up }) => up);
    if (worker === undefined) throw new Unanswered("no worker serves at the moment");
    return { worker, answer: await worker.ask(kind, question) };
  }

  /** @throws StartError when one does not come up */
  async start(snapshot: Snapshot): Promise<void> {
    this.snapshot = snapshot;
    await Promise.all(Array.from({ length: snapshot.workers }, (_, seat) => this.spawn(snapshot, this.options.sockets.all, seat)));
  }

  /** Read the udp sockets from now on: who read them before has been told to go. */
  receive(): void {
    this.receiving = true;
    for (const worker of this.staying) worker.receive();
  }

  /** Resolves when the new worker serves. @param seat whose udp sockets it will read @throws StartError when it does not */
  private async spawn(snapshot: Snapshot, sockets: readonly ListeningSocket[], seat: number): Promise<WorkerProcess> {
    const { self, logFormat, log, board, directory, alone, report, turned, keep, levels } = this.options;
    if (this.stopping) throw new StartError("stopping");
    const slot = this.freeSlot();
    const worker = new WorkerProcess({ self, slot, seat, scoreboard: board.file!.descriptor, snapshot, sockets, logFormat, log, controlSocket: directory.controlSocket(slot), alone, report, turned, keep, levels: levels(), faults: this.faults });
    this.running.add(worker);
    void worker.ended.then((how) => this.gone(worker, how));
    try {
      await worker.ready;
      if (anyPending(this.challenges)) await worker.show(this.challenges, this.challengesShown);
    } catch (error) {
      worker.kill();
      throw new StartError(`worker does not start: ${error instanceof Error ? error.message : String(error)}`);
    }
    return worker;
  }

  setLevels(levels: LogLevels): void {
    for (const worker of this.running) worker.setLevels(levels);
  }

  reopenLogs(): void {
    for (const worker of this.running) worker.reopenLogs();
  }

  private freeSlot(): number {
    const taken = new Set(this.all.map(({ slot }) => slot));
    const { workers } = this.options.board.size;
    for (let slot = 0; slot < workers; slot++) if (!taken.has(slot)) return slot;
    throw new StartError(`there is room for ${workers} workers, counting those that still drain; wait for them, or upgrade in place (SIGUSR2), which makes room anew`);
  }

  /** Of those who stay nobody has it. */
  private freeSeat(): number {
    const taken = new Set(this.staying.map(({ seat }) => seat));
    let seat = 0;
    while (taken.has(seat)) seat++;
    return seat;
  }

  private gone(worker: WorkerProcess, how: number | string): void {
    const { log, board, changed, used, chronicle } = this.options;
    this.running.delete(worker);
    board.reclaim(worker.slot, used());
    changed();
    // Of one that never came up, whoever waits for it hears.
    if (this.stopping || worker.leaving || !worker.up) return;
    this.restarts++;
    log.error({ worker: worker.pid, how }, "Worker died; replacing it");
    const hung = worker.hung === 0 ? {} : { cause: worker.hung };
    this.replaceSoon(chronicle.record({ kind: "worker-died", summary: `Worker ${worker.pid} died (${how})`, by: `worker:${worker.pid}`, ...hung }));
  }

  /** At once, or after a pause in a crash loop. @param event that one is missing */
  private replaceSoon(event: number): void {
    const pause = this.crashes.died(performance.now());
    if (pause === 0) return void this.replace(event);
    this.options.log.error({ deaths: this.crashes.recent, window: CRASH_WINDOW, pause }, `Workers keep dying; the next one starts in ${pause} ms`);
    setTimeout(() => void this.replace(event), pause);
  }

  /** @param event that led to it, if one is known to be missing */
  private async replace(event = 0): Promise<void> {
    const { log, sockets, changed, chronicle } = this.options;
    const { snapshot } = this;
    if (this.stopping || snapshot === undefined || this.staying.length >= snapshot.workers) return;
    const began = performance.now();
    try {
      const worker = await this.spawn(snapshot, sockets.all, this.freeSeat());
      if (this.receiving) worker.receive();
      changed();
      const milliseconds = Math.round(performance.now() - began);
      log.info({ worker: worker.pid, milliseconds }, "Worker replaced");
      chronicle.record({ kind: "worker-replaced", summary: `Worker ${worker.pid} serves in its place, after ${milliseconds} ms`, by: "supervisor", cause: event });
      // Should more than one be missing.
      void this.replace();
    } catch (error) {
      if (this.stopping) return;
      log.error({ reason: error instanceof Error ? error.message : String(error) }, "The new worker does not start");
      this.replaceSoon(event);
    }
  }

  /** A worker whose event loop hangs, in a policy's endless loop say, serves nobody and does not die by itself. */
  private lookAfter(): void {
    const { board, log, chronicle } = this.options;
    for (const worker of this.running) {
      const heartbeat = board.workerWord(worker.slot, WORKER_HEARTBEAT);
      worker.silence = !worker.up || heartbeat !== worker.heartbeat ? 0 : worker.silence + 1;
      worker.heartbeat = heartbeat;
      if (worker.silence < WATCHDOG_LOOKS) continue;
      log.error({ worker: worker.pid, seconds: (WATCHDOG_LOOKS * WATCHDOG_INTERVAL) / 1000 }, "Worker hangs; killing it");
      worker.hung = chronicle.record({ kind: "worker-hung", summary: `Worker ${worker.pid} stood still for ${(WATCHDOG_LOOKS * WATCHDOG_INTERVAL) / 1000} s: it is killed`, by: "supervisor" });
      worker.putDown();
    }
  }

  /** In place, on all of them. @throws when one refuses; then all run `before` again */
  async apply(snapshot: Snapshot, before: Snapshot): Promise<void> {
    const { staying } = this;
    this.snapshot = snapshot;
    const results = await Promise.allSettled(staying.map((worker) => worker.apply(snapshot)));
    // One that died meanwhile refused nothing; its replacement starts with the new snapshot.
    const refused = results.find((result) => result.status === "rejected" && !(result.reason instanceof WorkerEnded)) as PromiseRejectedResult | undefined;
    if (refused === undefined) {
      // The new configuration may be the cure of a crash loop: it is not kept waiting by the pause.
      void this.replace();
      return;
    }
    this.snapshot = before;
    await Promise.allSettled(staying.map((worker) => worker.apply(before)));
    throw refused.reason;
  }

  /** All of them, and those who come later; resolves when all do. */
  async show(challenges: Challenges): Promise<void> {
    this.challenges = challenges;
    this.challengesShown++;
    // One that dies meanwhile shows nothing to anybody; its replacement shows what there is then.
    await Promise.allSettled(this.staying.map((worker) => worker.show(challenges, this.challengesShown)));
  }

  /** New workers for these sockets; when all of them serve, the old ones drain. @throws when one does not come up; then only the old ones are left */
  async roll(snapshot: Snapshot, sockets: readonly ListeningSocket[], serving: () => void): Promise<void> {
    const fresh = new Set<WorkerProcess>();
    try {
      // One after another: starting is work, and the old ones need the cores.
      while (fresh.size < snapshot.workers) fresh.add(await this.spawn(snapshot, sockets, fresh.size));
    } catch (error) {
      for (const worker of fresh) worker.kill();
      throw error;
    }
    this.snapshot = snapshot;
    serving();
    for (const worker of this.staying) if (!fresh.has(worker)) worker.drain(snapshot.drainTimeout);
    for (const worker of fresh) worker.receive();
    // Should one have died in the meantime.
    await this.replace();
  }

  /** All of them, and those who come later; resolves when all do. */
  async inject(faults: FaultOverlay): Promise<void> {
    this.faults = faults;
    const sequence = ++this.faultsInjected;
    await Promise.allSettled(this.staying.map((worker) => worker.inject(faults, sequence)));
  }

  /** All let their exchanges end; resolves when all have gone. */
  async drain(timeout: number): Promise<void> {
    this.stopping = true;
    clearInterval(this.watchdog);
    for (const worker of this.running) worker.drain(timeout);
    await Promise.all(this.all.map(({ ended }) => ended));
  }

  kill(): void {
    this.stopping = true;
    clearInterval(this.watchdog);
    for (const worker of this.running) worker.kill();
  }
}

/** As many workers, the same user's, and listeners of the same names, addresses and protocols: they serve on as they are. */
export function canApplyInPlace(snapshot: Snapshot, before: Snapshot): boolean {
  const shape = ({ workers, user, listeners }: Snapshot): string => JSON.stringify([workers, user?.uid, user?.gid, listeners.map(({ name, address, protocol, tls, proxyProtocol }) => [name, address, protocol, tls !== undefined && proxyProtocol !== undefined])]);
  return shape(snapshot) === shape(before);
}
