/** `[upstreams.supervised]`: back ends that Fairlead starts itself. */
import { resolve } from "node:path";
import type { RawUpstream } from "../schema.ts";
import type { SupervisedConfig } from "../snapshot.ts";
import { commandOf } from "./command.ts";

export function supervisedOf(raw: NonNullable<RawUpstream["supervised"]>, directory: string): SupervisedConfig {
  return {
    command: commandOf(raw.command, directory),
    instances: raw.instances ?? 1,
    directory: resolve(directory, raw.directory ?? "."),
    environment: raw.environment ?? {},
    port: raw.port ?? 0,
    replaceAfter: raw.replace_after ?? 30_000,
    maxRestarts: raw.max_restarts ?? 10,
    restartWindow: raw.restart_window ?? 600_000,
    backoff: raw.backoff ?? 100,
    backoffMax: raw.backoff_max ?? 30_000,
    stopTimeout: raw.stop_timeout ?? 10_000,
    startTimeout: raw.start_timeout ?? 30_000,
    rollOnReload: raw.roll_on_reload ?? true,
  };
}
