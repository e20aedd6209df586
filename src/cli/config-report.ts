/** What the admin address says of configurations, as text. */
import type { ConfigError, ConfigReport, DiffReport } from "../admin/config.ts";
import { type AdminClient, type AdminOptions, AdminRefused, withAdmin, json as asJson } from "./admin-client.ts";
import { type Paint, paintFor } from "./paint.ts";

export interface ConfigOptions extends AdminOptions {
  readonly json?: boolean;
}

export type Applied = ConfigReport & { readonly diff: DiffReport };

/** As withAdmin; a configuration that is not valid is refused with all that is wrong with it. @param where what the errors' lines are of */
export async function withConfig(options: ConfigOptions, where: string, action: (admin: AdminClient) => Promise<void>): Promise<void> {
  await withAdmin(options, async (admin) => {
    try {
      await action(admin);
    } catch (error) {
      if (error instanceof AdminRefused && error.errors.length > 0) throw new AdminRefused(["the configuration is not valid, and nothing has changed", ...errorLines(error.errors as readonly ConfigError[], where)].join("\n"), error.status);
      throw error;
    }
  });
}

export function errorLines(errors: readonly Partial<ConfigError>[], where: string): string[] {
  return errors.map(({ line, column, message, hint }) => `  ${where}${line === null || line === undefined ? "" : `:${line}:${column ?? 1}`}: ${message}${hint === null || hint === undefined ? "" : ` (${hint})`}`);
}

function diffLines({ changed, summary, words, applies, listeners, routes, upstreams }: DiffReport, paint: Paint): string[] {
  if (!changed) return ["nothing would change"];
  const touched = [...listeners.removed, ...listeners.changed, ...routes.removed, ...routes.changed, ...upstreams.removed, ...upstreams.changed];
  const sum = (key: "open_clients" | "open_requests"): number => Math.max(0, ...touched.map((one) => one[key] ?? 0));
  const [clients, requests] = [sum("open_clients"), sum("open_requests")];
  return [
    `${paint("bold", summary)} (${applies === "in_place" ? "workers go on as they are" : "new workers take over, the old ones drain"})`,
    ...words.map((word) => `  ${word}`),
    ...(clients + requests === 0 ? [] : [paint("yellow", `touches up to ${clients} open clients and ${requests} open requests`)]),
  ];
}

export function print(lines: readonly string[]): void {
  process.stdout.write(`${lines.join("\n")}\n`);
}

export function printDiff(diff: DiffReport, json: boolean | undefined): void {
  print(json === true ? [asJson(diff, 2)] : diffLines(diff, paintFor(process.stdout)));
}

/** What is in force now. */
export function printApplied({ generation, diff, ...report }: Applied, json: boolean | undefined): void {
  if (json === true) return print([asJson({ generation, ...report, diff }, 2)]);
  print([`generation ${generation} is in force on all workers${diff.changed ? "" : ": it says the same as before"}`, ...(diff.changed ? diffLines(diff, paintFor(process.stdout)) : [])]);
}
