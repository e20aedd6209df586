/** From a file, a text or flags to a Snapshot, or to everything that is wrong with it at once. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { TomlError, parse } from "smol-toml";
import type { z } from "zod";
import { compile, nearest, type JoinedTarget, type ListedTargets, type Problem } from "./compile.ts";
import { PemFiles } from "./certificates.ts";
import { makeSelfSigned, type SelfSigned } from "./self-signed.ts";
import type { Diagnostic, Place } from "./diagnostics.ts";
import { Positions } from "./positions.ts";
import type { Overrides } from "./overrides.ts";
import { configSchema, knownKeys } from "./schema.ts";
import { SecretFiles } from "./secret-files.ts";
import type { SlotAllocator } from "./slots.ts";
import { wildcardWarning } from "./udp.ts";
import type { Snapshot } from "./snapshot.ts";
import { expiryWarnings, hiddenWarnings } from "./tls.ts";

export { type JoinedTarget, nearest as nearestName } from "./compile.ts";
export { diagnosticLine, diagnosticReason, formatDiagnostics, type Diagnostic } from "./diagnostics.ts";
export { SlotAllocator } from "./slots.ts";

export interface LoadOptions {
  /** Keeps rows of the scoreboard over reloads; what a good config takes is committed. */
  readonly slots: SlotAllocator;
  readonly generation: number;
  /** Policies that exist beyond the built-in ones; for the library. */
  readonly policies?: readonly string[];
  /** Gives what signs sticky cookies where the config names no secret; called only then. */
  readonly secret?: () => string;
  /** Gives the development certificate for these names where the config asks for it; default: one that is not kept. */
  readonly selfSigned?: (names: readonly string[]) => SelfSigned;
  /** Targets beyond the file's, by upstream. */
  readonly joined?: ReadonlyMap<string, readonly JoinedTarget[]>;
  /** What was said of upstreams and targets since the file was read. */
  readonly overrides?: Overrides;
  /** For `again`: read the files of certificates anew; where one is wrong now, what was read before stays. */
  readonly renewCertificates?: boolean;
}

export type Loaded =
  | {
      readonly ok: true;
      readonly snapshot: Snapshot;
      /** Target slots that were not in use before: clear their counters before workers see the snapshot. */
      readonly freshSlots: readonly number[];
      /** The same for upstreams. */
      readonly freshUpstreams: readonly number[];
      readonly freshListeners: readonly number[];
      readonly freshRoutes: readonly number[];
      readonly warnings: readonly string[];
      /** Paths of the certificates, keys and authorities that it names. */
      readonly certificateFiles: readonly string[];
      /** What is wrong with those of them that were read anew, and stay as they were read before. */
      readonly unrenewed: readonly string[];
      /** As it was written; undefined: it was no text. */
      readonly text: string | undefined;
      /** The same as a value. */
      readonly value: unknown;
      readonly listed: ListedTargets;
      /** The same configuration once more, as it was read then, with other targets that joined. */
      readonly again: (options: LoadOptions) => Loaded;
    }
  | { readonly ok: false; readonly diagnostics: readonly Diagnostic[] };

/** Never throws: a file that cannot be read is a diagnostic too. */
export function loadConfig(path: string, options: LoadOptions): Loaded {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === "ENOENT" ? "no such file" : code === "EACCES" ? "no permission to read it" : code === "EISDIR" ? "it is a directory" : String(error);
    return { ok: false, diagnostics: [{ file: path, place: undefined, message: `cannot read the config: ${why}`, hint: undefined, quoted: undefined }] };
  }
  return loadConfigText(text, path, options);
}

/** @param file what diagnostics call the text; relative policy files start in its directory */
export function loadConfigText(text: string, file: string, options: LoadOptions): Loaded {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    return { ok: false, diagnostics: [syntaxDiagnostic(error, text, file)] };
  }
  return loadConfigValue(value, text, file, options);
}

/** What `fairlead --listen … --target …` says. */
export interface Flags {
  readonly listen: readonly string[];
  readonly target: readonly string[];
  readonly protocol?: string | undefined;
  readonly policy?: string | undefined;
  readonly tls?: "self-signed" | undefined;
  readonly workers?: string | number | undefined;
}

/** One upstream "default", watched by connects every 5 s, but for udp, where there is nothing to connect to; `/health` answers on http listeners. */
export function snapshotFromFlags(flags: Flags, options: LoadOptions): Loaded {
  const { listen, target, protocol = "http", policy, tls, workers } = flags;
  const value = {
    ...(workers === undefined ? {} : { workers: workers === "auto" ? workers : Number(workers) }),
    listeners: listen.map((address) => ({ address, protocol, upstream: "default", ...(tls === undefined ? {} : { tls }), ...(protocol === "http" ? { health_path: "/health" } : {}) })),
    upstreams: [{ name: "default", ...(policy === undefined ? {} : { policy }), ...(protocol === "udp" ? {} : { health_check: { type: "tcp", rise: 1, fall: 1 } }), targets: target.map((address) => ({ address })) }],
  };
  return loadConfigValue(value, undefined, "command line", options);
}

/** @param text undefined: the value has no text to point into */
export function loadConfigValue(value: unknown, text: string | undefined, file: string, options: LoadOptions): Loaded {
  const directory = text === undefined ? process.cwd() : dirname(resolve(file));
  const checked = configSchema.safeParse(value);
  if (!checked.success) {
    const own = checked.error.issues.flatMap((issue) => problemsOf(issue, value));
    return { ok: false, diagnostics: locate([...own, ...furtherProblems(value, checked.error.issues, own, options, directory)], text, file) };
  }
  let files = new PemFiles(directory);
  const secrets = new SecretFiles(directory);
  let development: SelfSigned | undefined;
  const unkept = (names: readonly string[]): SelfSigned => (development ??= { file: "self-signed", ...makeSelfSigned(names, Date.now()) });
  const build = (how: LoadOptions): Loaded => {
    const now = Date.now();
    const used = how.renewCertificates === true ? new PemFiles(directory, files) : files;
    const compiled = compile(checked.data, { ...how, directory, files: used, secrets, now, selfSigned: how.selfSigned ?? unkept });
    if (!compiled.ok) return { ok: false, diagnostics: locate(compiled.problems, text, file) };
    compiled.plan.commit();
    files = used;
    const { snapshot, plan, listed } = compiled;
    return {
      ok: true,
      snapshot,
      freshSlots: plan.freshTargets,
      freshUpstreams: plan.freshUpstreams,
      freshListeners: plan.freshListeners,
      freshRoutes: plan.freshRoutes,
      warnings: [...warningsOf(snapshot), ...hiddenWarnings(snapshot), ...expiryWarnings(snapshot, now)],
      certificateFiles: files.paths,
      unrenewed: files.kept.map(({ message, hint }) => (hint === undefined ? message : `${message} (${hint})`)),
      text,
      value,
      listed,
      again: build,
    };
  };
  return build(options);
}

/** What would be wrong still if the values that are wrong by themselves were right: a person mends a file once, not twice. */
function furtherProblems(value: unknown, issues: readonly z.core.$ZodIssue[], reported: readonly Problem[], options: LoadOptions, directory: string): Problem[] {
  const mended = structuredClone(value);
  let left = issues;
  // Taking a wrong value away may show that it was required: then something harmless stands in for it.
  for (let round = 0; round < 3 && left.length > 0; round++) {
    for (const issue of left) for (const path of issue.code === "unrecognized_keys" ? issue.keys.map((key) => [...issue.path, key]) : [issue.path]) standIn(mended, path);
    left = configSchema.safeParse(mended).error?.issues ?? [];
  }
  const checked = configSchema.safeParse(mended);
  if (!checked.success) return [];
  const compiled = compile(checked.data, { ...options, directory, files: new PemFiles(directory), secrets: new SecretFiles(directory), now: Date.now(), selfSigned: (names) => ({ file: "", ...makeSelfSigned(names, Date.now()) }) });
  if (compiled.ok) return [];
  const known = reported.map(({ path }) => path.map(String).join("\0"));
  return compiled.problems.filter(({ path, about }) => {
    const at = path.map(String).join("\0");
    // What is said of something that was mended here is said of our own making.
    return path.length > 0 && !known.some((other) => at.startsWith(other) || (about === "key" && other.startsWith(at)));
  });
}

function standIn(root: unknown, path: readonly PropertyKey[]): void {
  const parent = valueAt(root, path.slice(0, -1)) as Record<PropertyKey, unknown> | undefined;
  const last = path.at(-1);
  if (parent === undefined || last === undefined) return;
  if (parent[last] !== undefined && !Array.isArray(parent)) delete parent[last];
  else if (last === "address") parent[last] = `127.0.0.1:${1 + Math.floor(Math.random() * 60_000)}`;
  else if (last === "targets") parent[last] = [{ address: "127.0.0.1:1" }];
  else if (last === "name") parent[last] = `unnamed-${Math.random().toString(36).slice(2)}`;
}

/** Allowed, but probably not meant. */
function warningsOf(snapshot: Snapshot): string[] {
  const used = new Set([...snapshot.listeners.map(({ upstream }) => upstream), ...snapshot.routes.map(({ upstream }) => upstream)]);
  const warnings = snapshot.upstreams.filter(({ name }) => !used.has(name)).map(({ name }) => `upstream "${name}" is used by no listener and no route`);
  for (const { name, targets } of snapshot.upstreams) if (targets.length > 0 && targets.every(({ weight }) => weight === 0)) warnings.push(`every target of upstream "${name}" has weight 0: all requests get 503`);
  warnings.push(...snapshot.listeners.map((listener) => wildcardWarning(listener)).filter((warning) => warning !== undefined));
  for (const { name, tls } of snapshot.listeners) if (tls?.selfSigned === true) warnings.push(`listener "${name}" shows a self-signed certificate (${tls.certificates[0]!.file}): good for development only`);
  return warnings;
}

function syntaxDiagnostic(error: TomlError, text: string, file: string): Diagnostic {
  const message = error.message.split("\n", 1)[0]!.replace(/^Invalid TOML document: /, "");
  return { file, place: { line: error.line, column: error.column, length: 1 }, message: `not valid TOML: ${message}`, hint: undefined, quoted: quotable(text.split(/\r?\n/), error.line) };
}

function locate(problems: readonly Problem[], text: string | undefined, file: string): Diagnostic[] {
  const positions = text === undefined ? undefined : new Positions(text);
  const lines = text?.split(/\r?\n/) ?? [];
  const located = problems.map(({ path, about, message, hint }): Diagnostic => {
    const place: Place | undefined = about === "key" ? positions?.key(path) : positions?.value(path);
    const where = positions === undefined && path.length > 0 ? `${path.map(String).join(".")}: ` : "";
    return { file, place, message: where + message, hint, quoted: place === undefined || isSecret(path) ? undefined : quotable(lines, place.line) };
  });
  return located.sort((a, b) => (a.place?.line ?? 0) - (b.place?.line ?? 0) || (a.place?.column ?? 0) - (b.place?.column ?? 0));
}

/** Keys whose values are for nobody's eyes, a log's neither, … */
const SECRET = /(?:token|token_file|secret|password|hmac_key|authorization|api[-_]key)$/i;
/** … and tables that are so as a whole: what programs are told, and what spans and checks are sent with. */
const SECRET_TABLE = /(?:environment|headers)$/;

/** What a route looks for in a request is none. */
function isSecret(path: Problem["path"]): boolean {
  return path[0] !== "routes" && path.some((step, index) => SECRET_TABLE.test(String(step)) || (index === path.length - 1 && SECRET.test(String(step))));
}

/** What stands where a table should may be what should stand in it: a secret, say. */
function isTableWanted(expected: string): boolean {
  return expected === "object" || expected === "record";
}

const KEY_OF_SECRET = new RegExp(`(?:${SECRET.source.replace("$", "")}|${SECRET_TABLE.source.replace("$", "")})["']?\\s*=`, "i");
const HEAD_OF_TABLE = /^\s*\[+([^\]]*)\]/;

/** The line, unless it tells a secret. @param number from 1 */
function quotable(lines: readonly string[], number: number): string | undefined {
  const line = lines[number - 1];
  const table = lines.slice(0, number).findLast((each) => HEAD_OF_TABLE.test(each)) ?? "";
  if (/\broutes\b/.test(table)) return line;
  const isSecretTable = SECRET_TABLE.test(HEAD_OF_TABLE.exec(table)?.[1]?.trim() ?? "");
  return line === undefined || isSecretTable || KEY_OF_SECRET.test(line) ? undefined : line;
}

/** zod's issues in our words. */
function problemsOf(issue: z.core.$ZodIssue, root: unknown): Problem[] {
  const { path } = issue;
  // An element of an array is called as the array is.
  const last = String(path.findLast((step) => typeof step !== "number") ?? "");
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key): Problem => {
        const known = knownKeys(path);
        return { path: [...path, key], about: "key", message: `unknown key "${key}"${path.length === 0 ? "" : ` in ${tableName(path)}`}`, hint: nearest(key, known) ?? `known: ${known.join(", ")}` };
      });
    case "invalid_type": {
      const found = valueAt(root, path);
      if (found === undefined) return [{ path: path.slice(0, -1), about: "key", message: `${path.length > 1 ? tableName(path.slice(0, -1)) : "the config"} needs "${last}"`, hint: `add ${last} = …` }];
      return [{ path, about: "value", message: `"${last}" must be ${typeName(issue.expected)}${isSecret(path) ? "" : `, not ${typeof found === "string" && isTableWanted(issue.expected) ? "a text" : describe(found)}`}` }];
    }
    case "invalid_value": {
      const choices = issue.values.map((value) => JSON.stringify(value));
      const found = valueAt(root, path);
      const near = typeof found === "string" ? nearest(found, issue.values.map(String)) : undefined;
      return [{ path, about: "value", message: `"${last}" must be ${list(choices)}, not ${describe(found)}`, ...(near === undefined ? {} : { hint: near }) }];
    }
    case "too_small":
    case "too_big": {
      if (issue.message !== "" && (issue.origin === "array" || !issue.message.startsWith("Too "))) return [{ path, about: "value", message: issue.message }];
      const bound = issue.code === "too_small" ? `at least ${String(issue.minimum)}` : `at most ${String(issue.maximum)}`;
      return [{ path, about: "value", message: `"${last}" must be ${bound}, not ${describe(valueAt(root, path))}` }];
    }
    case "invalid_union": {
      const found = valueAt(root, path);
      // A table that may also be one word, true or false: what is wrong within the table.
      const within = typeof found === "object" ? issue.errors.filter((errors) => !errors.some(({ code, path: at }) => at.length === 0 && (code === "invalid_type" || code === "invalid_value"))) : [];
      if (within.length === 1) return within[0]!.flatMap((inner) => problemsOf({ ...inner, path: [...path, ...inner.path] }, root));
      if (last === "workers") return [{ path, about: "value", message: `"workers" must be "auto" or a number from 1 to 256, not ${describe(found)}` }];
      if (last.endsWith("_bytes")) return [{ path, about: "value", message: `${describe(found)} is not a size`, hint: 'write it as "64KiB", "1MiB", a number of bytes, or "off" where there may be no limit' }];
      const whole = issue.errors.flatMap((errors) => errors.filter(({ path: at }) => at.length === 0));
      // Of the right kind for one of the choices, which says more of it than that it is not the others.
      const near = whole.find(({ code }) => code !== "invalid_type" && code !== "invalid_value");
      if (near !== undefined) return problemsOf({ ...near, path }, root);
      const choices = whole.flatMap((each) => (each.code === "invalid_type" ? typeName(each.expected) : each.code === "invalid_value" ? each.values.map((value) => JSON.stringify(value)) : []));
      return [{ path, about: "value", message: `"${last}" must be ${list([...new Set(choices)])}, not ${describe(found)}` }];
    }
    case "invalid_key":
      return [{ path, about: "key", message: `"${last}": ${issue.issues[0]?.message ?? issue.message}` }];
    default:
      return [{ path, about: "value", message: issue.code === "invalid_format" && typeof issue.message === "string" ? `"${last}": ${issue.message}` : issue.message }];
  }
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const step of path) value = typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[step] : undefined;
  return value;
}

/** `upstreams.targets` as [[upstreams.targets]]. */
function tableName(path: readonly PropertyKey[]): string {
  const name = path.filter((step) => typeof step !== "number").map(String).join(".");
  return typeof path.at(-1) === "number" ? `[[${name}]]` : `[${name}]`;
}

function typeName(expected: string): string {
  const names: Readonly<Record<string, string>> = { string: "a text", number: "a number", int: "a whole number", boolean: "true or false", array: "an array", object: "a table", record: "a table" };
  return names[expected] ?? expected;
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "an array";
  if (value instanceof Date) return "a date";
  if (typeof value === "object") return "a table";
  return JSON.stringify(value) ?? "nothing";
}

function list(choices: readonly string[]): string {
  return choices.length < 2 ? choices.join("") : `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)!}`;
}
