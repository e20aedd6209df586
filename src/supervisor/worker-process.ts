/** One worker as its supervisor sees it: started, told things, heard from, gone. */
import type { Snapshot } from "../config/snapshot.ts";
import type { FromWorker, ToWorker } from "../worker/messages.ts";
import type { ListeningSocket } from "./sockets.ts";

/** How long a worker may take to say that it is ready, or has applied a snapshot, in ms. */
const ANSWER_TIMEOUT = 15_000;
/** Descriptors 0 to 2 are the standard ones. */
const FIRST_DESCRIPTOR = 3;

export interface WorkerStart {
  /** Command that starts Fairlead itself, without arguments. */
  readonly self: readonly string[];
  readonly slot: number;
  readonly scoreboard: string;
  readonly snapshot: Snapshot;
  readonly sockets: readonly ListeningSocket[];
  readonly logFormat: "text" | "json";
  /** Where the worker answers a supervisor that comes after this one. */
  readonly controlSocket: string | undefined;
  /** What it does when its supervisor is gone. */
  readonly alone: "serve" | "end";
}

export class WorkerProcess {
  readonly slot: number;
  readonly pid: number;
  readonly controlSocket: string | undefined;
  /** Resolves when it has ended: an exit code, or a signal's name. */
  readonly ended: Promise<number | string>;
  /** It was told to go. */
  leaving = false;
  private readonly child: Bun.Subprocess<"ignore", "inherit", "inherit">;
  private heard: (message: FromWorker) => void = () => {};

  constructor(start: WorkerStart) {
    this.slot = start.slot;
    this.controlSocket = start.controlSocket;
    const descriptors = Object.fromEntries(start.sockets.map(({ name }, index) => [name, FIRST_DESCRIPTOR + index]));
    this.child = Bun.spawn([...start.self, "__worker", "--log-format", start.logFormat], {
      stdio: ["ignore", "inherit", "inherit", ...start.sockets.map(({ fd }) => fd)],
      serialization: "advanced",
      ipc: (message: FromWorker) => this.heard(message),
    });
    this.pid = this.child.pid;
    this.ended = this.child.exited.then(() => this.child.signalCode ?? this.child.exitCode ?? 0);
    this.send({ type: "start", snapshot: start.snapshot, descriptors, scoreboard: start.scoreboard, slot: start.slot, controlSocket: start.controlSocket, alone: start.alone });
  }

  send(message: ToWorker): void {
    try {
      this.child.send(message);
    } catch {
      // It has just died; `ended` says so.
    }
  }

  /** Its next answer. @throws Error that says what went wrong */
  async answer(): Promise<void> {
    const failed = this.ended.then((how) => `worker ended (${how})`);
    let timer: Timer | undefined;
    const late = new Promise<string>((resolve) => (timer = setTimeout(() => resolve(`no answer within ${ANSWER_TIMEOUT} ms`), ANSWER_TIMEOUT)));
    const answer = new Promise<string | undefined>((resolve) => {
      this.heard = (message) => resolve(message.type === "failed" ? message.reason : undefined);
    });
    const problem = await Promise.race([answer, failed, late]);
    clearTimeout(timer);
    if (problem !== undefined) throw new Error(problem);
  }

  async apply(snapshot: Snapshot): Promise<void> {
    const answer = this.answer();
    this.send({ type: "apply", snapshot });
    await answer;
  }

  /** Stop accepting, end what is open within `timeout` ms, exit. */
  drain(timeout: number): void {
    this.leaving = true;
    this.send({ type: "drain", timeout });
  }

  kill(): void {
    this.leaving = true;
    this.child.kill("SIGKILL");
  }
}
