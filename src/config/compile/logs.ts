/** [log] and [access_log]: what they say, and what of it does not fit. */
import { accessSync, constants } from "node:fs";
import { dirname, resolve } from "node:path";
import { type AccessFormat, FORMATS, type FormatProblem, templateProblem } from "../../observability/access/format.ts";
import { JSON_FIELDS, VARIABLES, variableProblem } from "../../observability/access/variables.ts";
import { STANDARD } from "../../observability/line-file.ts";
import type { Problem } from "../problem.ts";
import type { RawAccessLog, RawConfig } from "../schema.ts";
import type { AccessLogConfig, Snapshot } from "../snapshot.ts";
import { statOf } from "../stat.ts";
import { nearest } from "../suggestion.ts";

const BUFFER = 64 * 1024;
const FLUSH = 100;
const KEEP = 5;

export function checkLogs({ log, access_log: access }: RawConfig, directory: string, problems: Problem[]): void {
  if (log?.path !== undefined) checkFile(log.path, ["log", "path"], directory, problems);
  if (access === undefined) return;
  const at = ["access_log"];
  if (log?.access === false) problems.push({ path: ["log", "access"], about: "value", message: "there is an [access_log]: that turns it on", hint: "leave one of the two out" });
  const { format = "json", fields, path = "stderr", rotate_size: rotate = 0, keep } = access;
  if (!Object.hasOwn(FORMATS, format)) checkTemplate(format, problems);
  if (fields !== undefined && format !== "json") problems.push({ path: [...at, "fields"], about: "key", message: 'fields goes with format = "json"', hint: "a format string names its variables itself" });
  for (const [index, name] of (fields ?? []).entries()) {
    const message = variableProblem(name);
    if (message !== undefined) problems.push({ path: [...at, "fields", index], about: "value", message: message.replace("variable $", "field "), ...hintFor(name) });
    else if (fields!.indexOf(name) < index) problems.push({ path: [...at, "fields", index], about: "value", message: `"${name}" is there already` });
  }
  if (keep !== undefined && rotate === 0) problems.push({ path: [...at, "keep"], about: "key", message: "keep goes with rotate_size", hint: 'set rotate_size = "100MiB", or leave it out' });
  if (!STANDARD.has(path)) checkFile(path, [...at, "path"], directory, problems);
  else if (rotate > 0) problems.push({ path: [...at, "rotate_size"], about: "key", message: `${path} is no file`, hint: "set path to a file, or leave rotate_size out" });
}

function checkTemplate(format: string, problems: Problem[]): void {
  const path = ["access_log", "format"];
  if (!format.includes("$")) {
    problems.push({ path, about: "value", message: `there is no format "${format}"`, hint: nearest(format, Object.keys(FORMATS)) ?? 'known: json, common, combined, or a string with variables, as "$remote_addr $status"' });
    return;
  }
  const problem: FormatProblem | undefined = templateProblem(format);
  if (problem !== undefined) problems.push({ path, about: "value", message: problem.message, ...(problem.name === undefined ? {} : hintFor(problem.name)) });
}

/** What is near, or what there is instead. */
function hintFor(name: string): { readonly hint: string } {
  if (/^(sent|upstream|trailer)_http_|^sent_|^upstream_cookie_/.test(name)) return { hint: "headers of requests are known, as $http_user_agent; those of replies are not" };
  if (name.startsWith("http_")) return { hint: "leave it out" };
  return { hint: nearest(name, Object.keys(VARIABLES)) ?? "known: $remote_addr, $time_local, $request, $status, $target, $request_time, $http_user_agent, …" };
}

/** Workers make it; where they cannot, that is known now. */
function checkFile(path: string, at: readonly string[], directory: string, problems: Problem[]): void {
  const file = resolve(directory, path);
  const wrong = (message: string, hint: string): void => void problems.push({ path: at, about: "value", message, hint });
  const folder = dirname(file);
  const stats = statOf(file);
  const around = statOf(folder);
  if (typeof stats === "string") wrong(`${file} cannot be opened: ${stats}`, "name another file");
  else if (typeof around !== "object" || !around.isDirectory()) wrong(`no directory ${folder}`, "make it, or name another; a path is relative to the config file");
  else if (stats?.isDirectory() === true) wrong(`${file} is a directory`, "name a file in it");
  else if (!isWritable(stats === undefined ? folder : file)) wrong(`no permission to write ${file}`, "let Fairlead's user write there, or name another file");
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

export function logsOf({ log, access_log: access }: RawConfig, directory: string): Pick<Snapshot, "log" | "accessLog"> {
  const { level = "info", modules = {}, path } = log ?? {};
  const raw = access ?? (log?.access === true ? {} : undefined);
  return {
    log: { level, modules, ...(path === undefined ? {} : { path: resolve(directory, path) }) },
    ...(raw === undefined ? {} : { accessLog: accessLogOf(raw, access === undefined ? undefined : formatOf(raw), directory) }),
  };
}

function formatOf({ format = "json", fields }: RawAccessLog): AccessFormat {
  if (format === "json") return { kind: "json", fields: fields ?? JSON_FIELDS };
  return Object.hasOwn(FORMATS, format) ? FORMATS[format]! : { kind: "template", template: format };
}

/** @param format undefined: as the service log */
function accessLogOf(raw: RawAccessLog, format: AccessFormat | undefined, directory: string): AccessLogConfig {
  const { path = "stderr", sample = 1, sample_errors: sampleErrors = true, buffer = BUFFER, flush = FLUSH, rotate_size: rotateSize = 0, keep = KEEP } = raw;
  return { ...(format === undefined ? {} : { format }), path: STANDARD.has(path) ? path : resolve(directory, path), sample, sampleErrors, buffer, flush, rotateSize, keep };
}
