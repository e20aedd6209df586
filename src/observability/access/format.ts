/** A format of the access log: what is wrong with it, which headers it needs, and the function that makes lines of accounts. */
import type { Account } from "../account.ts";
import { Slot } from "../head-text.ts";
import { escapeText } from "./escape.ts";
import type { Line } from "./line.ts";
import { LineCode, type LineMaker } from "./line-code.ts";
import { thousandths, writeIsoTime } from "./numbers.ts";
import { headerOf, JSON_FIELDS, type Variable, VARIABLES, variableProblem } from "./variables.ts";

export type AccessFormat =
  /** For people's eyes, as the service log. */
  | { readonly kind: "text" }
  | { readonly kind: "json"; readonly fields: readonly string[] }
  | { readonly kind: "template"; readonly template: string };

const COMMON = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent';
/** By name. */
export const FORMATS: Readonly<Record<string, AccessFormat>> = {
  json: { kind: "json", fields: JSON_FIELDS },
  common: { kind: "template", template: COMMON },
  combined: { kind: "template", template: `${COMMON} "$http_referer" "$http_user_agent"` },
};

interface Piece {
  /** Stands before the variable. */
  readonly literal: string;
  readonly name: string;
}

/** `$name`, `${name}`, and `$$` for a dollar. */
const REFERENCE = /\$(?:(\$)|([A-Za-z0-9_]+)|\{([A-Za-z0-9_]+)\})/g;

function parse(template: string): { readonly pieces: readonly Piece[]; readonly rest: string } {
  const pieces: Piece[] = [];
  let literal = "";
  let at = 0;
  for (const match of template.matchAll(REFERENCE)) {
    const [whole, dollar, plain, braced] = match;
    literal += template.slice(at, match.index);
    at = match.index + whole.length;
    if (dollar === undefined) {
      pieces.push({ literal, name: plain ?? braced! });
      literal = "";
    } else literal += dollar;
  }
  return { pieces, rest: literal + template.slice(at) };
}

/** The variables of a format, in their order. */
function namesOf(format: AccessFormat): readonly string[] {
  if (format.kind === "text") return [];
  return format.kind === "json" ? format.fields : parse(format.template).pieces.map(({ name }) => name);
}

/** The request headers that it tells, by their lower-case names. */
export function headersOf(format: AccessFormat): readonly string[] {
  return [...new Set(namesOf(format).flatMap((name) => headerOf(name) ?? []))];
}

export interface FormatProblem {
  readonly message: string;
  /** The variable that it is about; absent: it is about the whole. */
  readonly name?: string;
}

/** What is wrong with a format string. */
export function templateProblem(template: string): FormatProblem | undefined {
  const { pieces, rest } = parse(template);
  for (const { name } of pieces) {
    const message = variableProblem(name);
    if (message !== undefined) return { message, name };
  }
  if (pieces.length === 0) return { message: "a format string has at least one $variable" };
  if ([...pieces.map(({ literal }) => literal), rest].some((literal) => /[^\x20-\x7e\t]/.test(literal))) return { message: "a format string has printable ASCII characters only" };
  return undefined;
}

/** @param headers the order in which accounts have their fields */
function variableOf(name: string, headers: readonly string[]): Variable {
  const header = headerOf(name);
  if (header === undefined) return VARIABLES[name]!;
  const at = headers.indexOf(header);
  return { kind: "text", of: ({ fields }) => fields[at] ?? "", slot: Slot.FIELDS + at, about: "" };
}

/** @param headers the order in which accounts have their fields; all of `headersOf` are among them */
export function compileFormat(format: AccessFormat, headers: readonly string[]): LineMaker {
  if (format.kind === "text") return writeText;
  const code = new LineCode();
  if (format.kind === "json") {
    for (const [index, name] of format.fields.entries()) code.field(name, variableOf(name, headers), index === 0);
    code.literal("}\n");
    const fields = code.maker();
    return (account, line) => {
      fields(account, line);
      line.bytes[0] = BRACE;
    };
  }
  const { pieces, rest } = parse(format.template);
  for (const { literal, name } of pieces) {
    code.literal(literal);
    code.variable(variableOf(name, headers));
  }
  code.literal(`${rest}\n`);
  return code.maker();
}

const BRACE = 0x7b;

/** For people's eyes. */
function writeText(account: Account, line: Line): void {
  const { client, method, protocol, host, path, status, upstream, target, attempts, milliseconds, queued, cause, datagrams, bytesIn, bytesOut, grpcStatus } = account;
  line.length = 0;
  writeIsoTime(account.at + milliseconds, line);
  // The time of day of it.
  line.bytes.copyWithin(0, 11, 23);
  line.length = 12;
  line.word(` ACCESS ${plain(client)} ${plain(method) || protocol.toUpperCase()} ${plain(host)}${plain(path)} ${status} ${thousandths(milliseconds * 1000)}ms -> ${plain(target) || "-"} upstream=${upstream || "-"}`);
  if (grpcStatus !== undefined) line.word(` grpc=${grpcStatus}`);
  if (attempts > 1) line.word(` attempts=${attempts}`);
  if (queued > 0) line.word(` queued=${thousandths(queued * 1000)}ms`);
  if (datagrams !== undefined) line.word(` in=${datagrams.in}/${bytesIn}B out=${datagrams.out}/${bytesOut}B`);
  if (cause !== "done") line.word(` cause=${cause}`);
  line.word("\n");
}

/** Without spaces too. */
function plain(text: string): string {
  return escapeText(text).replaceAll(" ", "\\x20");
}
