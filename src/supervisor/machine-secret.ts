/**
 * The secret that signs sticky cookies where the config names none: made once and kept, for this user, beside the runtime directories. It outlives
 * restarts of Fairlead, not a machine whose temporary files are cleared: then clients are balanced anew once.
 */
import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { userDirectory } from "./runtime-directory.ts";

const BYTES = 32;

/** @throws StartError when the directory cannot be ours; the system's error when the disk does not take it */
export function machineSecret(): string {
  const path = join(userDirectory(), "sticky-secret");
  return read(path) ?? make(path);
}

function read(path: string): string | undefined {
  try {
    const secret = readFileSync(path, "utf8").trim();
    return secret.length === BYTES * 2 ? secret : undefined;
  } catch {
    return undefined;
  }
}

function make(path: string): string {
  const draft = `${path}.${process.pid}`;
  const secret = randomBytes(BYTES).toString("hex");
  writeFileSync(draft, secret, { mode: 0o600 });
  try {
    // Whole, and the first one's: two that start at the same time agree.
    linkSync(draft, path);
    return secret;
  } catch {
    const theirs = read(path);
    if (theirs !== undefined) return theirs;
    // What lies there is none.
    unlinkSync(path);
    return make(path);
  } finally {
    try {
      unlinkSync(draft);
    } catch {
      // The inner call's draft had the same name.
    }
  }
}
