/** The secret that signs sticky cookies where the config names none: made once and kept for this user; when it is lost, clients are balanced anew once. */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { makeKept, readKept } from "./kept-file.ts";

const BYTES = 32;
const NAME = "sticky-secret";

/** @throws StartError when the directory cannot be ours; the system's error when the disk does not take it */
export function machineSecret(): string {
  const { path, secret } = kept();
  if (secret !== undefined) return secret;
  const fresh = randomBytes(BYTES).toString("hex");
  if (makeKept(path, fresh)) return fresh;
  const theirs = kept().secret;
  if (theirs !== undefined) return theirs;
  // What lies there is none, or others could read it.
  rmSync(path, { force: true });
  return machineSecret();
}

function kept(): { readonly path: string; readonly secret: string | undefined } {
  const { path, text } = readKept(NAME);
  const secret = text?.trim();
  return { path, secret: secret?.length === BYTES * 2 ? secret : undefined };
}
