/** What is wrong with a config, where, and what would be right: made for a person's eyes. */

import { printable, printableInPlace } from "../observability/controls.ts";

export interface Place {
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
  /** Characters to underline, at least 1. */
  readonly length: number;
}

export interface Diagnostic {
  readonly file: string;
  /** Undefined: about the file as a whole. */
  readonly place: Place | undefined;
  readonly message: string;
  /** What to write instead. */
  readonly hint: string | undefined;
  /** The line as it stands in the file. */
  readonly quoted: string | undefined;
  /** It stands for so many further ones, of which no more is told. */
  readonly further?: number;
}

/** What is wrong, and what would be right. */
export function diagnosticReason({ message, hint }: Pick<Diagnostic, "message" | "hint">): string {
  return hint === undefined ? message : `${message} (${hint})`;
}

/** One line, for logs and the API: `fairlead.toml:3:1: unknown key "polcy" (did you mean "policy"?)`. */
export function diagnosticLine(diagnostic: Diagnostic): string {
  const { file, place } = diagnostic;
  const at = place === undefined ? file : `${file}:${place.line}:${place.column}`;
  return `${at}: ${diagnosticReason(diagnostic)}`;
}

/** All of them, each with its line quoted and the offending part underlined. */
export function formatDiagnostics(diagnostics: readonly Diagnostic[], options: { readonly color: boolean }): string {
  const paint = (code: number, text: string): string => (options.color ? `\x1b[${code}m${text}\x1b[0m` : text);
  const blocks = diagnostics.map(({ file, place, message, hint, quoted }) => {
    const at = place === undefined ? file : `${file}:${place.line}:${place.column}`;
    const lines = [`${paint(1, printable(at))}: ${paint(31, "error")}: ${printable(message)}`];
    if (place !== undefined && quoted !== undefined) {
      const gutter = String(place.line);
      const indent = quoted.slice(0, place.column - 1).replaceAll(/[^\t]/g, " ");
      const length = Math.max(1, Math.min(place.length, quoted.length - place.column + 1));
      lines.push(`  ${gutter} | ${printableInPlace(quoted)}`, `  ${" ".repeat(gutter.length)} | ${indent}${paint(31, "^".repeat(length))}`);
    }
    if (hint !== undefined) lines.push(`  ${printable(hint)}`);
    return lines.join("\n");
  });
  const all = diagnostics.reduce((sum, { further = 1 }) => sum + further, 0);
  const count = all === 1 ? "1 error" : `${all} errors`;
  return `${blocks.join("\n\n")}\n\n${count}\n`;
}
