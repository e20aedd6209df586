/** Runs a fuzzer for a while: mutates, keeps what leads to something new, and shrinks what breaks something. */
import { Dice } from "../support/random.ts";
import { Broken, type Fuzzer, shown } from "./fuzzer.ts";
import { mutated } from "./mutate.ts";

/** An input of at most 16 KiB that takes longer on a processor, in ms, each of so many times, is a finding: a peer could send many of them. */
const SLOW = 100;
const SLOW_TRIES = 4;
/** Inputs with outcomes of their own, kept to be mutated; what has come by then is varied enough. */
const MOST_KEPT = 2_000;
/** Runs that shrinking may take. */
const SHRINK_RUNS = 3_000;

export interface Finding {
  readonly fuzzer: string;
  readonly what: string;
  readonly input: Buffer;
}

export interface Hunt {
  readonly runs: number;
  /** Different outcomes that were seen. */
  readonly outcomes: number;
  readonly finding: Finding | undefined;
}

/** What is wrong with an input; undefined: nothing. */
export function problemOf(fuzzer: Fuzzer, input: Buffer, seen: (outcome: string) => void = () => {}): string | undefined {
  try {
    const began = performance.now();
    seen(fuzzer.run(input));
    if (performance.now() - began <= SLOW) return undefined;
    for (let tries = 1; tries < SLOW_TRIES; tries++) {
      const before = process.cpuUsage();
      fuzzer.run(input);
      const { user, system } = process.cpuUsage(before);
      if ((user + system) / 1000 <= SLOW) return undefined;
    }
    return `takes more than ${SLOW} ms`;
  } catch (error) {
    return error instanceof Broken ? error.message : error instanceof Error ? `throws ${error.name}: ${error.message}\n${error.stack ?? ""}` : `throws ${String(error)}`;
  }
}

/** Smaller inputs that break something too: parts are left out, ever smaller ones. */
function shrink(fuzzer: Fuzzer, input: Buffer): Buffer {
  let best = input;
  let runs = 0;
  for (let size = Math.max(1, best.length >> 1); size >= 1; size = size === 1 ? 0 : size >> 1) {
    for (let at = 0; at < best.length && runs < SHRINK_RUNS; ) {
      const shorter = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      runs++;
      if (problemOf(fuzzer, shorter) === undefined) at += size;
      else best = shorter;
    }
  }
  return best;
}

export interface Effort {
  readonly seed: number;
  /** At most so long, in ms. */
  readonly milliseconds: number;
  /** At most so many inputs; absent: as many as there is time for, the seeds first. */
  readonly inputs?: number;
}

/** Until time or inputs are used up, or something is found. */
export function hunt(fuzzer: Fuzzer, { seed, milliseconds, inputs }: Effort): Hunt {
  const dice = new Dice(seed);
  const corpus = [...fuzzer.seeds()];
  const outcomes = new Set<string>();
  const end = performance.now() + milliseconds;
  const fresh = inputs === undefined ? [...corpus] : [];
  for (let runs = 1; ; runs++) {
    const seeded = fresh.pop();
    const input = seeded ?? mutated(dice.one(corpus), dice, fuzzer.words, dice.one(corpus));
    const what = problemOf(fuzzer, input, (outcome) => {
      if (outcomes.has(outcome)) return;
      outcomes.add(outcome);
      if (seeded === undefined && corpus.length < MOST_KEPT) corpus.push(input);
    });
    if (what !== undefined) {
      const small = shrink(fuzzer, input);
      return { runs, outcomes: outcomes.size, finding: { fuzzer: fuzzer.name, what: `${problemOf(fuzzer, small) ?? what}\ninput ${shown(small)}`, input: small } };
    }
    if (runs === inputs || performance.now() > end) return { runs, outcomes: outcomes.size, finding: undefined };
  }
}
