/** `npm run fuzz`: every parser that strangers can reach, for so many seconds. `--help` says how. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { FOUND, nameOf } from "./found.ts";
import { hunt } from "./hunt.ts";
import { fuzzers } from "./targets/index.ts";

const names = fuzzers.map(({ name }) => name);
const HELP = `npm run fuzz -- [options]
  --seconds N   in all, spread evenly (default 60)
  --only a,b    of ${names.join(", ")}
  --seed S      of chance (default: any; each run says its own)
What is found is shrunk and written to test/fuzz/found/, where npm test plays it from then on. Ends with 1 when something was found.`;

const { values: options } = parseArgs({ options: { seconds: { type: "string", default: "60" }, only: { type: "string" }, seed: { type: "string" }, help: { type: "boolean" } } });
if (options.help === true) {
  console.log(HELP);
  process.exit(0);
}
const seconds = Number(options.seconds);
const only = options.only?.split(",") ?? names;
const unknown = only.filter((name) => !names.includes(name));
const seed = options.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(options.seed);
if (unknown.length > 0 || !(seconds > 0) || !Number.isInteger(seed)) {
  console.error(`${unknown.length > 0 ? `no fuzzer is called ${unknown.join(", ")}` : "--seconds is a number above 0, --seed a whole one"}\n${HELP}`);
  process.exit(2);
}

const chosen = fuzzers.filter(({ name }) => only.includes(name));
let found = 0;
for (const fuzzer of chosen) {
  const { runs, outcomes, finding } = hunt(fuzzer, { seed, milliseconds: (seconds * 1000) / chosen.length });
  console.log(`${fuzzer.name}: ${runs} inputs, ${outcomes} different outcomes${finding === undefined ? "" : ", and a finding"} (seed ${seed})`);
  if (finding === undefined) continue;
  found++;
  mkdirSync(FOUND, { recursive: true });
  const file = join(FOUND, nameOf(finding));
  await Bun.write(file, `${JSON.stringify({ fuzzer: finding.fuzzer, what: finding.what.split("\n", 1)[0], input: finding.input.toString("latin1") }, undefined, 2)}\n`);
  console.error(`${finding.what}\nwritten to ${file}`);
}
process.exit(found === 0 ? 0 : 1);
