/** The table: what was done, how many requests there were, how many of them failed and why they may have. */
import { cpus, release } from "node:os";
import { describe } from "./judge.ts";
import type { Failure } from "./load/plan.ts";
import type { Played } from "./play.ts";

/** Violations that are told one by one. */
const TOLD = 10;

export function verdict({ fault, good, judgement, requests }: Played): string {
  if (good) return requests < (fault.requests ?? 0) ? "holds, for fewer requests" : "holds";
  return judgement.wrong > 0 ? "BROKEN: wrong replies" : "BROKEN";
}

function allowed({ judgement, failed }: Played): string {
  if (judgement.allowed.length === 0) return failed === 0 ? "none" : "none are";
  return judgement.allowed.map(({ why, used, most }) => `${used}${Number.isFinite(most) ? ` (of at most ${most})` : ""} ${why}`).join("; ");
}

/** Under its name a fault is one line; what is broken follows. */
export function told(played: Played): string {
  const { fault, times, seconds, requests, failed, resent, judgement, notes } = played;
  const { violations, complaints } = judgement;
  const lines = [
    `${fault.name}: ${fault.what}`,
    `  ${times} times in ${seconds.toFixed(0)} s; ${requests} requests, ${failed} failed${resent > 0 ? `, ${resent} sent again by HTTP/2's rules` : ""}`,
    `  allowed: ${allowed(played)}`,
    ...notes.map((note) => `  ${note}`),
    `  ${verdict(played)}: ${fault.bar}`,
    ...complaints.map((complaint) => `    ${complaint}`),
    ...kinds(violations).map((kind) => `    ${kind}`),
    ...violations.slice(0, TOLD).map((failure) => `    ${describe(failure)}`),
    ...(violations.length > TOLD ? [`    and ${violations.length - TOLD} more`] : []),
  ];
  return lines.join("\n");
}

/** What they have in common, in the order in which it came. */
function kinds(violations: readonly Failure[]): string[] {
  const counts = new Map<string, number>();
  for (const { kind, lane, answeredBefore, ended } of violations.toSorted((one, other) => one.ended - other.ended)) {
    const text = `${new Date(ended).toISOString().slice(11, 19)} ${lane}: ${kind}, on ${answeredBefore === 0 ? "new connections" : "connections in use"}`;
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return [...counts].slice(0, TOLD).map(([text, count]) => `${count} at ${text}`);
}

function row(cells: readonly (string | number)[]): string {
  return `| ${cells.join(" | ")} |\n`;
}

function milliseconds(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

export function table(all: readonly Played[]): string {
  const rows = all.map((played) => {
    const { fault, times, requests, failed, resent, lanes } = played;
    const open = lanes.find(({ name }) => name === "open");
    return row([fault.what, times, requests, failed, allowed(played), resent, open === undefined ? "–" : `${milliseconds(open.latency[1])} / ${milliseconds(open.latency[3])}`, verdict(played), fault.bar]);
  });
  return row(["fault", "times", "requests", "failed", "allowed, and why", "sent again", "open loop: p99 / longest, ms", "verdict", "the bar"]) + row(["---", "--:", "--:", "--:", "---", "--:", "--:", "---", "---"]) + rows.join("");
}

export function results(all: readonly Played[], version: string): string {
  const seconds = all.reduce((sum, played) => sum + played.seconds, 0);
  return `# Chaos on real processes

\`npm run chaos -- --write\`, ${new Date().toISOString().slice(0, 10)}: ${version} on Bun ${Bun.version}; ${cpus()[0]?.model ?? "processor unknown"}, ${cpus().length} cores, Linux ${release()}; ${Math.round(seconds)} s under load.
Back ends, Fairlead and load generators share those cores. [What is done and why](../../docs/chaos.md).

${table(all)}
"sent again": requests of HTTP/2 of which the server had said that it has done nothing with them (RFC 9113 section 8.7); clients send those once more. "open loop": requests that are due at a fixed
rate, with the time that they waited for what was before them.
`;
}
