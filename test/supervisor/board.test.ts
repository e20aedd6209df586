/** The shared memory's file: many that start at the same time do not take it from each other. */
import { expect, test } from "bun:test";
import { resolve } from "node:path";

const MODULE = resolve(import.meta.dir, "../../src/supervisor/board.ts");

test("processes that start at the same time, again and again, each get one", async () => {
  const script = `const { createBoard } = await import(${JSON.stringify(MODULE)}); for (let i = 0; i < 200; i++) createBoard(1, 1).unlink();`;
  const children = Array.from({ length: 4 }, () => Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "inherit", "pipe"] }));
  const results = await Promise.all(children.map(async (child) => [await child.exited, await new Response(child.stderr).text()] as const));
  expect(results).toEqual(children.map(() => [0, ""]));
}, 30_000);
