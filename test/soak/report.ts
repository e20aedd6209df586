/** What is shown of a soak: lines while it goes on, a table, and RESULTS.md. */
import { cpus, release } from "node:os";
import packageJson from "../../package.json";
import type { Finding } from "./findings.ts";
import type { Outcome, Progress } from "./soak.ts";

const MIB = 1024 * 1024;

export function progressLine({ seconds, of, told, recorder }: Progress): string {
  const counts = Object.values(told.counts);
  const sum = (key: "begun" | "failed"): number => counts.reduce((all, one) => all + one[key], 0);
  const processes = [...recorder.processes.values()].map(({ name, series }) => `${name} ${((series.resident.at(-1)?.value ?? 0) / MIB).toFixed(0)} MiB, ${series.descriptors.at(-1)?.value ?? 0} fds`);
  return `${seconds.toFixed(0).padStart(5)} of ${of.toFixed(0)} s: ${sum("begun")} exchanges, ${sum("failed")} failed, ${told.open} open; ${processes.length === 0 ? "warming up" : processes.join("; ")}`;
}

const HEADINGS = ["process", "what", "start", "end", "an hour (95 %)", "allowed", "verdict", "because"] as const;

function cells({ process: of, what, start, end, slope, allowed, said, note }: Finding): string[] {
  return [of, what, start, end, slope, allowed, said, note];
}

export function table({ findings }: Outcome): string {
  const rows = [[...HEADINGS], ...findings.map(cells)];
  const widths = HEADINGS.slice(0, -1).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()).join("\n");
}

function markdown(rows: readonly (readonly string[])[]): string {
  return rows.map((row) => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`).join("\n");
}

/** RESULTS.md. */
export function results(outcome: Outcome, { minutes, rate, seed }: { readonly minutes: number; readonly rate: number; readonly seed: number }): string {
  const { told, deeds, findings } = outcome;
  const kinds = Object.entries(told.counts).map(([kind, { begun, well, failed }]) => [kind, String(begun), String(well), String(failed)]);
  const broken = findings.filter(({ said }) => said === "BROKEN").length;
  const unclear = findings.filter(({ said }) => said === "unclear").length;
  return `# Soak

\`npm run soak -- --minutes ${minutes} --rate ${rate} --seed ${seed} --write\`, ${new Date().toISOString().slice(0, 10)}: Fairlead ${packageJson.version} on Bun ${Bun.version}, two workers; ${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores, Linux ${release()}, with
clients and targets on the same cores. ${broken === 0 ? "Nothing is broken" : `${broken} broken`}${unclear === 0 ? "" : `, ${unclear} unclear`}. What each row means, and what "unclear" does: [docs/soak.md](../../docs/soak.md).

${markdown([HEADINGS, HEADINGS.map(() => "---"), ...findings.map(cells)])}

## What clients did

${markdown([["kind", "begun", "went well", "failed"], ["---", "--:", "--:", "--:"], ...kinds])}

## What was done to it meanwhile

${[...deeds].map(([name, count]) => `${name} (${count})`).join(", ")}.
`;
}
