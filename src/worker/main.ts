/** A worker process: runs the data plane, does what its supervisor says, and goes on serving when the supervisor is gone. */
import { openSync } from "node:fs";
import type { Snapshot } from "../config/snapshot.ts";
import { bunNetwork } from "../net/bun.ts";
import { tryLock } from "../net/file-lock.ts";
import { openFilesLimit } from "../net/open-files.ts";
import { createLog, type LogFormat } from "../observability/log.ts";
import { Scoreboard, WORKER_HEARTBEAT, WORKER_PID } from "../scoreboard/scoreboard.ts";
import { answerControl } from "./control.ts";
import { DataPlane } from "./data-plane.ts";
import { LimitedErrors } from "./limited-errors.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

/** A SIGTERM from a person, when no supervisor is left to say how long. */
const ORPHAN_DRAIN = 30_000;
/** Between two beats, in ms. */
const HEARTBEAT_INTERVAL = 1_000;

export function runWorker(logFormat: LogFormat): void {
  const log = createLog(logFormat, "info");
  let plane: DataPlane | undefined;
  let drainTimeout = ORPHAN_DRAIN;
  let leaving = false;
  let alone: "serve" | "end" = "end";
  /** Snapshots are applied in the order in which they came, though a policy may take its time to load. */
  let order: Promise<void> = Promise.resolve();

  const say = (message: FromWorker): void => {
    if (process.connected) process.send!(message);
  };

  const leave = async (timeout: number): Promise<void> => {
    if (leaving) return;
    leaving = true;
    await plane?.drain(timeout);
    process.exit(0);
  };

  const apply = async (to: DataPlane, snapshot: Snapshot): Promise<void> => {
    await to.apply(snapshot);
    log.level = snapshot.log.level;
    ({ drainTimeout } = snapshot);
  };

  const start = async (message: ToWorker & { type: "start" }): Promise<void> => {
    const { slot, descriptors, generation } = message;
    ({ alone } = message);
    const scoreboard = Scoreboard.open(message.scoreboard);
    // Held until we end: whoever sweeps up after dead processes leaves the file alone.
    tryLock(openSync(message.scoreboard, "r"), "shared");
    scoreboard.setWorkerWord(slot, WORKER_PID, process.pid);
    setInterval(() => scoreboard.setWorkerWord(slot, WORKER_HEARTBEAT, scoreboard.workerWord(slot, WORKER_HEARTBEAT) + 1), HEARTBEAT_INTERVAL);
    plane = new DataPlane({ network: bunNetwork(), scoreboard, slot, log, jsonAccessLog: logFormat === "json", openFiles: openFilesLimit(), report: (outlier) => say({ type: "outlier", outlier }) });
    await apply(plane, JSON.parse(message.snapshot) as Snapshot);
    for (const [name, fd] of Object.entries(descriptors)) plane.open(name, fd);
    // In the order in which they were given; names that are numbers would come sorted.
    const inOrder = Object.values(descriptors).toSorted((a, b) => a - b);
    try {
      answerControl(message.controlSocket, inOrder, () => leave(drainTimeout));
    } catch (error) {
      // Clients come first: only a takeover is not possible then.
      log.warn({ socket: message.controlSocket, reason: (error as Error).message }, "Control socket cannot be opened");
    }
    say({ type: "ready", generation });
  };

  const hear = async (message: ToWorker & { type: "start" | "apply" }): Promise<void> => {
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
    else order = order.then(() => hear(message));
  });
  // The supervisor died: what we have is enough to serve, until another one takes over.
  process.on("disconnect", () => {
    if (alone === "end") process.exit(0);
    if (!leaving) log.warn({ pid: process.pid }, "Supervisor is gone; serving on without it");
  });
  // What a policy leaves unhandled, in a timer or a promise of its own, ends no connection of anybody's.
  const unhandled = new LimitedErrors(log);
  process.on("uncaughtException", (error) => unhandled.say(error));
  process.on("unhandledRejection", (reason) => unhandled.say(reason));
  // Ctrl-C and Ctrl-\ reach the whole process group; the supervisor decides what they mean.
  process.on("SIGINT", () => {});
  process.on("SIGQUIT", () => {});
  process.on("SIGHUP", () => {});
  process.on("SIGUSR2", () => {});
  process.on("SIGQUIT", () => {});
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
