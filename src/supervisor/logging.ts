/** The logs of this instance: how much they tell, and into which files, here and in the workers. */
import type { Snapshot } from "../config/snapshot.ts";
import type { ServiceLog } from "../observability/log.ts";
import { LogRotation } from "../observability/log-rotation.ts";
import { LogLevelControl } from "./log-levels.ts";
import { giveLogs } from "./run-as.ts";
import type { Workers } from "./workers.ts";

export class Logging {
  readonly levels: LogLevelControl;
  private readonly logs: ServiceLog;
  private readonly workers: Pick<Workers, "setLevels" | "reopenLogs">;
  private readonly rotation: LogRotation;
  private snapshot: Snapshot | undefined = undefined;

  constructor(logs: ServiceLog, workers: Pick<Workers, "setLevels" | "reopenLogs">) {
    this.logs = logs;
    this.workers = workers;
    this.levels = new LogLevelControl((levels) => {
      logs.set(levels);
      workers.setLevels(levels);
    });
    this.rotation = new LogRotation(logs.of("access_log"), () => this.reopenInWorkers());
  }

  /** The file says this. */
  follow(snapshot: Snapshot): void {
    const { log, accessLog } = snapshot;
    this.snapshot = snapshot;
    this.levels.follow(log);
    this.logs.moveTo(log.path);
    this.rotation.apply(accessLog);
  }

  /** Somebody has renamed the files: SIGUSR1. */
  reopen(): void {
    this.logs.reopen();
    this.reopenInWorkers();
    this.logs.of("supervisor").info("Logs are opened anew");
  }

  private reopenInWorkers(): void {
    if (this.snapshot !== undefined) giveLogs(this.snapshot);
    this.workers.reopenLogs();
  }

  stop(): void {
    this.rotation.stop();
  }
}
