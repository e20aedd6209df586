/** What `fairlead explain` asks of what a person writes. */
import { expect, test } from "bun:test";
import { requestOf } from "../../src/cli/explain.ts";

test("every name of a header is a name", () => {
  const { headers } = requestOf(["http://a.test/"], { config: "", header: ["constructor: 1", "toString: 2", "X: a", "X: b"] });
  expect(Object.entries(headers ?? {})).toEqual([
    ["constructor", ["1"]],
    ["toString", ["2"]],
    ["X", ["a", "b"]],
  ]);
});
