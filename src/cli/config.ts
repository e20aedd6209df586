/** `fairlead config show | diff | put`: what runs, what another configuration would change, and another one in its place. */
import { readFileSync } from "node:fs";
import type { ConfigReport, DiffReport } from "../admin/config.ts";
import { moment } from "../view/format.ts";
import { AdminRefused, json as asJson } from "./admin-client.ts";
import { type Applied, type ConfigOptions, errorLines, print, printApplied, printDiff, withConfig } from "./config-report.ts";
import { paintFor } from "./paint.ts";

export async function configShowCommand(options: ConfigOptions): Promise<void> {
  await withConfig(options, options.config, async (admin) => {
    const report = await admin.call<ConfigReport & { readonly config: unknown }>("GET", "/v1/config");
    if (options.json === true) return print([asJson(report, 2)]);
    const { generation, source, file, applied, rejected } = report;
    const paint = paintFor(process.stdout);
    print([
      `generation ${generation}, applied ${moment(applied.at)} by ${applied.by}: ${applied.summary}`,
      ...(source === "api" ? [paint("yellow", "it came over the API and is in no file: the next reload ends it")] : []),
      ...(file === null ? [] : [fileLine(file, paint("bold", file.path))]),
      ...(rejected === null ? [] : [paint("red", `rejected ${moment(rejected.at)} by ${rejected.by}, and not in force:`), ...errorLines(rejected.errors, rejected.source === "api" ? "what was sent" : (file?.path ?? "the configuration"))]),
    ]);
  });
}

function fileLine({ changed, since, problem }: NonNullable<ConfigReport["file"]>, path: string): string {
  if (problem !== null) return `${path}: ${problem}`;
  return changed ? `${path} differs from what runs${since === null ? "" : ` since ${moment(since)}`}: fairlead config diff says how` : `${path} is what runs`;
}

/** @param file undefined: the one that Fairlead was started with, as it is now */
export async function configDiffCommand(file: string | undefined, options: ConfigOptions): Promise<void> {
  await withConfig(options, file ?? options.config, async (admin) => {
    printDiff(file === undefined ? await admin.call<DiffReport>("GET", "/v1/config/diff") : await admin.call<DiffReport>("POST", "/v1/config/diff", read(file)), options.json);
  });
}

export interface ConfigPutOptions extends ConfigOptions {
  readonly dryRun?: boolean;
  readonly persist?: boolean;
}

export async function configPutCommand(file: string, options: ConfigPutOptions): Promise<void> {
  await withConfig(options, file, async (admin) => {
    const text = read(file);
    if (options.dryRun === true) return printDiff((await admin.call<{ readonly diff: DiffReport }>("PUT", "/v1/config?dry_run=true", text)).diff, options.json);
    printApplied(await admin.call<Applied>("PUT", `/v1/config${options.persist === true ? "?persist=true" : ""}`, text), options.json);
  });
}

/** "-" is standard input. */
function read(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new AdminRefused(`${file} cannot be read: ${(error as Error).message}`);
  }
}
