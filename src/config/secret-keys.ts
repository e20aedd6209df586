/** Which values of a configuration are for nobody's eyes, so that no diagnostic quotes them. */
import type { Path } from "./positions.ts";

/** Keys whose values are for nobody's eyes, a log's neither, … */
const SECRET = /(?:token|token_file|secret|password|hmac_key|authorization|api[-_]key)$/i;
/** … and tables that are so as a whole: what programs are told, and what spans and checks are sent with. */
const SECRET_TABLE = /(?:environment|headers)$/;

/** What a route looks for in a request is none. */
export function isSecret(path: Path): boolean {
  return path[0] !== "routes" && path.some((step, index) => SECRET_TABLE.test(String(step)) || (index === path.length - 1 && SECRET.test(String(step))));
}

const KEY_OF_SECRET = new RegExp(`(?:${SECRET.source.replace("$", "")}|${SECRET_TABLE.source.replace("$", "")})["']?\\s*=`, "i");
const HEAD_OF_TABLE = /^\s*\[+([^\]]*)\]/;

/** The line, unless it tells a secret. @param number from 1 */
export function quotable(lines: readonly string[], number: number): string | undefined {
  const line = lines[number - 1];
  let head = number - 1;
  while (head >= 0 && !HEAD_OF_TABLE.test(lines[head] ?? "")) head--;
  const table = lines[head] ?? "";
  if (/\broutes\b/.test(table)) return line;
  const isSecretTable = SECRET_TABLE.test(HEAD_OF_TABLE.exec(table)?.[1]?.trim() ?? "");
  return line === undefined || isSecretTable || KEY_OF_SECRET.test(line) ? undefined : line;
}
