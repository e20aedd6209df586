/** The shared memory's file: many that start at the same time do not take it from each other. */
import { expect, test } from "bun:test";
import { existsSync, lstatSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const MODULE = resolve(import.meta.dir, "../../src/supervisor/board.ts");

test("processes that start at the same time, again and again, each get one", async () => {
  const script = `const { createBoard } = await import(${JSON.stringify(MODULE)}); for (let i = 0; i < 200; i++) createBoard(1, 1).board.unlink();`;
  const children = Array.from({ length: 4 }, () => Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "inherit", "pipe"] }));
  const results = await Promise.all(children.map(async (child) => [await child.exited, await new Response(child.stderr).text()] as const));
  expect(results).toEqual(children.map(() => [0, ""]));
}, 30_000);

test("what somebody puts beside it keeps nobody from starting, and is not taken for ours", async () => {
  const directory = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  const [pipe, link] = ["pipe", "link"].map((what) => join(directory, `fairlead-trap-${what}-${process.pid}.board`)) as [string, string];
  const elsewhere = mkdtempSync(join(tmpdir(), "fairlead-board-"));
  const file = join(elsewhere, "file");
  writeFileSync(file, "");
  try {
    expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0);
    symlinkSync(file, link);
    const script = `const { createBoard } = await import(${JSON.stringify(MODULE)}); const { board } = createBoard(1, 1); const { mode, uid } = (await import("node:fs")).statSync(board.file.path); console.log((mode & 0o777).toString(8), uid); board.unlink();`;
    const child = Bun.spawn([process.execPath, "-e", `process.umask(0); ${script}`], { stdio: ["ignore", "pipe", "inherit"], timeout: 10_000 });
    expect([await child.exited, await new Response(child.stdout).text()]).toEqual([0, `600 ${process.getuid!()}\n`]);
    expect([lstatSync(pipe).isFIFO(), lstatSync(link).isSymbolicLink(), existsSync(file)]).toEqual([true, true, true]);
  } finally {
    for (const path of [pipe, link, elsewhere]) rmSync(path, { recursive: true, force: true });
  }
});
