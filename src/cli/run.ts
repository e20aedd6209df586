/** `fairlead run` and `fairlead --listen … --target …`: start a supervisor and do what signals say until it ends. */
import { realpathSync, rmSync, writeFileSync } from "node:fs";
import { formatDiagnostics, loadConfig, snapshotFromFlags, type Flags } from "../config/load.ts";
import { createLog, type LogFormat } from "../observability/log.ts";
import { StartError } from "../supervisor/errors.ts";
import { ConfigError, Supervisor, type SupervisorOptions } from "../supervisor/supervisor.ts";
import { watchConfig } from "../supervisor/watch.ts";
import { selfCommand } from "./self.ts";

export interface RunOptions {
  readonly logFormat: LogFormat;
  readonly pidFile?: string;
  readonly runtimeDir?: string;
  readonly watch?: boolean;
}

export async function run(options: RunOptions & { readonly config: string }): Promise<void> {
  const { config } = options;
  let identity = config;
  try {
    identity = realpathSync(config);
  } catch {
    // Loading it will say what is wrong.
  }
  await supervise(options, { load: (how) => loadConfig(config, how), identity }, options.watch === true ? config : undefined);
}

export async function runFlags(options: RunOptions & Flags): Promise<void> {
  const { listen, target } = options;
  await supervise(options, { load: (how) => snapshotFromFlags(options, how), identity: JSON.stringify([process.cwd(), listen, target]) }, undefined);
}

async function supervise(options: RunOptions, source: Pick<SupervisorOptions, "load" | "identity">, watched: string | undefined): Promise<void> {
  if (process.platform !== "linux" && process.platform !== "darwin") fail(`Fairlead runs on Linux and macOS, not on ${process.platform}`);
  const log = createLog(options.logFormat, "info");
  let supervisor: Supervisor | undefined;
  // Signals that come while it starts count too.
  let early = 0;
  const stop = (): void => void (supervisor === undefined ? early++ : supervisor.stop());
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  process.on("SIGHUP", () => void supervisor?.reload());
  process.on("SIGUSR2", () => void supervisor?.upgrade());
  process.on("SIGQUIT", () => void supervisor?.succeeded());
  try {
    supervisor = await Supervisor.start({ ...source, self: selfCommand(), args: process.argv.slice(2), log, logFormat: options.logFormat, runtimeDirectory: options.runtimeDir });
  } catch (error) {
    if (error instanceof ConfigError) {
      process.stderr.write(formatDiagnostics(error.diagnostics, { color: process.stderr.isTTY === true && process.env["NO_COLOR"] === undefined }));
      process.exit(1);
    }
    if (error instanceof StartError) fail(error.message);
    throw error;
  }
  if (options.pidFile !== undefined) writeFileSync(options.pidFile, `${process.pid}\n`);
  const running = supervisor;
  const unwatch = watched === undefined ? undefined : watchConfig(watched, () => void running.reload());
  for (; early > 0; early--) stop();
  await running.ended;
  unwatch?.();
  if (options.pidFile !== undefined) rmSync(options.pidFile, { force: true });
  process.exit(0);
}

function fail(message: string): never {
  process.stderr.write(`fairlead: ${message}\n`);
  process.exit(1);
}
