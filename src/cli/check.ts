/** `fairlead check FILE`: everything that is wrong with a configuration, or one line that nothing is. */
import { formatDiagnostics, loadConfig, SlotAllocator } from "../config/load.ts";
import { loadPolicyModule } from "../policies/module.ts";
import { CAPACITY } from "../supervisor/board.ts";

export async function check(file: string): Promise<void> {
  const loaded = loadConfig(file, { slots: new SlotAllocator(CAPACITY), generation: 1 });
  if (!loaded.ok) {
    process.stderr.write(formatDiagnostics(loaded.diagnostics, { color: process.stderr.isTTY === true && process.env["NO_COLOR"] === undefined }));
    process.exit(1);
  }
  const { listeners, routes, upstreams } = loaded.snapshot;
  for (const { policy } of upstreams) {
    if (policy.kind !== "module") continue;
    try {
      await loadPolicyModule(policy.path, policy.version);
    } catch (error) {
      process.stderr.write(`${file}: error: ${(error as Error).message}\n`);
      process.exit(1);
    }
  }
  for (const warning of loaded.warnings) process.stderr.write(`${file}: warning: ${warning}\n`);
  const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? "" : "s"}`;
  const targets = upstreams.reduce((sum, upstream) => sum + upstream.targets.length, 0);
  process.stdout.write(`${file}: good (${count(listeners.length, "listener")}, ${count(routes.length, "route")}, ${count(upstreams.length, "upstream")}, ${count(targets, "target")})\n`);
  // A policy may hold timers of its own.
  process.exit(0);
}
