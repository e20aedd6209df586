/** The development certificate of this user: made once and kept beside the runtime directories, so that a browser that was told to trust it still does. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeSelfSigned, namesOfSelfSigned, type SelfSigned } from "../config/self-signed.ts";
import { userDirectory } from "./runtime-directory.ts";

/** What this user's instances have in common; the oldest names go first. */
const MAX_NAMES = 200;

/** @throws StartError when the directory cannot be ours; the system's error when the disk does not take it */
export function keptSelfSigned(names: readonly string[]): SelfSigned {
  const file = join(userDirectory(), "self-signed.pem");
  const now = Date.now();
  const text = read(file);
  const known = text === undefined ? undefined : namesOfSelfSigned(text, now);
  if (text !== undefined && known !== undefined && names.every((name) => known.includes(name))) return split(file, text);
  // Other instances of this user go on with what they have; the next time they find theirs here as well.
  const { certificate, key } = makeSelfSigned([...new Set([...names, ...(known ?? [])])].slice(0, MAX_NAMES), now);
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, certificate + key, { mode: 0o600 });
  renameSync(draft, file);
  return { file, certificate, key };
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function split(file: string, text: string): SelfSigned {
  const at = text.indexOf("-----BEGIN PRIVATE KEY-----");
  return { file, certificate: text.slice(0, at), key: text.slice(at) };
}
