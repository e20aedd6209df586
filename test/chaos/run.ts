/** `npm run chaos`: faults on real processes under load, one after the other; `--help` says how. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import packageJson from "../../package.json";
import { FAULTS } from "./faults/index.ts";
import { play, type Played } from "./play.ts";
import { results, table, told } from "./report.ts";

const USAGE = `npm run chaos -- [options]

  --only NAME,…   these faults
  --seconds N     so long each, at least (default 15); with it reload and upgrade last no longer either
  --quick         2 s each
  --json          a line of JSON for each fault
  --write         write test/chaos/RESULTS.md
  --help          this

Faults: ${FAULTS.map(({ name }) => name).join(", ")}
Without --seconds and --quick, reload and upgrade last until there were 1,000,000 requests each.
Exit status: 0 when every bar holds, 1 when one is broken, 2 for a wrong flag.`;

const DEFAULT_SECONDS = 15;
const QUICK_SECONDS = 2;

function fail(reason: string): never {
  console.error(reason);
  process.exit(2);
}

const { values } = parseArgs({ options: { only: { type: "string" }, seconds: { type: "string" }, quick: { type: "boolean" }, json: { type: "boolean" }, write: { type: "boolean" }, help: { type: "boolean" } } });

function chosen(): typeof FAULTS {
  const names = values.only?.split(",");
  const unknown = names?.find((name) => !FAULTS.some((fault) => fault.name === name));
  if (unknown !== undefined) fail(`--only ${unknown}: there is no such fault; there are ${FAULTS.map(({ name }) => name).join(", ")}`);
  return FAULTS.filter(({ name }) => names?.includes(name) ?? true);
}

async function main(): Promise<number> {
  const quick = values.quick === true;
  const seconds = Number(values.seconds ?? (quick ? QUICK_SECONDS : DEFAULT_SECONDS));
  if (!(seconds > 0)) fail(`--seconds ${values.seconds}: a number above 0 is wanted`);
  const requests = quick || values.seconds !== undefined ? 0 : Infinity;
  const all: Played[] = [];
  for (const fault of chosen()) {
    const played = await play(fault, { seconds, quick, requests });
    all.push(played);
    if (values.json === true) console.log(JSON.stringify({ ...played, fault: { name: fault.name, what: fault.what, bar: fault.bar } }));
    else console.log(`${told(played)}\n`);
  }
  if (values.json !== true) console.log(table(all));
  if (values.write === true) await Bun.write(join(import.meta.dir, "RESULTS.md"), results(all, `Fairlead ${packageJson.version}`));
  return all.every(({ good }) => good) ? 0 : 1;
}

// What was started ends with us: each has been noted where it was started.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130));

if (values.help === true) console.log(USAGE);
else process.exit(await main());
