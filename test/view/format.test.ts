/** Numbers as people read them. */
import { expect, test } from "bun:test";
import { bytes, count, milliseconds, percent, rate, span } from "../../src/view/format.ts";

test.each([
  [count, [0, 7, 999, 1000, 9994, 12_345, 999_499, 1_234_567], ["0", "7", "999", "1,000", "9,994", "12k", "999k", "1.2M"]],
  [rate, [0, 0.01, 0.2, 9.94, 12.4, 99_999], ["0", "<0.1", "0.2", "9.9", "12", "100k"]],
  [milliseconds, [0, 0.25, 1, 12.3, 999, 1500, 59_000, 90_000], ["0 ms", "0.25 ms", "1.0 ms", "12 ms", "999 ms", "1.5 s", "59 s", "1.5 min"]],
  [percent, [0, 0.0005, 0.012, 0.5, 1], ["0 %", "<0.1 %", "1.2 %", "50 %", "100 %"]],
  [bytes, [0, 999, 1000, 1_500_000, 2e12], ["0 B", "999 B", "1.0 kB", "1.5 MB", "2.0 TB"]],
  [span, [400, 59_000, 61_000, 3_600_000, 172_800_000], ["0 s", "59 s", "1 min", "1 h", "2 d"]],
] as const)("%p", (format, values, texts) => {
  expect((values as readonly number[]).map((value) => format(value))).toEqual([...texts]);
});

test("nothing is a dash", () => expect(milliseconds(null)).toBe("–"));
