/** `fairlead run` and `fairlead --listen … --target …`: start a supervisor and do what signals say until it ends. */
import { resolve } from "node:path";
import { formatDiagnostics, loadConfig, loadConfigText, snapshotFromFlags, type Flags, type Loaded } from "../config/load.ts";
import { type LogFormat, type LogLevel, ServiceLog } from "../observability/log.ts";
import { ConfigError, StartError } from "../supervisor/errors.ts";
import { policyPaths } from "../supervisor/policy-check.ts";
import { Supervisor, type SupervisorOptions } from "../supervisor/supervisor.ts";
import { FileWatch } from "../supervisor/watch.ts";
import { removePidFile, writePidFile } from "./pid-file.ts";
import { platformProblem } from "./platform.ts";
import { selfCommand } from "./self.ts";
import { USAGE_ERROR } from "./usage.ts";

/** Ctrl-C reaches the whole process group, and npm and the launcher under Node pass it on once more: within this many ms it is one and the same. */
const SAME_KEY = 100;

export interface RunOptions {
  readonly logFormat: LogFormat;
  /** Instead of the configuration's. */
  readonly logLevel?: LogLevel;
  readonly pidFile?: string;
  readonly runtimeDir?: string;
  readonly watch?: boolean;
}

const START_FAILED = 1;
/** Tells apart instances that were started with the same flags, where each gets a port of its own; kept over upgrades. */
const INSTANCE_VARIABLE = "FAIRLEAD_INSTANCE";

export async function run(options: RunOptions & { readonly config: string }): Promise<void> {
  const { config } = options;
  // Links are not followed: where a deployment makes them lead to its next version, it is the same instance still.
  await supervise(options, { load: (how, text) => (text === undefined ? loadConfig(config, how) : loadConfigText(text, config, how)), file: config, identity: resolve(config) }, START_FAILED, options.watch === true ? config : undefined);
}

export async function runFlags(options: RunOptions & Flags): Promise<void> {
  const { listen } = options;
  const anyPort = listen.some((address) => address.endsWith(":0"));
  if (anyPort) process.env[INSTANCE_VARIABLE] ??= String(process.pid);
  const identity = JSON.stringify([process.cwd(), listen, anyPort ? process.env[INSTANCE_VARIABLE] : ""]);
  await supervise(options, { load: (how) => snapshotFromFlags(options, how), identity }, USAGE_ERROR, undefined);
}

/** @param badConfig the exit code when what `source` loads is wrong */
async function supervise(options: RunOptions, source: Pick<SupervisorOptions, "load" | "file" | "identity">, badConfig: number, watched: string | undefined): Promise<void> {
  const unsupported = platformProblem(process.platform, process.arch);
  if (unsupported !== undefined) fail(unsupported);
  const { logFormat, logLevel, pidFile, runtimeDir } = options;
  const logs = new ServiceLog(logFormat);
  logs.set({ level: logLevel ?? "info", modules: {} });
  let supervisor: Supervisor | undefined;
  const watch = watched === undefined ? undefined : new FileWatch(() => void supervisor?.reload("file"));
  const load: SupervisorOptions["load"] = (how, text) => {
    // Watched before it is read: no change falls in between.
    watch?.also([watched!]);
    const loaded = source.load(how, text);
    if (loaded.ok) watch?.also(policyPaths(loaded.snapshot));
    return atLevel(loaded, logLevel);
  };
  const applied: SupervisorOptions["applied"] = (snapshot, persisted) => {
    if (persisted) watch?.seen(watched!);
    watch?.files([watched!, ...policyPaths(snapshot)]);
  };
  // Signals that come while it starts count too.
  let early = 0;
  const unwanted = new AbortController();
  const stop = (): void => {
    if (supervisor !== undefined) return void supervisor.stop();
    early++;
    unwanted.abort();
  };
  process.on("SIGTERM", stop);
  let interrupted = Number.NEGATIVE_INFINITY;
  process.on("SIGINT", () => {
    const now = performance.now();
    if (now - interrupted > SAME_KEY) stop();
    interrupted = now;
  });
  process.on("SIGHUP", () => void supervisor?.reload("signal"));
  process.on("SIGUSR1", () => supervisor?.reopenLogs());
  process.on("SIGUSR2", () => void supervisor?.upgrade());
  process.on("SIGQUIT", () => void supervisor?.succeeded());
  try {
    const serving = pidFile === undefined ? undefined : () => writePidFile(pidFile);
    supervisor = await Supervisor.start({ ...source, load, applied, self: selfCommand(), args: process.argv.slice(2), logs, logFormat, runtimeDirectory: runtimeDir, stopped: unwanted.signal, ...(serving === undefined ? {} : { serving }) });
  } catch (error) {
    if (error instanceof ConfigError) {
      process.stderr.write(formatDiagnostics(error.diagnostics, { color: process.stderr.isTTY === true && process.env["NO_COLOR"] === undefined }));
      process.exit(badConfig);
    }
    // Who stopped it knows why it does not run.
    if (error instanceof StartError && unwanted.signal.aborted) process.exit(0);
    if (error instanceof StartError) fail(error.message);
    throw error;
  }
  for (; early > 0; early--) stop();
  await supervisor.ended;
  watch?.stop();
  if (pidFile !== undefined) removePidFile(pidFile);
  process.exit(0);
}

function atLevel(loaded: Loaded, level: LogLevel | undefined): Loaded {
  if (!loaded.ok || level === undefined) return loaded;
  const { snapshot, again } = loaded;
  return { ...loaded, snapshot: { ...snapshot, log: { ...snapshot.log, level, modules: {} } }, again: (how) => atLevel(again(how), level) };
}

function fail(message: string): never {
  process.stderr.write(`fairlead: ${message}\n`);
  process.exit(START_FAILED);
}
