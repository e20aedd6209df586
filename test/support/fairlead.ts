/** The product as a process: started from the checkout with a configuration of its own, its log collected line by line. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { sleep, until } from "./until.ts";

/** Another build of it can be put to the same tests. */
const BINARY = resolve(process.env["FAIRLEAD_BINARY"] ?? join(import.meta.dir, "../../bin/fairlead"));
/** Start-up on a busy two-core machine. */
const START_PATIENCE = 15_000;

/** One line of the JSON log. */
export interface LogLine {
  readonly level?: string;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

/** Where instances keep their state: one place, so that they can take over from each other, and not that of the user's own. */
const RUNTIME = join(tmpdir(), "fairlead-tests");
mkdirSync(RUNTIME, { recursive: true });

/** What a supervisor that was killed has left there. */
function removeState(supervisor: number): void {
  const instances = join(RUNTIME, `fairlead-${process.getuid?.() ?? 0}`);
  if (!existsSync(instances)) return;
  for (const name of readdirSync(instances)) {
    try {
      const state = JSON.parse(readFileSync(join(instances, name, "state.json"), "utf8")) as { readonly supervisor: number };
      if (state.supervisor === supervisor) rmSync(join(instances, name), { recursive: true, force: true });
    } catch {
      // Another one's that starts or ends just now.
    }
  }
}

/** Process groups that must not outlive this process. */
const groups = new Set<number>();
process.on("exit", () => {
  for (const group of groups) killGroup(group);
});

function killGroup(group: number): void {
  try {
    process.kill(-group, "SIGKILL");
  } catch {
    // All of it has ended.
  }
}

export interface StartOptions {
  /** Further files of the configuration's directory, by name. */
  readonly files?: Readonly<Record<string, string>>;
  /** Arguments instead of `run --config FILE --log-format json`. */
  readonly arguments?: readonly string[];
  /** Files that each of its processes may open; default: as many as the tests themselves. */
  readonly openFiles?: number;
  /** Sockets that systemd would pass, and their names; more of the environment. */
  readonly activation?: { readonly fds: readonly number[]; readonly names?: string };
  readonly environment?: Readonly<Record<string, string>>;
  /** What starts it, instead of itself. */
  readonly command?: string;
  /** Do not wait until it is ready. */
  readonly patience?: number;
}

export class Fairlead {
  static readonly binary = BINARY;
  readonly directory: string;
  readonly lines: string[] = [];
  /** Exit code, or the signal's name; undefined while it runs. */
  ended: number | string | undefined;
  private readonly child: ChildProcess;

  private constructor(directory: string, args: readonly string[], { openFiles, activation, environment, command: starter = BINARY }: StartOptions) {
    this.directory = directory;
    // A group of its own, so that workers which outlive their supervisor can be ended too.
    // `bun test --no-orphans` tells every bun below it to end with its parent; here workers outlive theirs, and we end the group.
    const env = { ...process.env, BUN_FEATURE_FLAG_NO_ORPHANS: undefined, TMPDIR: RUNTIME, XDG_STATE_HOME: join(RUNTIME, "state"), ...environment };
    const before = [...(openFiles === undefined ? [] : [`ulimit -n ${openFiles}`]), ...(activation === undefined ? [] : [`export LISTEN_PID=$$ LISTEN_FDS=${activation.fds.length}`]), ...(activation?.names === undefined ? [] : [`export LISTEN_FDNAMES='${activation.names}'`])];
    const [command, ...rest] = before.length === 0 ? [starter, ...args] : ["/bin/sh", "-c", `${before.join("; ")}; exec "$0" "$@"`, starter, ...args];
    this.child = spawn(command!, rest, { cwd: directory, env, stdio: ["ignore", "pipe", "pipe", ...(activation?.fds ?? [])], detached: true });
    if (this.child.pid !== undefined) groups.add(this.child.pid);
    for (const stream of [this.child.stdout, this.child.stderr]) this.collect(stream);
    this.child.on("error", (error) => {
      this.lines.push(String(error));
      this.ended = String(error);
    });
    this.child.on("exit", (code, signal) => (this.ended = signal ?? code ?? "unknown"));
  }

  static async start(toml: string, options: StartOptions = {}): Promise<Fairlead> {
    const fairlead = Fairlead.launch(toml, options);
    try {
      await until(
        "the log line that says ready",
        () => {
          if (fairlead.ended !== undefined) throw new Error(`fairlead ended with ${fairlead.ended} before it was ready`);
          return fairlead.lines.some((line) => line.includes("ready"));
        },
        options.patience ?? START_PATIENCE,
      );
    } catch (error) {
      await fairlead.kill();
      await sleep(100); // What it said last may still be in the pipe.
      throw new Error(`${String(error)}\n${toml}\n${fairlead.lines.join("\n")}`, { cause: error });
    }
    return fairlead;
  }

  /** Start it without waiting. */
  static launch(toml: string, options: StartOptions = {}): Fairlead {
    const directory = mkdtempSync(join(tmpdir(), "fairlead-test-"));
    const file = join(directory, "fairlead.toml");
    writeFileSync(file, toml);
    for (const [name, text] of Object.entries(options.files ?? {})) writeFileSync(join(directory, name), text);
    return new Fairlead(directory, options.arguments ?? ["run", "--config", file, "--log-format", "json"], options);
  }

  get pid(): number {
    return this.child.pid as number;
  }

  /** The log so far; lines that are no JSON are left out. */
  get log(): LogLine[] {
    return this.lines.flatMap((line) => {
      try {
        const value: unknown = JSON.parse(line);
        return typeof value === "object" && value !== null ? [value as LogLine] : [];
      } catch {
        return [];
      }
    });
  }

  /** The first line of the log, from line `from` on, for which `test` holds. */
  line(what: string, test: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
    return until(`a log line: ${what}`, () => this.log.slice(from).find(test)).catch((error: unknown) => {
      throw new Error(`${String(error)}; the log ends with\n${this.lines.slice(-15).join("\n")}`, { cause: error });
    });
  }

  /** Resident memory of all of its processes but the launcher and the supervisor's shell, in bytes: the largest process counts. */
  memory(): number {
    return Math.max(...processesBelow(this.pid).map(residentBytes));
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Ask it to stop and wait until it has; by force when it does not. */
  async stop(patience = 5_000): Promise<number | string> {
    if (this.ended === undefined) this.signal("SIGTERM");
    try {
      return (await until("fairlead to stop", () => (this.ended === undefined ? undefined : { end: this.ended }), patience)).end;
    } finally {
      await this.kill();
    }
  }

  async kill(): Promise<void> {
    killGroup(this.pid);
    if (this.pid !== undefined) await until("fairlead to be gone", () => this.ended !== undefined);
    groups.delete(this.pid);
    removeState(this.pid);
    rmSync(this.directory, { recursive: true, force: true });
  }

  private collect(stream: NodeJS.ReadableStream | null): void {
    let rest = "";
    stream?.setEncoding("utf8");
    stream?.on("data", (text: string) => {
      const parts = (rest + text).split("\n");
      rest = parts.pop() ?? "";
      this.lines.push(...parts);
    });
  }
}

/** `root` and all processes below it (Linux). */
export function processesBelow(root: number): number[] {
  const found = [root];
  for (const pid of found) {
    try {
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
      found.push(...children.split(" ").filter(Boolean).map(Number));
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

function residentBytes(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
