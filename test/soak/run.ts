/** `npm run soak`: mixed traffic with churn through the real program, and a verdict on what it leaves behind. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { progressLine, results, table } from "./report.ts";
import { type Outcome, soak } from "./soak.ts";

const USAGE = `npm run soak -- [--minutes N] [--rate N] [--seed S] [--json] [--write]

  --minutes N   how long the load lasts, the warm-up included (default 10; judged by slopes from 2 on)
  --rate N      exchanges begun in a second (default 150)
  --seed S      which traffic (default 1)
  --json        what was found as JSON on standard output
  --write       what was found into test/soak/RESULTS.md

Exit status: 0 when nothing is broken, 1 when something is, 2 for a wrong flag.`;
/** Between two lines of progress, in seconds. */
const TELL = 10;
const MOST_MINUTES = 7 * 24 * 60;

function wrong(problem: string): never {
  console.error(`${problem}\n\n${USAGE}`);
  process.exit(2);
}

function options(): { readonly minutes: number; readonly rate: number; readonly seed: number; readonly json: boolean; readonly write: boolean } {
  try {
    const { values } = parseArgs({ options: { minutes: { type: "string" }, rate: { type: "string" }, seed: { type: "string" }, json: { type: "boolean" }, write: { type: "boolean" }, help: { type: "boolean" } } });
    if (values.help === true) {
      console.log(USAGE);
      process.exit(0);
    }
    const number = (name: "minutes" | "rate" | "seed", otherwise: number, least: number, most: number): number => {
      const value = Number(values[name] ?? otherwise);
      return value >= least && value <= most && (name === "minutes" || Number.isInteger(value)) ? value : wrong(`--${name} ${values[name]}: a number from ${least} to ${most} is wanted`);
    };
    return { minutes: number("minutes", 10, 0.1, MOST_MINUTES), rate: number("rate", 150, 1, 100_000), seed: number("seed", 1, 0, 2 ** 30), json: values.json === true, write: values.write === true };
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error));
  }
}

const { minutes, rate, seed, json, write } = options();
let told = 0;
const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interrupted.abort());
let outcome: Outcome;
try {
  outcome = await soak(
    {
      seconds: minutes * 60,
      rate,
      seed,
      progress: (now) => {
        if (now.seconds < told) return;
        told += TELL;
        console.error(progressLine(now));
      },
    },
    interrupted.signal,
  );
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
console.log(json ? JSON.stringify({ findings: outcome.findings, counts: outcome.told.counts, reasons: outcome.told.reasons, changes: Object.fromEntries(outcome.deeds) }, undefined, 2) : table(outcome));
if (write) writeFileSync(join(import.meta.dir, "RESULTS.md"), results(outcome, { minutes, rate, seed }));
const broken = outcome.findings.filter(({ said }) => said === "BROKEN");
if (broken.length > 0) console.error(`BROKEN: ${broken.map(({ process: of, what }) => `${of}: ${what}`).join("; ")}\n${outcome.log.join("\n")}`);
process.exit(broken.length === 0 ? 0 : 1);
