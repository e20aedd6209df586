/** A format of the access log: what is wrong with it, which headers it needs, and the function that makes lines of accounts. */
import type { Account } from "../account.ts";
import { escapeJson, escapeText } from "./escape.ts";
import { isoTime, thousandths } from "./numbers.ts";
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

/** One line, with its newline: ASCII only. */
export type LineMaker = (account: Account) => string;

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
export function namesOf(format: AccessFormat): readonly string[] {
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
  return { kind: "text", of: ({ fields }) => fields[at] ?? "", about: "" };
}

/** @param headers the order in which accounts have their fields; all of `headersOf` are among them */
export function compileFormat(format: AccessFormat, headers: readonly string[]): LineMaker {
  if (format.kind === "text") return textLine;
  if (format.kind === "json") {
    const steps = format.fields.map((name, index) => jsonStep(name, variableOf(name, headers), index === 0));
    return generate(steps, "{", "}\n");
  }
  const { pieces, rest } = parse(format.template);
  const steps = pieces.map(({ literal, name }): Step => {
    const { kind, of } = variableOf(name, headers);
    const or = kind === "text" ? (account: Account): string => escapeText(of(account)) || "-" : (account: Account): string => of(account) || "-";
    return { literal, of: or };
  });
  return generate(steps, "", `${rest}\n`);
}

interface Step {
  readonly literal: string;
  readonly of: (account: Account) => string;
}

/** The first field has a value always, so that a comma may stand before each of the others. */
function jsonStep(name: string, { kind, of }: Variable, first: boolean): Step {
  const begin = `${first ? "" : ","}${JSON.stringify(name)}:`;
  if (ALWAYS.has(name)) {
    if (kind === "number") return { literal: begin, of };
    return { literal: begin, of: kind === "word" ? (account) => `"${of(account)}"` : (account) => `"${escapeJson(of(account))}"` };
  }
  return {
    literal: "",
    of: (account) => {
      const value = of(account);
      if (value === "" && !first) return "";
      if (value === "") return `${begin}null`;
      return kind === "number" ? begin + value : `${begin}"${kind === "text" ? escapeJson(value) : value}"`;
    },
  };
}

/** JSON has these in each line, however short. */
const ALWAYS = new Set(["level", "msg", "time", "client", "method", "host", "path", "protocol", "status", "listener", "upstream", "target", "attempts", "milliseconds", "queued", "connect", "first_byte", "bytes_in", "bytes_out", "cause"]);

/**
 * One expression over all steps: half the time of a loop over them, which makes a text for each
 * (npm run bench:log). The literals are the configuration's, as JSON strings; nothing of a client is in the code.
 */
function generate(steps: readonly Step[], begin: string, end: string): LineMaker {
  const names = steps.map((_, index) => `f${index}`);
  const body = [JSON.stringify(begin), ...steps.flatMap(({ literal }, index) => [...(literal === "" ? [] : [JSON.stringify(literal)]), `f${index}(a)`]), JSON.stringify(end)].join(" + ");
  const make = new Function(...names, `return (a) => ${body};`) as (...of: Step["of"][]) => LineMaker;
  return make(...steps.map(({ of }) => of));
}

/** For people's eyes. */
function textLine(account: Account): string {
  const { client, host, path, status, upstream, target, attempts, milliseconds, queued, cause, datagrams, bytesIn, bytesOut, grpcStatus } = account;
  let line = `${isoTime(account.at + milliseconds).slice(11, 23)} ACCESS ${client} ${plain(VARIABLES["method"]!.of(account))} ${plain(host)}${plain(path)} ${status} ${thousandths(milliseconds * 1000)}ms -> ${target === "" ? "-" : plain(target)} upstream=${upstream === "" ? "-" : upstream}`;
  if (grpcStatus !== undefined) line += ` grpc=${grpcStatus}`;
  if (attempts > 1) line += ` attempts=${attempts}`;
  if (queued > 0) line += ` queued=${thousandths(queued * 1000)}ms`;
  if (datagrams !== undefined) line += ` in=${datagrams.in}/${bytesIn}B out=${datagrams.out}/${bytesOut}B`;
  if (cause !== "done") line += ` cause=${cause}`;
  return `${line}\n`;
}

/** Without spaces too. */
function plain(text: string): string {
  return escapeText(text).replaceAll(" ", "\\x20");
}
