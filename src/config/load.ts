/** From a file, a text or flags to a Snapshot, or to everything that is wrong with it at once. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { TomlError, parse } from "smol-toml";
import type { z } from "zod";
import { PemFiles } from "./certificates.ts";
import { compile, type CompileOptions, type ListedTargets } from "./compile.ts";
import { MAX_DEPTH, tooDeep } from "./depth.ts";
import type { Diagnostic } from "./diagnostics.ts";
import { problemsOf, valueAt } from "./issues.ts";
import { locate, syntaxDiagnostic } from "./locate.ts";
import type { Problem } from "./problem.ts";
import { configSchema } from "./schema.ts";
import { SecretFiles } from "./secret-files.ts";
import { makeSelfSigned, type SelfSigned } from "./self-signed.ts";
import type { Snapshot } from "./snapshot.ts";
import { warningsOf } from "./warnings.ts";

export { diagnosticLine, diagnosticReason, formatDiagnostics, type Diagnostic } from "./diagnostics.ts";
export { SlotAllocator } from "./slots.ts";

/** What a good config takes of the slots is committed. */
export interface LoadOptions extends Pick<CompileOptions, "slots" | "generation" | "policies" | "secret" | "joined" | "overrides"> {
  /** Gives the development certificate for these names where the config asks for it; default: one that is not kept. */
  readonly selfSigned?: (names: readonly string[]) => SelfSigned;
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
  const deep = tooDeep(value);
  if (deep !== undefined) {
    const message = `this nests more than ${MAX_DEPTH} deep`;
    return { ok: false, diagnostics: locate([{ path: deep, about: "key", message, hint: "tables of a configuration are within a few others at most" }], text, file) };
  }
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
      warnings: warningsOf(snapshot, now),
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

/** With more errors nobody mends a file in one go, and to look for further ones takes a time that grows with their square. */
const MOST_MENDED = 100;

/** What would be wrong still if the values that are wrong by themselves were right: a person mends a file once, not twice. */
function furtherProblems(value: unknown, issues: readonly z.core.$ZodIssue[], reported: readonly Problem[], options: LoadOptions, directory: string): Problem[] {
  if (reported.length > MOST_MENDED) return [];
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
