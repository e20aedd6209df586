/** Gives each problem its place in the text, and the line to show. */
import type { TomlError } from "smol-toml";
import type { Diagnostic, Place } from "./diagnostics.ts";
import { Positions } from "./positions.ts";
import type { Problem } from "./problem.ts";
import { isSecret, quotable } from "./secret-keys.ts";

export function locate(problems: readonly Problem[], text: string | undefined, file: string): Diagnostic[] {
  const positions = text === undefined ? undefined : new Positions(text);
  const lines = text?.split(/\r?\n/) ?? [];
  const located = problems.map(({ path, about, message, hint }): Diagnostic => {
    const place: Place | undefined = about === "key" ? positions?.key(path) : positions?.value(path);
    const where = positions === undefined && path.length > 0 ? `${path.map(String).join(".")}: ` : "";
    return { file, place, message: where + message, hint, quoted: place === undefined || isSecret(path) ? undefined : quotable(lines, place.line) };
  });
  return located.sort((a, b) => (a.place?.line ?? 0) - (b.place?.line ?? 0) || (a.place?.column ?? 0) - (b.place?.column ?? 0));
}

export function syntaxDiagnostic(error: TomlError, text: string, file: string): Diagnostic {
  const message = error.message.split("\n", 1)[0]!.replace(/^Invalid TOML document: /, "");
  return { file, place: { line: error.line, column: error.column, length: 1 }, message: `not valid TOML: ${message}`, hint: undefined, quoted: quotable(text.split(/\r?\n/), error.line) };
}
