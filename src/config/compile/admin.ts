/** Who may use the admin address: `[admin]` and its tokens. */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import ipaddr from "ipaddr.js";
import type { Problem } from "../problem.ts";
import type { SecretFiles } from "../secret-files.ts";
import { type RawConfig, tokenFault } from "../schema.ts";
import type { AdminConfig, AdminToken } from "../snapshot.ts";

/** By what the token is called that `[admin]` itself has, which may do everything. */
const UNNAMED = "token";

/** Of what may be a secret so many characters are told. */
const SHOWN = 4;
/** As `.token` or `.txt`; the parts of a token that has dots are longer. */
const ENDING = /^.{1,64}\.[A-Za-z]{2,8}$/;

/** @param secrets reads the files of tokens @param directory relative paths start here */
export function adminOf({ admin }: RawConfig, secrets: SecretFiles, directory: string, problems: Problem[]): AdminConfig | undefined {
  if (admin === undefined) return undefined;
  const named = (admin.tokens ?? []).map((token, index) => tokenOf(token, index, secrets, directory, problems));
  const tokens = [...(admin.token === undefined ? [] : [{ name: UNNAMED, token: admin.token, access: "configure" } as const]), ...named];
  for (const [index, { name, token }] of tokens.entries()) {
    const at = ["admin", "tokens", index - (tokens.length - named.length)];
    const before = tokens.slice(0, index);
    if (before.some((other) => other.name === name)) problems.push({ path: [...at, "name"], about: "value", message: name === UNNAMED ? `"${name}" is what the token of [admin] is called` : `there are two tokens "${name}"`, hint: "each has a name of its own: the timeline says by it who did what" });
    else if (token !== "" && before.some((other) => other.token === token)) problems.push({ path: at, about: "key", message: `token "${name}" is the same as another one`, hint: "make one for each who is to be told apart" });
  }
  if (tokens.length === 0) checkAddress(admin.address, problems);
  return { address: admin.address, tokens, ...(admin.state_file === undefined ? {} : { stateFile: resolve(directory, admin.state_file) }) };
}

type RawToken = NonNullable<NonNullable<RawConfig["admin"]>["tokens"]>[number];

function tokenOf({ name, token, token_file: file, access }: RawToken, index: number, secrets: SecretFiles, directory: string, problems: Problem[]): AdminToken {
  const at = ["admin", "tokens", index];
  if ((token === undefined) === (file === undefined)) {
    problems.push({ path: file === undefined ? at : [...at, "token_file"], about: "key", message: `token "${name}" needs one of token and token_file`, hint: file === undefined ? 'add token_file = "…" or token = "…"' : "leave one of the two out" });
    return { name, token: "", access };
  }
  if (token !== undefined) return { name, token, access };
  const read = secrets.read(file!);
  const fault = read.ok ? tokenFault(read.text) : undefined;
  if (read.ok && fault === undefined) return { name, token: read.text, access };
  if (!read.ok && mayBeToken(file!, directory)) {
    problems.push({ path: [...at, "token_file"], about: "value", message: `token_file of "${name}" names no file: "${file!.slice(0, SHOWN)}…" (${file!.length} characters)`, hint: "what looks like the token itself goes into token, or into a file that is named here" });
    return { name, token: "", access };
  }
  problems.push({ path: [...at, "token_file"], about: "value", message: read.ok ? `${read.path}: ${fault}` : read.message, hint: read.ok ? "make one: openssl rand -hex 32" : "paths are relative to the config file" });
  return { name, token: "", access };
}

/** A name of a file has a directory that is there, or an ending; what has neither may be a token that was pasted in its place, and is not told. */
function mayBeToken(file: string, directory: string): boolean {
  const path = resolve(directory, file);
  if (file.includes("/") && existsSync(dirname(path))) return false;
  return !ENDING.test(file);
}

/** Without a token whoever reaches it may steer. */
function checkAddress(address: AdminConfig["address"], problems: Problem[]): void {
  if (address.kind !== "tcp") return;
  const { host } = address;
  if (host === "localhost" || (ipaddr.isValid(host) && ipaddr.process(host).range() === "loopback")) return;
  problems.push({ path: ["admin", "address"], about: "value", message: `anybody who reaches ${host} could steer this instance`, hint: "set token in [admin], or listen on 127.0.0.1" });
}

/** With some token heartbeats can come in. */
export function takesHeartbeats({ admin }: RawConfig): boolean {
  return admin?.token !== undefined || (admin?.tokens ?? []).some(({ access }) => access !== "read");
}
