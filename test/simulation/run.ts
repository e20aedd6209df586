/** `npm run simulate:faults`: worlds from seeds, on all cores; the first that breaks an invariant is told with its seed and what led to it. */
import { parseArgs } from "node:util";
import { type Broken, playMany } from "./crew.ts";
import { type Result, runSeed } from "./play.ts";

/** Lines of the trace that a failure is told with. */
const TOLD = 40;
const USAGE = `npm run simulate:faults -- [--seeds N] [--from S] [--keep] | --seed S [--trace] [--shrink]

  --seeds N   so many worlds (default 1000)
  --from S    the first one's seed (default 1)
  --keep      go on after a failure
  --seed S    this world only
  --trace     all that happened in it
  --shrink    leave out faults that it fails without`;

const { values } = parseArgs({
  options: { seeds: { type: "string" }, from: { type: "string" }, seed: { type: "string" }, trace: { type: "boolean" }, shrink: { type: "boolean" }, keep: { type: "boolean" }, help: { type: "boolean" } },
});

function number(name: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  console.error(`--${name} ${text}: a whole number is wanted`);
  process.exit(2);
}

function tell({ seed, failure, hash, events, time, requests, answered, faults, trace }: Result, all: boolean): void {
  for (const line of all ? trace : trace.slice(-TOLD)) console.log(line);
  for (const fault of faults) console.log(`fault at ${fault.at.toFixed(1)} ms: ${fault.kind} (${fault.whom.toFixed(3)}, ${fault.time.toFixed(0)} ms)`);
  console.log(`seed ${seed}: ${events} events in ${time.toFixed(0)} virtual ms, ${answered} of ${requests} requests answered, hash ${hash.toString(16).padStart(8, "0")}`);
  if (failure !== undefined) console.log(`BROKEN: ${failure.invariant}\n  ${failure.detail}\nreplay: npm run simulate:faults -- --seed ${seed} --trace`);
}

/** Faults without which it fails in the same way are left out, one after the other. */
function shrink(seed: number): Result {
  let result = runSeed(seed);
  const invariant = result.failure?.invariant;
  const faults = new Set(result.faults.keys());
  if (invariant === undefined) return result;
  for (const index of result.faults.keys()) {
    faults.delete(index);
    const without = runSeed(seed, { faults });
    if (without.failure?.invariant === invariant) result = without;
    else faults.add(index);
  }
  return { ...runSeed(seed, { faults, trace: true }), faults: result.faults.filter((_, index) => faults.has(index)) };
}

function one(seed: number): void {
  const result = values.shrink === true ? shrink(seed) : runSeed(seed, { trace: true });
  tell(result, values.trace === true);
  process.exit(result.failure === undefined ? 0 : 1);
}

async function many(from: number, count: number): Promise<void> {
  const began = performance.now();
  const failures: Broken[] = [];
  const { requests, answered, events } = await playMany(from, count, (broken) => {
    failures.push(broken);
    if (values.keep === true) console.log(`seed ${broken.seed}: ${broken.failure.invariant}: ${broken.failure.detail.split("\n", 1)[0]}`);
    return values.keep !== true;
  });
  const [first] = failures.toSorted((a, b) => a.seed - b.seed);
  if (first !== undefined && values.keep !== true) {
    tell(runSeed(first.seed, { trace: true }), false);
    process.exit(1);
  }
  const seconds = (performance.now() - began) / 1000;
  console.log(`${count} seeds from ${from}: ${failures.length} failed; ${answered} of ${requests} requests answered by back ends, ${events} events, ${(count / seconds).toFixed(0)} seeds/s`);
  process.exit(failures.length === 0 ? 0 : 1);
}

if (values.help === true) console.log(USAGE);
else if (values.seed !== undefined) one(number("seed", values.seed, 0));
else await many(number("from", values.from, 1), number("seeds", values.seeds, 1_000));
