/** What fuzzing has found stays mended, and a short hunt, the same each time; `npm run fuzz` takes longer and other seeds, as FAIRLEAD_SEED does. */
import { describe, expect, test } from "bun:test";
import { allFound } from "./found.ts";
import { hunt, problemOf } from "./hunt.ts";
import { fuzzers } from "./targets/index.ts";

const seed = Number(process.env["FAIRLEAD_SEED"] ?? 1);
/** For each fuzzer, so that all of them take two seconds or three. */
const INPUTS = 150;
const MOST = 2_000;

describe("inputs that were found", () => {
  for (const [file, { fuzzer: name, what, input }] of allFound()) {
    test(`${file}: ${what}`, () => {
      const fuzzer = fuzzers.find((one) => one.name === name);
      expect(fuzzer).toBeDefined();
      expect(problemOf(fuzzer!, Buffer.from(input, "latin1"))).toBeUndefined();
    });
  }
});

describe(`a short hunt (seed ${seed})`, () => {
  for (const fuzzer of fuzzers) {
    test(fuzzer.name, () => {
      const { runs, outcomes, finding } = hunt(fuzzer, { seed, milliseconds: MOST, inputs: INPUTS });
      expect(finding?.what).toBeUndefined();
      expect([runs > 0, outcomes > 0]).toEqual([true, true]);
    });
  }
});
