/**
 * Loaded into each process of the instance under test (`--preload`, by BUN_OPTIONS): says each second how large its JavaScript heap is, collects it
 * every few seconds, and says when it is asked what is left then. It holds no descriptor: a file is written anew, and another one is looked at.
 */
import { heapStats } from "bun:jsc";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What a process says of itself, in the file `heap.PID`. */
export interface Heap {
  /** Bytes. */
  readonly used: number;
  /** The last question that was answered. */
  readonly question: number;
  /** What was left after the collection that it asked for, in bytes: objects themselves, … */
  readonly live: number;
  /** … and what they hold elsewhere: buffers, characters of strings, compiled code. */
  readonly held: number;
  /** How many of each type were left. */
  readonly objects: Readonly<Record<string, number>>;
}

/** Where the number of the latest question stands. */
export const QUESTION = "question";
const PERIOD = 1_000;
/**
 * A collection of the whole heap each so many periods. Left to itself the runtime makes one when the heap has grown by a part of its size, which includes all that is mapped:
 * garbage would gather for an hour, and look like a leak to whoever looks for ten minutes.
 */
const COLLECT = 8;

const directory = process.env["SOAK_PROBE"];
if (directory !== undefined) watch(directory);

function watch(where: string): void {
  const file = join(where, `heap.${process.pid}`);
  let known: Omit<Heap, "used"> = { question: 0, live: 0, held: 0, objects: {} };
  let periods = 0;
  const timer = setInterval(() => {
    try {
      if (++periods % COLLECT === 0) Bun.gc(true);
      const { heapUsed: used } = process.memoryUsage();
      const question = Number(readFileSync(join(where, QUESTION), "utf8"));
      if (question !== known.question) known = { question, ...collected() };
      writeFileSync(`${file}.new`, JSON.stringify({ used, ...known } satisfies Heap));
      renameSync(`${file}.new`, file);
    } catch {
      // Whoever asks has gone, and the directory with it.
      clearInterval(timer);
    }
  }, PERIOD);
  timer.unref();
}

function collected(): Pick<Heap, "live" | "held" | "objects"> {
  // What a finalizer lets go of is collected by the second.
  Bun.gc(true);
  Bun.gc(true);
  const { heapSize, extraMemorySize, objectTypeCounts } = heapStats();
  return { live: heapSize - extraMemorySize, held: extraMemorySize, objects: objectTypeCounts };
}
