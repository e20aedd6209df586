/** Runs a command to its end. */
import { join } from "node:path";

/** Another build of it can be put to the same tests. */
export const FAIRLEAD = process.env["FAIRLEAD_BINARY"] ?? join(import.meta.dir, "../../bin/fairlead");

export interface Ran {
  /** Exit code, or the name of the signal that ended it. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Longest that a command may take which should end by itself, in ms. */
const PATIENCE = 15_000;

/** @param command what is run; Fairlead unless said otherwise */
export async function ran(args: readonly string[], cwd: string, command: readonly string[] = [FAIRLEAD], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const child = Bun.spawn([...command, ...args], { cwd, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NO_COLOR: "1", ...env }, timeout: PATIENCE });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code: child.signalCode ?? child.exitCode ?? "unknown", stdout, stderr };
}
