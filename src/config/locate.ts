/** Gives each problem its place in the text, and the line to show. */
import type { TomlError } from "smol-toml";
import type { Diagnostic, Place } from "./diagnostics.ts";
import { Positions } from "./positions.ts";
import type { Problem } from "./problem.ts";
import { mayBeQuoted, quotable } from "./secret-keys.ts";

/** So many are told of. */
const MOST_TOLD = 100;
/** Characters of a message, and of a line that is shown. */
const MAX_MESSAGE = 1_000;

/** In the order of the text; of what is beyond the first ones only how many they are. */
export function locate(problems: readonly Problem[], text: string | undefined, file: string): Diagnostic[] {
  const positions = text === undefined ? undefined : new Positions(text);
  const lines = text?.split(/\r?\n/) ?? [];
  const placed = problems.map((problem) => ({ ...problem, place: problem.about === "key" ? positions?.key(problem.path) : positions?.value(problem.path) }));
  placed.sort((a, b) => (a.place?.line ?? 0) - (b.place?.line ?? 0) || (a.place?.column ?? 0) - (b.place?.column ?? 0));
  const told = placed.slice(0, MOST_TOLD).map(({ path, message, hint, place }): Diagnostic => {
    const where = positions === undefined && path.length > 0 ? `${path.map(String).join(".")}: ` : "";
    const quoted = place === undefined || !mayBeQuoted(path) ? undefined : shown(lines, place);
    return { file, place, message: shortened(where + message), hint, quoted };
  });
  const further = placed.length - told.length;
  return further === 0 ? told : [...told, { file, place: undefined, message: `and ${further} more`, hint: undefined, quoted: undefined, further }];
}

/** A line with a thousand characters shows nobody what is wrong with one of them. */
function shown(lines: readonly string[], { line }: Place): string | undefined {
  const quoted = quotable(lines, line);
  return quoted !== undefined && quoted.length > MAX_MESSAGE ? undefined : quoted;
}

function shortened(message: string): string {
  return message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message;
}

export function syntaxDiagnostic(error: TomlError, text: string, file: string): Diagnostic {
  const message = error.message.split("\n", 1)[0]!.replace(/^Invalid TOML document: /, "");
  const place = { line: error.line, column: error.column, length: 1 };
  return { file, place, message: shortened(`not valid TOML: ${message}`), hint: undefined, quoted: shown(text.split(/\r?\n/), place) };
}
