/** Tables of text. */
import { expect, test } from "bun:test";
import { columns } from "../../src/cli/columns.ts";

test("what stands in a cell gives a terminal no orders, and is as wide as it is shown", () => {
  const lines = columns([{ id: "a\u009b2J", path: "/" }, { id: "b", path: "/x\u001b[0m" }], [{ title: "ID", text: ({ id }) => id }, { title: "PATH", text: ({ path }) => path }]);
  expect(lines).toEqual(["ID         PATH", "a\\u009b2J  /", "b          /x\\u001b[0m"]);
});
