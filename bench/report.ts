/** The table, on a terminal and in RESULTS.md. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";

export interface Row {
  readonly title: string;
  readonly peer: string;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  /** CPU µs a request. */
  readonly cpu: number;
  /** Peak memory, MiB. */
  readonly peak: number;
  readonly errors: number;
}

export interface IdleRow {
  readonly peer: string;
  readonly bytes: number;
}

const BEGIN = "<!-- where the time goes: written by hand, kept by the benchmark -->";
const END = "<!-- end -->";

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Not every load generator tells latencies. */
function milliseconds(value: number): string {
  return Number.isNaN(value) ? "–" : value.toFixed(2);
}

export function table(rows: readonly Row[], idle: readonly IdleRow[], held: readonly IdleRow[] = []): string {
  const lines = ["| case | | requests/s | p50 ms | p99 ms | CPU µs/request | peak MiB | CPU ÷ best peer | p99 ÷ best peer |", "|---|---|--:|--:|--:|--:|--:|--:|--:|"];
  for (const title of new Set(rows.map((row) => row.title))) {
    const group = rows.filter((row) => row.title === title);
    const peers = group.filter(({ peer }) => peer !== "Fairlead");
    const [cpu, p99] = [Math.min(...peers.map((row) => row.cpu)), Math.min(...peers.map((row) => row.p99))];
    for (const [index, row] of group.entries()) {
      const ours = row.peer === "Fairlead" && peers.length > 0;
      const errors = row.errors > 0 ? ` (${row.errors} errors)` : "";
      lines.push(
        `| ${index === 0 ? title : ""} | ${row.peer}${errors} | ${row.perSecond.toFixed(0)} | ${milliseconds(row.p50)} | ${milliseconds(row.p99)} | ${row.cpu.toFixed(1)} | ${row.peak.toFixed(0)} | ${ours ? `**${(row.cpu / cpu).toFixed(2)}**` : ""} | ${ours ? milliseconds(row.p99 / p99) : ""} |`,
      );
    }
  }
  if (idle.length > 0) lines.push("", "| 10,000 idle keep-alive clients | KiB a client |", "|---|--:|", ...idle.map(({ peer, bytes }) => `| ${peer} | ${(bytes / 1024).toFixed(2)} |`));
  if (held.length > 0) lines.push("", "| 1,000 HTTP/2 clients × 100 streams that wait | KiB a stream |", "|---|--:|", ...held.map(({ peer, bytes }) => `| ${peer} | ${(bytes / 1024).toFixed(2)} |`));
  return lines.join("\n");
}

/** @param versions of the contestants */
export function writeResults(text: string, command: string, versions: readonly string[]): void {
  const file = join(import.meta.dir, "RESULTS.md");
  const before = existsSync(file) ? readFileSync(file, "utf8") : "";
  const prose = before.includes(BEGIN) ? before.slice(before.indexOf(BEGIN) + BEGIN.length, before.indexOf(END)).trim() : "";
  writeFileSync(
    file,
    `# Results

Made by \`${command}\`: each contestant alone on one core, the load generator and the back ends on another, medians of interleaved rounds.
The machine is shared, so requests per second and latencies swing; CPU per request, and ratios within one run, are the figures to trust.

${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${cpus().length} cores, Linux ${release()}; ${versions.join("; ")}.

${text}

## Where the time goes

${BEGIN}
${prose}
${END}
`,
  );
}
