/** One worker as its supervisor sees it: started, told things, heard from, gone. */
import type { Challenges } from "../acme/challenges.ts";
import type { Snapshot } from "../config/snapshot.ts";
import type { FaultOverlay } from "../faults/faults.ts";
import type { Log, LogLevels } from "../observability/log.ts";
import type { Batch } from "../observability/exchange-witness.ts";
import type { BreakerChange } from "../upstream/circuit-breaker.ts";
import type { OutlierReport } from "../upstream/outliers.ts";
import type { EncodedSnapshot, FromWorker, QuestionKind, Questions as Kinds, ToWorker } from "../worker/messages.ts";
import { Hearing } from "./hearing.ts";
import { Questions } from "./questions.ts";
import type { ListeningSocket } from "./sockets.ts";

/** How long a worker may take to say that it is ready, or has applied a snapshot, in ms. */
const ANSWER_TIMEOUT = 15_000;
/** What a worker may take longer than its drain timeout before it is killed, in ms. */
const DRAIN_GRACE = 2_000;
/** Descriptors 0 to 2 are the standard ones. */
const FIRST_DESCRIPTOR = 3;

export interface WorkerStart {
  /** Command that starts Fairlead itself, without arguments. */
  readonly self: readonly string[];
  readonly slot: number;
  /** Of the udp sockets it reads those with this number. */
  readonly seat: number;
  /** Descriptor of its file. */
  readonly scoreboard: number;
  readonly snapshot: Snapshot;
  readonly sockets: readonly ListeningSocket[];
  readonly logFormat: "text" | "json";
  /** Where the worker answers a supervisor that comes after this one. */
  readonly controlSocket: string;
  /** What it does when its supervisor is gone. */
  readonly alone: "serve" | "end";
  readonly log: Log;
  readonly levels: LogLevels;
  readonly faults: FaultOverlay;
  /** It has seen a target fail too much. */
  readonly report: (outlier: OutlierReport) => void;
  /** It has turned an upstream's circuit. */
  readonly turned: (change: BreakerChange) => void;
  /** Exchanges of its that are to be kept. */
  readonly keep: (batch: Batch) => void;
}

/** An answer that did not come because the worker has ended. */
export class WorkerEnded extends Error {}

/** An answer that is waited for. */
interface Waiting {
  readonly type: "ready" | "applied" | "shown" | "injected";
  readonly generation: number;
  /** Without an error it is as wished. */
  readonly settle: (error?: Error) => void;
}

/** Snapshots are immutable: each is encoded once, however many workers get it. */
const encodings = new WeakMap<Snapshot, EncodedSnapshot>();

function encode(snapshot: Snapshot): EncodedSnapshot {
  let encoded = encodings.get(snapshot);
  if (encoded === undefined) encodings.set(snapshot, (encoded = JSON.stringify(snapshot)));
  return encoded;
}

export class WorkerProcess {
  readonly slot: number;
  readonly seat: number;
  readonly pid: number;
  readonly controlSocket: string;
  /** Resolves when it serves. @throws Error that says why it does not */
  readonly ready: Promise<void>;
  /** Resolves when it has ended: an exit code, or a signal's name. */
  readonly ended: Promise<number | string>;
  /** It serves. */
  up = false;
  /** It was told to go. */
  leaving = false;
  /** For the watchdog: its heartbeat as last seen, and for how many looks it has stood still. */
  heartbeat = 0;
  silence = 0;
  /** The event of the timeline that it hangs; 0: it does not. */
  hung = 0;
  private readonly child: Bun.Subprocess<"ignore", "inherit", "inherit">;
  private readonly waiting = new Set<Waiting>();
  private readonly questions = new Questions((sequence, question) => this.send({ type: "ask", sequence, question }));
  private late: Timer | undefined = undefined;

  constructor(start: WorkerStart) {
    const { slot, snapshot, controlSocket } = start;
    this.slot = slot;
    this.seat = start.seat;
    this.controlSocket = controlSocket;
    const served = start.sockets.flatMap(({ name, seat }, index) => (seat === undefined || seat === start.seat ? [[name, FIRST_DESCRIPTOR + index] as const] : []));
    const hearing = new Hearing(slot, start.log);
    this.child = Bun.spawn([...start.self, "__worker", "--log-format", start.logFormat], {
      stdio: ["ignore", "inherit", "inherit", ...start.sockets.map(({ fd }) => fd), start.scoreboard],
      // As it is now: without this it would be as it was when this process began.
      env: process.env,
      serialization: "advanced",
      ipc: (said: unknown) => {
        const message = hearing.read(said);
        if (message === undefined) return;
        if (message.type === "outlier") start.report(message.outlier);
        else if (message.type === "circuit") start.turned(message.change);
        else if (message.type === "answer") this.questions.answered(message.generation, message.answer);
        else if (message.type === "unanswered") this.questions.unanswered(message.generation, message.reason);
        else if (message.type === "exchanges") {
          start.keep(message.batch);
          this.send({ type: "taken" });
        }
        else this.hear(message);
      },
    });
    this.pid = this.child.pid;
    this.ended = this.child.exited.then(() => this.child.signalCode ?? this.child.exitCode ?? 0);
    void this.ended.then((how) => {
      clearTimeout(this.late);
      for (const { settle } of this.waiting) settle(new WorkerEnded(`worker ended (${how})`));
      this.questions.end(`worker ended (${how})`);
    });
    this.ready = this.answer("ready", snapshot.generation).then(() => void (this.up = true));
    this.send({ type: "start", generation: snapshot.generation, snapshot: encode(snapshot), descriptors: Object.fromEntries(served), inherited: start.sockets.length, scoreboard: FIRST_DESCRIPTOR + start.sockets.length, slot, controlSocket, alone: start.alone, levels: start.levels, faults: start.faults });
  }

  private send(message: ToWorker): void {
    try {
      this.child.send(message);
    } catch {
      // It has just died; `ended` says so.
    }
  }

  private hear(message: Exclude<FromWorker, { type: "outlier" | "circuit" | "exchanges" | "answer" | "unanswered" }>): void {
    for (const { type, generation, settle } of this.waiting) {
      // Challenges and faults are numbered on their own, and nobody refuses them.
      if (generation !== message.generation || (message.type === "failed" ? type === "shown" || type === "injected" : message.type !== type)) continue;
      settle(message.type === "failed" ? new Error(message.reason) : undefined);
      return;
    }
  }

  private answer(type: Waiting["type"], generation: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        // It would stand in the way of everything that comes after: whoever watches over workers replaces it.
        this.child.kill("SIGKILL");
        waiting.settle(new Error(`worker gave no answer within ${ANSWER_TIMEOUT} ms`));
      }, ANSWER_TIMEOUT);
      const waiting: Waiting = {
        type,
        generation,
        settle: (error) => {
          this.waiting.delete(waiting);
          clearTimeout(timer);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.waiting.add(waiting);
    });
  }

  /** @throws WorkerEnded, or an Error that says why it refuses */
  async apply(snapshot: Snapshot): Promise<void> {
    const answer = this.answer("applied", snapshot.generation);
    this.send({ type: "apply", generation: snapshot.generation, snapshot: encode(snapshot) });
    await answer;
  }

  /** @throws WorkerEnded */
  async show(challenges: Challenges, sequence: number): Promise<void> {
    const answer = this.answer("shown", sequence);
    this.send({ type: "challenges", sequence, challenges });
    await answer;
  }

  /** @throws WorkerEnded */
  async inject(faults: FaultOverlay, sequence: number): Promise<void> {
    const answer = this.answer("injected", sequence);
    this.send({ type: "faults", sequence, faults });
    await answer;
  }

  /** Log this much from now on. */
  setLevels(levels: LogLevels): void {
    this.send({ type: "levels", levels });
  }

  /** The files of the logs have other names now. */
  reopenLogs(): void {
    this.send({ type: "reopen" });
  }

  /** What does it say to that, as things are with it now? @throws Unanswered */
  ask<Kind extends QuestionKind>(kind: Kind, question: Kinds[Kind]["question"]): Promise<Kinds[Kind]["answer"]> {
    return this.questions.ask(kind, question);
  }

  /** Nobody else reads the udp sockets of its seat any more: it does from now on. */
  receive(): void {
    this.send({ type: "receive" });
  }

  /** Stop accepting, end what is open within `timeout` ms, exit; one that hangs is killed soon after. */
  drain(timeout: number): void {
    this.leaving = true;
    this.send({ type: "drain", timeout });
    this.late ??= setTimeout(() => this.kill(), timeout + DRAIN_GRACE);
  }

  kill(): void {
    this.leaving = true;
    this.child.kill("SIGKILL");
  }

  /** It hangs: end it as if it had died by itself, so that it is replaced. */
  putDown(): void {
    this.child.kill("SIGKILL");
  }
}
