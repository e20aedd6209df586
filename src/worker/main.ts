/** A worker process: runs the data plane, does what its supervisor says, and goes on serving when the supervisor is gone. */
import { accessSync, constants } from "node:fs";
import { NO_CHALLENGES } from "../acme/challenges.ts";
import type { Snapshot, UserConfig } from "../config/snapshot.ts";
import { bunNetwork } from "../net/bun.ts";
import { become, ROOT } from "../net/identity.ts";
import { libc } from "../net/libc.ts";
import { openFilesLimit } from "../net/open-files.ts";
import { STANDARD } from "../observability/line-file.ts";
import { type LogFormat, ServiceLog } from "../observability/log.ts";
import { Scoreboard, WORKER_HEARTBEAT, WORKER_PID } from "../scoreboard/scoreboard.ts";
import type { NotExplained } from "../admin/explained.ts";
import { answerControl } from "./control.ts";
import { DataPlane } from "./data-plane.ts";
import { Unexplainable } from "./explain/request.ts";
import { LimitedErrors } from "./limited-errors.ts";
import type { FromWorker, Question, QuestionKind, Questions, ToWorker } from "./messages.ts";

/** What is wrong with the request is an answer too. */
function problemOf(error: unknown): NotExplained {
  if (error instanceof Unexplainable) return { problem: error.message };
  throw error;
}

/** Of files that are opened anew again and again, it is said at once. @throws Error that says which it cannot */
function mayWriteLogs({ log, accessLog }: Snapshot, { name }: UserConfig): void {
  for (const path of [log.path, accessLog?.path]) {
    if (path === undefined || STANDARD.has(path)) continue;
    try {
      accessSync(path, constants.W_OK);
    } catch {
      throw new Error(`user "${name}" cannot write the log ${path}: let it enter the directory, or name a file elsewhere`);
    }
  }
}

/** A SIGTERM from a person, when no supervisor is left to say how long. */
const ORPHAN_DRAIN = 30_000;
/** Between two beats, in ms. */
const HEARTBEAT_INTERVAL = 1_000;
/** Descriptors 0 to 2 are the standard ones. */
const FIRST_DESCRIPTOR = 3;

export function runWorker(logFormat: LogFormat): void {
  const logs = new ServiceLog(logFormat);
  const log = logs.of("workers");
  let plane: DataPlane | undefined;
  let drainTimeout = ORPHAN_DRAIN;
  let leaving = false;
  /** Inherited descriptors that nothing is served on: other workers' udp sockets, and ours until we are told to read them. */
  const spare = new Set<number>();
  let datagrams: readonly (readonly [listener: string, fd: number])[] = [];
  let alone: "serve" | "end" = "end";
  /** Snapshots are applied in the order in which they came, though a policy may take its time to load. */
  let order: Promise<void> = Promise.resolve();

  const say = (message: FromWorker): void => {
    if (process.connected) process.send!(message);
  };

  const leave = async (timeout: number): Promise<void> => {
    if (leaving) return;
    leaving = true;
    // One that nobody reads, open here still, would go on taking its part of the clients.
    for (const fd of spare) libc().close(fd);
    await plane?.drain(timeout);
    process.exit(0);
  };

  const apply = async (to: DataPlane, snapshot: Snapshot): Promise<void> => {
    if (snapshot.user !== undefined) mayWriteLogs(snapshot, snapshot.user);
    await to.apply(snapshot);
    logs.moveTo(snapshot.log.path);
    ({ drainTimeout } = snapshot);
  };

  const start = async (message: ToWorker & { type: "start" }): Promise<void> => {
    const { slot, descriptors, inherited, generation } = message;
    ({ alone } = message);
    logs.set(message.levels);
    const scoreboard = Scoreboard.open(message.scoreboard);
    scoreboard.setWorkerWord(slot, WORKER_PID, process.pid);
    const snapshot = JSON.parse(message.snapshot) as Snapshot;
    // In the order in which they were given.
    const inOrder = Array.from({ length: inherited }, (_, index) => FIRST_DESCRIPTOR + index);
    try {
      answerControl(message.controlSocket, inOrder, () => leave(drainTimeout));
    } catch (error) {
      // Clients come first: only a takeover is not possible then.
      log.warn({ socket: message.controlSocket, reason: (error as Error).message }, "Control socket cannot be opened");
    }
    // From here on nothing is root's, and no byte of a client has come yet.
    if (snapshot.user !== undefined && process.getuid?.() === ROOT) become(snapshot.user);
    setInterval(() => scoreboard.setWorkerWord(slot, WORKER_HEARTBEAT, scoreboard.workerWord(slot, WORKER_HEARTBEAT) + 1), HEARTBEAT_INTERVAL);
    plane = new DataPlane({ network: bunNetwork(), scoreboard, slot, logs, jsonAccessLog: logFormat === "json", openFiles: openFilesLimit(), report: (outlier) => say({ type: "outlier", outlier }), turned: (change) => say({ type: "circuit", change }), keep: (batch) => say({ type: "exchanges", batch }) });
    plane.injectFaults(message.faults);
    await apply(plane, snapshot);
    const isDatagram = (name: string): boolean => snapshot.listeners.some((listener) => listener.name === name && listener.protocol === "udp");
    const streams = Object.entries(descriptors).filter(([name]) => !isDatagram(name));
    for (const [name, fd] of streams) plane.open(name, fd);
    datagrams = Object.entries(descriptors).filter(([name]) => isDatagram(name));
    for (const fd of inOrder) if (!streams.some(([, other]) => other === fd)) spare.add(fd);
    say({ type: "ready", generation });
  };

  const receive = (): void => {
    if (leaving) return;
    for (const [name, fd] of datagrams) {
      spare.delete(fd);
      plane!.open(name, fd);
    }
    datagrams = [];
  };

  const answer = async (sequence: number, { kind, question }: Question): Promise<void> => {
    try {
      if (plane === undefined) throw new Error("this worker has not started yet");
      const answers: { readonly [Kind in QuestionKind]: (question: Questions[Kind]["question"]) => Promise<Questions[Kind]["answer"]> | Questions[Kind]["answer"] } = {
        explain: (request) => plane!.explain(request).catch(problemOf),
      };
      say({ type: "answer", generation: sequence, answer: await answers[kind](question) });
    } catch (error) {
      say({ type: "unanswered", generation: sequence, reason: error instanceof Error ? error.message : String(error) });
    }
  };

  const hear = async (message: ToWorker & { type: "start" | "apply" | "receive" }): Promise<void> => {
    if (message.type === "receive") {
      receive();
      return;
    }
    try {
      if (message.type === "start") await start(message);
      else {
        await apply(plane!, JSON.parse(message.snapshot) as Snapshot);
        say({ type: "applied", generation: message.generation });
      }
    } catch (error) {
      say({ type: "failed", generation: message.generation, reason: error instanceof Error ? error.message : String(error) });
      // A worker that never came up is of no use; one that keeps its old snapshot is.
      if (message.type === "start") process.exit(1);
    }
  };

  process.on("message", (message: ToWorker) => {
    if (message.type === "drain") void leave(message.timeout);
    else if (message.type === "ask") void answer(message.sequence, message.question);
    else if (message.type === "taken") plane?.exchangesTaken();
    else if (message.type === "levels") logs.set(message.levels);
    else if (message.type === "reopen") {
      logs.reopen();
      plane?.reopenLogs();
    } else if (message.type === "faults") {
      const { faults, sequence } = message;
      order = order.then(() => {
        plane?.injectFaults(faults);
        say({ type: "injected", generation: sequence });
      });
    } else if (message.type === "challenges") {
      const { challenges, sequence } = message;
      order = order.then(() => {
        plane?.show(challenges);
        say({ type: "shown", generation: sequence });
      });
    }
    else order = order.then(() => hear(message));
  });
  // The supervisor died: what we have is enough to serve, until another one takes over.
  process.on("disconnect", () => {
    if (alone === "end") process.exit(0);
    // Nobody is left who would take them back.
    plane?.show(NO_CHALLENGES);
    if (!leaving) log.warn({ pid: process.pid }, "Supervisor is gone; serving on without it");
  });
  // What a policy leaves unhandled, in a timer or a promise of its own, ends no connection of anybody's.
  const unhandled = new LimitedErrors(logs.of("policy"));
  process.on("uncaughtException", (error) => unhandled.say(error));
  process.on("unhandledRejection", (reason) => unhandled.say(reason));
  // Ctrl-C and Ctrl-\ reach the whole process group; the supervisor decides what they mean.
  process.on("SIGINT", () => {});
  process.on("SIGQUIT", () => {});
  process.on("SIGHUP", () => {});
  process.on("SIGUSR1", () => {});
  process.on("SIGUSR2", () => {});
  // However it ends, but for SIGKILL: what is gathered goes out.
  process.on("exit", () => plane?.flushLogs());
  // Service managers tell all processes at once: the supervisor's word may come before the signal, and is no reason to hurry.
  let told = false;
  process.on("SIGTERM", () => {
    if (!told) {
      told = true;
      return void leave(drainTimeout);
    }
    plane?.stop();
    process.exit(0);
  });
}
