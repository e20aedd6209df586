/** The development certificate of this user: made once and kept, so that a browser that was told to trust it still does. */
import { makeSelfSigned, namesOfSelfSigned, type SelfSigned } from "../config/self-signed.ts";
import { readKept, writeKept } from "./kept-file.ts";

/** What this user's instances have in common; the oldest names go first. */
const MAX_NAMES = 200;

/** @throws StartError when the directory cannot be ours; the system's error when the disk does not take it */
export function keptSelfSigned(names: readonly string[]): SelfSigned {
  const { path: file, text } = readKept("self-signed.pem");
  const now = Date.now();
  const known = text === undefined ? undefined : namesOfSelfSigned(text, now);
  if (text !== undefined && known !== undefined && names.every((name) => known.includes(name))) return split(file, text);
  // Other instances of this user go on with what they have; the next time they find theirs here as well.
  const { certificate, key } = makeSelfSigned([...new Set([...names, ...(known ?? [])])].slice(0, MAX_NAMES), now);
  writeKept(file, certificate + key);
  return { file, certificate, key };
}

function split(file: string, text: string): SelfSigned {
  const at = text.indexOf("-----BEGIN PRIVATE KEY-----");
  return { file, certificate: text.slice(0, at), key: text.slice(at) };
}
