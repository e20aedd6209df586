/** `fairlead check FILE`: everything that is wrong with a configuration, or one line that nothing is. */
import { formatDiagnostics, loadConfig, SlotAllocator } from "../config/load.ts";
import { CAPACITY } from "../supervisor/board.ts";
import { policyProblem } from "../supervisor/policy-check.ts";
import { selfCommand } from "./self.ts";

export async function check(file: string): Promise<void> {
  const loaded = loadConfig(file, { slots: new SlotAllocator(CAPACITY), generation: 1 });
  if (!loaded.ok) {
    process.stderr.write(formatDiagnostics(loaded.diagnostics, { color: process.stderr.isTTY === true && process.env["NO_COLOR"] === undefined }));
    process.exit(1);
  }
  const { listeners, routes, upstreams } = loaded.snapshot;
  const problem = await policyProblem(selfCommand(), loaded.snapshot);
  if (problem !== undefined) {
    process.stderr.write(`${file}: error: ${problem}\n`);
    process.exit(1);
  }
  for (const warning of loaded.warnings) process.stderr.write(`${file}: warning: ${warning}\n`);
  const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? "" : "s"}`;
  const targets = upstreams.reduce((sum, upstream) => sum + upstream.targets.length, 0);
  process.stdout.write(`${file}: good (${count(listeners.length, "listener")}, ${count(routes.length, "route")}, ${count(upstreams.length, "upstream")}, ${count(targets, "target")})\n`);
}
