/** `fairlead reload`: have the configuration file read again. */
import { type Applied, type ConfigOptions, printApplied, withConfig } from "./config-report.ts";

export async function reloadCommand(options: ConfigOptions): Promise<void> {
  await withConfig(options, options.config, async (admin) => printApplied(await admin.call<Applied>("POST", "/v1/reload"), options.json));
}
