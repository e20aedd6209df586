/** The file in which what people said survives a stop: `state_file` in [admin]. */
import { accessSync, closeSync, constants, fsyncSync, openSync, readFileSync, readlinkSync, readSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Kept } from "./said.ts";

/** What is wrong with the place where it is to be; undefined: it can be written there, and nothing else is there that is somebody's. */
export function placeProblem(path: string): string | undefined {
  try {
    accessSync(dirname(placeOf(path)), constants.W_OK | constants.X_OK);
  } catch (error) {
    return `state_file ${path} cannot be written: ${(error as NodeJS.ErrnoException).code === "ENOENT" ? "its directory does not exist" : (error as Error).message}`;
  }
  try {
    if (!statSync(path).isFile()) return `state_file ${path} is a directory or a device: name a file, which need not exist`;
    return mayBeOurs(path) ? undefined : `state_file ${path} is a file of another kind: name one that nobody else uses, which need not exist`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? undefined : `state_file ${path} cannot be read: ${(error as Error).message}`;
  }
}

/** What a crash may have left of ours is empty, zeros, or begins as ours does. */
function mayBeOurs(path: string): boolean {
  const file = openSync(path, "r");
  try {
    const beginning = Buffer.alloc(64);
    const text = beginning.toString("utf8", 0, readSync(file, beginning)).replaceAll("\0", "").trim();
    return text === "" || text.startsWith("{");
  } finally {
    closeSync(file);
  }
}

/** What a link leads to is the file, not the link. */
function placeOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // There is none yet, where it is or where a link leads.
  }
  try {
    return resolve(dirname(path), readlinkSync(path));
  } catch {
    return path;
  }
}

/** Undefined: there is none. @throws Error when it cannot be read, or is no JSON */
export function readStateFile(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  return JSON.parse(text);
}

/** Whole or not at all, and on the disk when this returns. @throws Error when the disk does not take it */
export function writeStateFile(path: string, kept: Kept): void {
  replaceFile(placeOf(path), `${JSON.stringify(kept, undefined, 2)}\n`, 0o600);
}

/** Put another file in the place of this one. @throws Error; then the one before is there still */
function replaceFile(path: string, text: string, mode: number): void {
  const draft = `${path}.${process.pid}.new`;
  try {
    rmSync(draft, { force: true });
    const file = openSync(draft, "wx", mode);
    try {
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/** Out of the way, but not lost. @param how it is called from now on, behind its name @returns where it is now; undefined: where it was, as it cannot be moved */
export function setAside(path: string, how: string): string | undefined {
  const place = placeOf(path);
  const aside = `${place}.${how}`;
  try {
    renameSync(place, aside);
    return aside;
  } catch {
    return undefined;
  }
}
