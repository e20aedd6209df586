/** Full TLS handshakes: `openssl s_time` on core 1, each client one connection after the other with one request on it. */
import type { Case } from "./cases.ts";
import type { Load } from "./wrk.ts";

export async function fullHandshakes(what: Case, port: number, seconds: number): Promise<Load> {
  const command = ["taskset", "-c", "1", "openssl", "s_time", "-new", "-connect", `127.0.0.1:${port}`, "-time", String(seconds), "-www", what.path];
  const runs = Array.from({ length: what.connections }, async () => {
    const child = Bun.spawn(command, { stdout: "pipe", stderr: "ignore" });
    const text = await new Response(child.stdout).text();
    await child.exited;
    return Number(/(\d+) connections in \d+ real seconds/.exec(text)?.[1] ?? 0);
  });
  const counts = await Promise.all(runs);
  const requests = counts.reduce((sum, each) => sum + each, 0);
  // It says nothing of latency, and ends at the first error.
  return { requests, perSecond: requests / seconds, p50: Number.NaN, p99: Number.NaN, errors: counts.filter((count) => count === 0).length };
}
