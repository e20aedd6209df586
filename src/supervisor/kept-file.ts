/**
 * Small files with secrets that outlive restarts: in this user's state directory, or, where that cannot be had, beside its runtime directories, which
 * a machine may clear. What somebody else could have put there, or read, is not believed.
 */
import { closeSync, constants, fstatSync, linkSync, lstatSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { stateDirectory } from "../config/state-directory.ts";
import { StartError } from "./errors.ts";
import { parentDirectory, userDirectory } from "./runtime-directory.ts";

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

/** @returns where it is, and what is in it; undefined: nothing that could be believed @throws StartError when the directory could be written to by others */
export function readKept(name: string): { readonly path: string; readonly text: string | undefined } {
  const path = join(keptDirectory(), name);
  const text = readPrivate(path);
  return { path, text: text ?? moved(name, path) };
}

/** In place of what there is. @throws the system's error when the disk does not take it */
export function writeKept(path: string, text: string): void {
  renameSync(draftOf(path, text), path);
}

/** The first one's stays: of two that start at the same time, one. @returns false: somebody else's is there @throws the system's error when the disk does not take it */
export function makeKept(path: string, text: string): boolean {
  const draft = draftOf(path, text);
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function draftOf(path: string, text: string): string {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o600 });
  return draft;
}

function keptDirectory(): string {
  const path = stateDirectory(process.env, process.getuid?.() ?? 0);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch {
    // A system without a home for this user, or one that is read-only.
    return userDirectory();
  }
  // Service managers make a link of it; who could make one here could write here anyway.
  const { uid, mode } = statSync(path);
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0) throw new StartError(`the state directory ${path} must be a directory of this user that nobody else can write to; make it so, or name another by XDG_STATE_HOME`);
  return path;
}

/** A plain file of ours that nobody else can read. */
function readPrivate(path: string): string | undefined {
  let file: number;
  try {
    // What waits for a writer would keep us waiting.
    file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const { uid, mode } = fstatSync(file);
    return fstatSync(file).isFile() && uid === process.getuid?.() && (mode & 0o077) === 0 ? readFileSync(file, "utf8") : undefined;
  } finally {
    closeSync(file);
  }
}

/** What earlier versions kept among temporary files comes here once. */
function moved(name: string, path: string): string | undefined {
  const before = join(parentDirectory(), name);
  if (before === path) return undefined;
  const directory = lstatSync(dirname(before), { throwIfNoEntry: false });
  if (directory?.isDirectory() !== true || directory.uid !== process.getuid?.() || (directory.mode & 0o022) !== 0) return undefined;
  const text = readPrivate(before);
  if (text === undefined) return undefined;
  const isOurs = makeKept(path, text);
  rmSync(before, { force: true });
  return isOurs ? text : readPrivate(path);
}
