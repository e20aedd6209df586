/** A worker process: runs the data plane, does what its supervisor says, and goes on serving when the supervisor is gone. */
import { bunNetwork } from "../net/bun.ts";
import { createLog, type LogFormat } from "../observability/log.ts";
import { Scoreboard, WORKER_PID } from "../scoreboard/scoreboard.ts";
import { DataPlane } from "./data-plane.ts";
import { answerControl } from "./control.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

/** A SIGTERM from a person, when no supervisor is left to say how long. */
const ORPHAN_DRAIN = 30_000;

export function runWorker(logFormat: LogFormat): void {
  const log = createLog(logFormat, "info");
  let plane: DataPlane | undefined;
  let drainTimeout = ORPHAN_DRAIN;
  let leaving = false;
  let alone: "serve" | "end" = "end";

  const say = (message: FromWorker): void => {
    if (process.connected) process.send!(message);
  };

  const leave = async (timeout: number): Promise<void> => {
    if (leaving) return;
    leaving = true;
    await plane?.drain(timeout);
    process.exit(0);
  };

  const hear = async (message: ToWorker): Promise<void> => {
    switch (message.type) {
      case "start": {
        const { snapshot, slot } = message;
        log.level = snapshot.log.level;
        drainTimeout = snapshot.drainTimeout;
        ({ alone } = message);
        const scoreboard = Scoreboard.open(message.scoreboard);
        scoreboard.setWorkerWord(slot, WORKER_PID, process.pid);
        plane = new DataPlane({ network: bunNetwork(), scoreboard, slot, log, jsonAccessLog: logFormat === "json" });
        await plane.apply(snapshot);
        for (const [name, fd] of Object.entries(message.descriptors)) plane.open(name, fd);
        if (message.controlSocket !== undefined) answerControl(message.controlSocket, Object.values(message.descriptors), () => leave(drainTimeout));
        say({ type: "ready", generation: snapshot.generation });
        break;
      }
      case "apply":
        log.level = message.snapshot.log.level;
        drainTimeout = message.snapshot.drainTimeout;
        await plane!.apply(message.snapshot);
        say({ type: "applied", generation: message.snapshot.generation });
        break;
      case "drain":
        await leave(message.timeout);
        break;
    }
  };

  process.on("message", (message: ToWorker) => {
    hear(message).catch((error: unknown) => {
      const generation = "snapshot" in message ? message.snapshot.generation : 0;
      say({ type: "failed", generation, reason: error instanceof Error ? error.message : String(error) });
      // A worker that never came up is of no use; one that keeps its old snapshot is.
      if (message.type === "start") process.exit(1);
    });
  });
  // The supervisor died: what we have is enough to serve, until another one takes over.
  process.on("disconnect", () => {
    if (alone === "end") process.exit(0);
    if (!leaving) log.warn({ pid: process.pid }, "Supervisor is gone; serving on without it");
  });
  // Ctrl-C reaches the whole process group; the supervisor decides what it means.
  process.on("SIGINT", () => {});
  process.on("SIGHUP", () => {});
  process.on("SIGUSR2", () => {});
  process.on("SIGTERM", () => void leave(drainTimeout));
}
