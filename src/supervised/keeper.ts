/**
 * The keeper: a process that holds the back ends which Fairlead starts, and nothing else. What to start and stop the supervisor says.
 *
 * It is a process of its own so that back ends outlive a supervisor that dies, as long as workers serve on: those hold a lock on the scoreboard.
 * When nobody holds it any more, everything is stopped. When the keeper dies, the system kills what it held.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { tryLock } from "../net/file-lock.ts";
import { signalGroup } from "../net/process-group.ts";
import type { LogFormat } from "../observability/log.ts";
import { passOnLines } from "./lines.ts";
import type { FromKeeper, ToKeeper } from "./messages.ts";

/** Between two looks for somebody who still serves, in ms. */
const LOOK_EVERY = 200;
/** Inherited: the scoreboard's file, opened apart from the descriptor that those who serve have locked. */
const WATCHED = 3;

interface Kept {
  readonly child: ChildProcess;
  readonly stopTimeout: number;
  late: Timer | undefined;
}

export interface KeeperOptions {
  /** The command that starts Fairlead itself, without arguments. */
  readonly self: readonly string[];
  readonly logFormat: LogFormat;
}

export function runKeeper({ self, logFormat }: KeeperOptions): void {
  const kept = new Map<number, Kept>();
  let leaving = false;

  const say = (message: FromKeeper): void => {
    if (process.connected) process.send!(message);
  };

  const start = ({ id, command, directory, user, environment, label, stopTimeout }: ToKeeper & { type: "start" }): void => {
    if (leaving) return say({ type: "ended", id, how: "not started: its keeper is leaving" });
    const [program = "", ...args] = self;
    const child = spawn(program, [...args, "__program", String(process.pid), user, ...command], { cwd: directory, env: { ...process.env, ...environment }, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    kept.set(id, { child, stopTimeout, late: undefined });
    const ended = (how: string): void => {
      const known = kept.get(id);
      if (known === undefined) return;
      clearTimeout(known.late);
      kept.delete(id);
      // What it left behind goes too.
      signalGroup(child.pid, "SIGKILL");
      say({ type: "ended", id, how });
      if (leaving && kept.size === 0) process.exit(0);
    };
    child.on("error", (error: NodeJS.ErrnoException) => ended(`cannot start in ${directory}: ${error.code ?? error.message}`));
    child.on("exit", (code, name) => ended(code === null ? String(name) : `exit code ${code}`));
    passOnLines(child.stdout!, process.stdout, label, logFormat);
    passOnLines(child.stderr!, process.stderr, label, logFormat);
    if (child.pid !== undefined) say({ type: "started", id, pid: child.pid });
  };

  const stop = (entry: Kept): void => {
    if (entry.late !== undefined) return;
    signalGroup(entry.child.pid, "SIGTERM");
    entry.late = setTimeout(() => signalGroup(entry.child.pid, "SIGKILL"), entry.stopTimeout);
  };

  const leave = (): void => {
    if (leaving) return;
    leaving = true;
    for (const entry of kept.values()) stop(entry);
    if (kept.size === 0) process.exit(0);
  };

  process.on("message", (message: ToKeeper) => {
    const entry = kept.get(message.id);
    if (message.type === "start") start(message);
    else if (entry === undefined) say({ type: "ended", id: message.id, how: "not running" });
    else if (message.type === "stop") stop(entry);
    else signalGroup(entry.child.pid, "SIGKILL");
  });
  process.on("disconnect", () => {
    setInterval(() => {
      if (tryLock(WATCHED, "exclusive")) leave();
    }, LOOK_EVERY);
  });
  process.on("SIGTERM", leave);
  // They reach the whole process group; the supervisor decides what they mean.
  for (const name of ["SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const) process.on(name, () => {});
}
