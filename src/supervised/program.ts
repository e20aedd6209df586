/**
 * The last thing a keeper's child does before it becomes the user's program: it asks the system to be killed when the keeper dies
 * (prctl PR_SET_PDEATHSIG, Linux; elsewhere there is nothing of the kind), and gives up what a runtime changed of a process's signals, and root where
 * the configuration names a user. Programs of command checks begin so too when there is one.
 */
import { ptr } from "bun:ffi";
import { become } from "../net/identity.ts";
import { loadLibrary } from "../net/libc.ts";

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
/** What runtimes ignore: SIGPIPE and SIGXFSZ. */
const IGNORED = [13, 25];
const SIG_DFL = 0;
const SIG_SETMASK = process.platform === "darwin" ? 3 : 2;
/** As a shell says: there is no such program. */
const NOT_FOUND = 127;

const SYMBOLS = {
  execvp: { args: ["ptr", "ptr"], returns: "int" },
  signal: { args: ["int", "ptr"], returns: "ptr" },
  sigprocmask: { args: ["int", "ptr", "ptr"], returns: "int" },
} as const;
/** Variadic, but only called on Linux, where that makes no difference for whole numbers. */
const LINUX_SYMBOLS = { prctl: { args: ["int", "u64", "u64", "u64", "u64"], returns: "int" } } as const;

/** @param keeper the process whose end is ours too @param user "uid:gid" to run as; "-": as now */
export function becomeProgram(keeper: number, user: string, command: readonly string[]): never {
  const c = loadLibrary(SYMBOLS);
  const [uid, gid] = user.split(":").map(Number);
  // First: who becomes another user loses what was asked of the system below.
  if (gid !== undefined) become({ uid: uid!, gid });
  if (process.platform === "linux") loadLibrary(LINUX_SYMBOLS).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  // It may have died before we asked.
  if (process.ppid !== keeper) process.exit(1);
  for (const signal of IGNORED) c.signal(signal, SIG_DFL as never);
  const nothing = Buffer.alloc(128);
  c.sigprocmask(SIG_SETMASK, ptr(nothing), null);
  const words = command.map((word) => Buffer.from(`${word}\0`));
  const table = new BigUint64Array([...words.map((word) => BigInt(ptr(word))), 0n]);
  c.execvp(ptr(words[0]!), ptr(table));
  process.stderr.write(`cannot run ${command[0]}: no such program, or not allowed\n`);
  process.exit(NOT_FOUND);
}
