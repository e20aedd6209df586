/**
 * The command check: a program of the user's; exit code 0 passes. It runs without a shell, finds the target in FAIRLEAD_TARGET, FAIRLEAD_HOST
 * and FAIRLEAD_PORT, and is killed with all that it started when its time is up.
 */
import { spawn } from "node:child_process";
import type { HealthCheckConfig, TargetConfig } from "../config/snapshot.ts";
import { signalGroup } from "../net/process-group.ts";
import { OUR_SHORTAGES } from "../observability/cause.ts";
import { checkAddress, type CheckContext, type CheckKind, failed, formatDuration, inconclusive, passed, type Verdict } from "./check.ts";

/** Of what it prints, so much is kept to tell why it failed. */
const MAX_OUTPUT = 1_024;
const MAX_REASON = 120;
/** How long that is waited for after its end, in ms. */
const OUTPUT_PATIENCE = 100;
export const commandCheck: CheckKind = {
  name: "command",
  prepare(target, config) {
    const environment = environmentOf(target, config);
    return { run: (context, done) => run(config, environment, context, done) };
  },
};

function environmentOf(target: TargetConfig, config: HealthCheckConfig): Readonly<Record<string, string>> {
  const address = checkAddress(target, config);
  const place = address.kind === "tcp" ? { FAIRLEAD_HOST: address.host, FAIRLEAD_PORT: String(address.port) } : { FAIRLEAD_HOST: address.path, FAIRLEAD_PORT: "" };
  return { FAIRLEAD_TARGET: target.name, ...place };
}

function run({ command, timeout }: HealthCheckConfig, environment: Readonly<Record<string, string>>, { network, starter }: CheckContext, done: (verdict: Verdict) => void): () => void {
  const [program = "", ...args] = [...(starter?.() ?? []), ...command];
  // A group of its own, so that all of it can be ended.
  const child = spawn(program, args, { detached: true, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...environment } });
  const output = { stdout: "", stderr: "" };
  let over = false;
  const kill = (): void => signalGroup(child.pid, "SIGKILL");
  const settle = (verdict: Verdict): void => {
    if (over) return;
    over = true;
    cancelTimer();
    done(verdict);
  };
  const cancelTimer = network.clock.after(timeout, () => {
    kill();
    settle(failed(`timeout after ${formatDuration(timeout)}`));
  });
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (chunk: Buffer) => {
      if (output[name].length < MAX_OUTPUT) output[name] += chunk.toString("utf8");
    });
  }
  child.on("error", (error: NodeJS.ErrnoException) => {
    const reason = `cannot run ${program}: ${error.code ?? error.message}`;
    settle(OUR_SHORTAGES.has(error.code ?? "") ? inconclusive(reason) : failed(reason));
  });
  child.on("exit", (code, signal) => {
    if (code === 0) return settle(passed("exit code 0"));
    const tell = (): void => settle(failed([code === null ? `killed by ${signal}` : `exit code ${code}`, firstLine(output.stderr) || firstLine(output.stdout)].filter((part) => part !== "").join(": ")));
    // What it printed last may still be on its way; what it left running may hold its output open for ever.
    child.on("close", tell);
    network.clock.after(OUTPUT_PATIENCE, tell);
  });
  return () => {
    over = true;
    cancelTimer();
    kill();
  };
}

function firstLine(output: string): string {
  return (output.trim().split("\n", 1)[0] ?? "").replace(/[^\P{Cc}\t]/gu, " ").slice(0, MAX_REASON);
}
