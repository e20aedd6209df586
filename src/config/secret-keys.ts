/** Which values of a configuration are for nobody's eyes: no diagnostic quotes them, and what is shown of a configuration has a word in their place. */
import type { Path } from "./positions.ts";

/** Keys whose values are for nobody's eyes, a log's neither: what proves who we are, what an agent is told, arguments of programs, … */
const SECRET = /(?:token|secret|password|hmac_key|authorization|api[-_]key|\bsend|\bcommand)$/i;
/** … and tables that are so as a whole: what programs are told, and what spans and checks are sent with. */
const SECRET_TABLE = /(?:environment|headers)$/;
/** Where a token is pasted by mistake; what is in force has a file's name there. */
const PASTED = /token_file$/i;
/** Paths that are asked for: what follows the ? may hold a key. */
const ASKED_PATH = /^(?:health_check\.path|(?:.+\.)?health_check_endpoint)$/;
/** What takes the place of a secret. */
const HIDDEN = "(secret)";

/** What a route looks for in a request is none. */
export function isSecret(path: Path): boolean {
  const keys = path.filter((step) => typeof step === "string");
  return keys[0] !== "routes" && keys.some((key, index) => SECRET_TABLE.test(key) || (index === keys.length - 1 && SECRET.test(key)));
}

/** May a diagnostic tell the value, which may be wrong? */
export function mayBeQuoted(path: Path): boolean {
  return !isSecret(path) && !PASTED.test(String(path.at(-1)));
}

/** With no secrets. @param at the keys that lead to it */
export function redacted(value: unknown, at: readonly string[] = []): unknown {
  if (Array.isArray(value)) return isSecret(at) ? value.map((each, index) => (index === 0 && at.at(-1) === "command" ? each : HIDDEN)) : value.map((each) => redacted(each, at));
  if (typeof value === "object" && value !== null) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, redacted(inner, [...at, key])]));
  if (typeof value === "string" && ASKED_PATH.test(at.slice(-2).join("."))) return value.replace(/\?.*$/s, `?${HIDDEN}`);
  return value !== undefined && value !== null && value !== true && isSecret(at) ? HIDDEN : value;
}

const KEY_OF_SECRET = new RegExp(`(?:${SECRET.source.replace("$", "")}|${SECRET_TABLE.source.replace("$", "")}|${PASTED.source.replace("$", "")})["']?\\s*=`, "i");
const PATH_WITH_QUERY = /(?:path|endpoint)["']?\s*=[^=]*\?/;
const HEAD_OF_TABLE = /^\s*\[+([^\]]*)\]/;

/** The line, unless it tells a secret. @param number from 1 */
export function quotable(lines: readonly string[], number: number): string | undefined {
  const line = lines[number - 1];
  let head = number - 1;
  while (head >= 0 && !HEAD_OF_TABLE.test(lines[head] ?? "")) head--;
  const table = lines[head] ?? "";
  if (/\broutes\b/.test(table)) return line;
  const isSecretTable = SECRET_TABLE.test(HEAD_OF_TABLE.exec(table)?.[1]?.trim() ?? "");
  return line === undefined || isSecretTable || KEY_OF_SECRET.test(line) || PATH_WITH_QUERY.test(line) ? undefined : line;
}
