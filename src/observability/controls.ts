/**
 * Text of others on its way to a person's terminal. What a terminal obeys instead of showing it (ECMA-48: C0, DEL, and C1, which xterm obeys in
 * UTF-8 too), and what turns or breaks lines of text (Unicode's bidirectional controls and separators), is written as an escape.
 */

const CONTROLS = /[\u0000-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069]/g;
/** JSON has escaped the C0 ones itself. */
const JSON_CONTROLS = /[\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069]/g;
/** Colours, and controls but for tabs. */
const COLOURS_OR_CONTROLS = /(\u001B\[[\d;]*m)|(?!\t)[\u0000-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069]/g;

function escaped(control: string): string {
  return `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** One line that a terminal only shows. */
export function printable(text: string): string {
  return text.replaceAll(CONTROLS, escaped);
}

/** The same with as many characters as there were, tabs left as they are. */
export function printableInPlace(line: string): string {
  return line.replaceAll(CONTROLS, (control) => (control === "\t" ? control : "\uFFFD"));
}

/** The same for what a program of the user's prints, which may be coloured. */
export function printableOutput(line: string): string {
  return line.replaceAll(COLOURS_OR_CONTROLS, (control: string, colour: string | undefined) => colour ?? escaped(control));
}

/** The same for everything in a value that came as JSON. */
export function printableValue(value: unknown): unknown {
  if (typeof value === "string") return printable(value);
  if (Array.isArray(value)) return value.map(printableValue);
  if (typeof value === "object" && value !== null) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [printable(key), printableValue(inner)]));
  return value;
}

/** JSON that means the same, and that a terminal only shows. @param text what JSON.stringify made */
export function printableJson(text: string): string {
  return text.replaceAll(JSON_CONTROLS, escaped);
}
