/** The file in which what people said survives a stop: `state_file` in [admin]. */
import { accessSync, closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Kept } from "./said.ts";

/** What is wrong with the place where it is to be; undefined: it can be written there. */
export function placeProblem(path: string): string | undefined {
  try {
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return `state_file ${path} cannot be written: ${(error as NodeJS.ErrnoException).code === "ENOENT" ? "its directory does not exist" : (error as Error).message}`;
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
  replaceFile(path, `${JSON.stringify(kept, undefined, 2)}\n`, 0o600);
}

/** Put another file in the place of this one. @throws Error; then the one before is there still */
export function replaceFile(path: string, text: string, mode: number): void {
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

/** Out of the way, but not lost. @returns where it is now */
export function setDamagedAside(path: string): string {
  const aside = `${path}.damaged`;
  renameSync(path, aside);
  return aside;
}
