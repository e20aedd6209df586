/** Who a process runs as: the system's users and groups, and giving up root for good: setsid(2), setgroups(2), setgid(2), setuid(2). */
import { ptr, read } from "bun:ffi";
import { closeSync, constants, openSync, readdirSync, readFileSync } from "node:fs";
import { isatty } from "node:tty";
import { loadLibrary } from "./libc.ts";

export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

export const ROOT = 0;
/** Of struct passwd and struct group, after two pointers: the same on glibc, musl and macOS. */
const PASSWD_UID = 16;
const PASSWD_GID = 20;
const GROUP_GID = 16;

const SYMBOLS = {
  getpwnam: { args: ["ptr"], returns: "ptr" },
  getpwuid: { args: ["u32"], returns: "ptr" },
  getgrnam: { args: ["ptr"], returns: "ptr" },
  setgroups: { args: ["u64", "ptr"], returns: "int" },
  setgid: { args: ["u32"], returns: "int" },
  setuid: { args: ["u32"], returns: "int" },
  setsid: { args: [], returns: "int" },
  dup2: { args: ["int", "int"], returns: "int" },
} as const;

type Calls = ReturnType<typeof loadLibrary<typeof SYMBOLS>>;

let loaded: Calls | undefined;

function calls(): Calls {
  return (loaded ??= loadLibrary(SYMBOLS));
}

function named(name: string): ReturnType<typeof ptr> {
  return ptr(Buffer.from(`${name}\0`));
}

/** @param user a name, or a number @returns undefined: the system knows none */
export function findUser(user: string | number): Identity | undefined {
  const entry = typeof user === "number" ? calls().getpwuid(user) : calls().getpwnam(named(user));
  return entry === null ? undefined : { uid: read.u32(entry, PASSWD_UID), gid: read.u32(entry, PASSWD_GID) };
}

/** The group's number; undefined: the system knows none. */
export function findGroup(name: string): number | undefined {
  const entry = calls().getgrnam(named(name));
  return entry === null ? undefined : read.u32(entry, GROUP_GID);
}

/**
 * Be this user from now on, in this group and no other, and never again who this process was. Only root can.
 * @throws Error when that cannot be done, or could be undone: then the process must end
 */
export function become({ uid, gid }: Identity): void {
  const groups = new Uint32Array(new ArrayBuffer(4));
  groups[0] = gid;
  const c = calls();
  // Root may have started this by hand: who has root's terminal could type there (TIOCSTI). It fails for who leads a session already, and has none of root's.
  c.setsid();
  if (process.platform === "linux") for (const standard of [0, 1, 2]) if (isatty(standard)) keepFromReading(standard, c);
  for (const [call, failed] of [["setgroups", c.setgroups(1, ptr(groups))], ["setgid", c.setgid(gid)], ["setuid", c.setuid(uid)]] as const) {
    if (failed !== 0) throw new Error(`cannot become user ${uid}, group ${gid}: ${call} is refused`);
  }
  const fault = faultOf({ uid, gid }, c);
  if (fault !== undefined) throw new Error(`this process is not user ${uid}, group ${gid} for good: ${fault}`);
}

/** A terminal is open for reading wherever a shell hands it on, as standard error too: who writes there needs no more than that. */
function keepFromReading(standard: number, c: Calls): void {
  const other = writing(standard);
  try {
    if (c.dup2(other, standard) !== standard) throw new Error(`the terminal cannot be given up as descriptor ${standard}`);
  } finally {
    closeSync(other);
  }
}

function writing(standard: number): number {
  const { O_WRONLY, O_APPEND, O_NOCTTY, O_RDWR } = constants;
  try {
    if (standard > 0) return openSync(`/proc/self/fd/${standard}`, O_WRONLY | O_APPEND | O_NOCTTY);
  } catch {
    // It has hung up.
  }
  return openSync("/dev/null", O_RDWR);
}

function faultOf({ uid, gid }: Identity, c: Calls): string | undefined {
  const groups = new Uint32Array(new ArrayBuffer(4));
  if (process.getuid!() !== uid || process.geteuid!() !== uid || process.getgid!() !== gid || process.getegid!() !== gid) return "it is another one still";
  // macOS counts the group itself among the others.
  if (process.getgroups!().some((group) => group !== gid)) return "it is in further groups";
  if (c.setuid(ROOT) === 0 || c.setgroups(1, ptr(groups)) === 0) return "root can be had again";
  if (process.platform === "linux" && hasTerminal()) return "it has root's terminal still";
  // Linux keeps this for each thread, and the C library changes all of them: what it does not know of it cannot.
  if (process.platform === "linux" && !threads().every((thread) => isOnly(thread, "Uid", uid) && isOnly(thread, "Gid", gid) && isOnly(thread, "Groups", gid))) return "one of its threads is another one still";
  return undefined;
}

/** Its session has a controlling terminal: proc_pid_stat(5), tty_nr. */
function hasTerminal(): boolean {
  const stat = readFileSync("/proc/self/stat", "utf8");
  // A name may have blanks and parentheses in it.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[4] !== "0";
}

function threads(): string[] {
  return readdirSync("/proc/self/task").flatMap((thread) => {
    try {
      return [readFileSync(`/proc/self/task/${thread}/status`, "utf8")];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

/** Real, effective, saved and for files: all the same. */
function isOnly(status: string, field: string, id: number): boolean {
  const ids = new RegExp(`^${field}:(.*)$`, "m").exec(status)?.[1]?.trim().split(/\s+/) ?? [];
  return ids.length > 0 && ids.every((each) => Number(each) === id);
}
