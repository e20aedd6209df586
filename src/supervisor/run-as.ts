/** Who does what when root starts Fairlead and the configuration names a `user`: the supervisor stays root, what it starts does not. */
import { closeSync, constants, fchownSync, fstatSync, lstatSync, openSync } from "node:fs";
import type { Snapshot, UserConfig } from "../config/snapshot.ts";
import { ROOT } from "../net/identity.ts";
import { LOG_FILE_MODE, STANDARD } from "../observability/line-file.ts";

const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants;

/** Whom workers, back ends and command checks run as; undefined: as this process does. */
export function runAs({ user }: Pick<Snapshot, "user">): UserConfig | undefined {
  return process.getuid?.() === ROOT ? user : undefined;
}

/** Only root can be somebody else. Undefined: there is nothing to say. */
export function userWarning({ user }: Pick<Snapshot, "user">): string | undefined {
  const own = process.getuid?.();
  return user === undefined || own === ROOT || own === user.uid ? undefined : `user = "${user.name}" is ignored: only root can start what runs as another user, and this process is user ${own ?? "of another kind"}`;
}

/** As `fairlead __program` wants it: "uid:gid", or "-" for nobody else. */
export function ownerWord(user: UserConfig | undefined): string {
  return user === undefined ? "-" : `${user.uid}:${user.gid}`;
}

/** Words to put before a program's own, so that it runs as that user; it ends with this process. */
export function programStarter(self: readonly string[], user: UserConfig | undefined): string[] {
  return user === undefined ? [] : [...self, "__program", String(process.pid), ownerWord(user)];
}

/**
 * Workers open the files of logs themselves, again after each rotation: those that are there, or that are made here, and are root's become theirs.
 * Only plain files with one name are: a directory that others write to may hold anything under that name.
 * @param before whom they were given to last
 */
export function giveLogs(snapshot: Pick<Snapshot, "log" | "accessLog" | "user">, before?: UserConfig): void {
  const user = runAs(snapshot);
  if (user === undefined) return;
  for (const path of [snapshot.log.path, snapshot.accessLog?.path]) if (path !== undefined && !STANDARD.has(path)) giveFile(path, user, [ROOT, before?.uid]);
}

/** @param owners from whom it is taken */
function giveFile(path: string, { uid, gid }: UserConfig, owners: readonly (number | undefined)[]): void {
  const before = lstatSync(path, { throwIfNoEntry: false });
  if (before !== undefined && !before.isFile()) return;
  let file: number;
  try {
    file = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, LOG_FILE_MODE);
  } catch {
    // Whoever writes there says so.
    return;
  }
  try {
    const stats = fstatSync(file);
    if (stats.isFile() && stats.nlink === 1 && owners.includes(stats.uid)) fchownSync(file, uid, gid);
  } finally {
    closeSync(file);
  }
}
