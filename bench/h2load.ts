/** One load over HTTP/2, or over HTTP/1.1 with as many requests under way: h2load on core 1. */
import type { Case } from "./cases.ts";
import type { Load } from "./wrk.ts";

export async function h2load(what: Case, port: number, seconds: number): Promise<Load> {
  const streams = what.streams ?? 0;
  const scheme = what.listener === "https" ? "https" : "http";
  const child = Bun.spawn(
    ["taskset", "-c", "1", "h2load", ...(streams === 0 ? ["--h1"] : ["-m", String(streams)]), "-c", String(what.connections), "-D", String(seconds), "-T", "10", `${scheme}://127.0.0.1:${port}${what.path}`],
    { stdout: "pipe", stderr: "ignore" },
  );
  const text = await new Response(child.stdout).text();
  await child.exited;
  const number = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0);
  return {
    requests: number(/(\d+) succeeded/),
    perSecond: number(/, ([\d.]+) req\/s/),
    // It says the mean and the deviation only.
    p50: Number.NaN,
    p99: Number.NaN,
    errors: number(/(\d+) failed/) + number(/(\d+) errored/),
  };
}
