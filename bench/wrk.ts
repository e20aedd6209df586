/** One load: wrk on core 1, its report as numbers. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Case } from "./cases.ts";

export interface Load {
  readonly requests: number;
  readonly perSecond: number;
  /** In ms. */
  readonly p50: number;
  readonly p99: number;
  /** Requests that failed: socket errors, timeouts, statuses that are not 2xx. */
  readonly errors: number;
}

const UNITS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000 };

function milliseconds(text: string | undefined): number {
  const match = /^([\d.]+)(us|ms|s|m)$/.exec(text ?? "");
  return match === null ? Number.NaN : Number(match[1]) * UNITS[match[2]!]!;
}

export async function load(what: Case, port: number, seconds: number, directory: string): Promise<Load> {
  const script: string[] = [];
  if (what.lua !== undefined) {
    const file = join(directory, `${what.name}.lua`);
    writeFileSync(file, what.lua);
    script.push("-s", file);
  }
  const child = Bun.spawn(["taskset", "-c", "1", "wrk", "-t1", `-c${what.connections}`, `-d${seconds}s`, "--latency", ...script, `${what.listener === "https" ? "https" : "http"}://127.0.0.1:${port}${what.path}`], { stdout: "pipe", stderr: "pipe" });
  const text = await new Response(child.stdout).text();
  await child.exited;
  const number = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0);
  const socketErrors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text);
  return {
    requests: number(/(\d+) requests in/),
    perSecond: number(/Requests\/sec:\s+([\d.]+)/),
    p50: milliseconds(/^\s+50%\s+(\S+)/m.exec(text)?.[1]),
    p99: milliseconds(/^\s+99%\s+(\S+)/m.exec(text)?.[1]),
    errors: number(/Non-2xx or 3xx responses: (\d+)/) + (socketErrors?.slice(1).reduce((sum, each) => sum + Number(each), 0) ?? 0),
  };
}
