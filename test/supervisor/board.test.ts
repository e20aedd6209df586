/** The shared memory's file: many that start at the same time do not take it from each other. */
import { expect, test } from "bun:test";
import { existsSync, lstatSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { isAlive } from "../support/processes.ts";
import { until } from "../support/until.ts";

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

test("a killed instance's one stays as long as anybody has it open whom it was handed to, and is swept up then", async () => {
  const holder = join(mkdtempSync(join(tmpdir(), "fairlead-board-")), "holder");
  const run = async (script: string): Promise<string> => {
    const child = Bun.spawn([process.execPath, "-e", `const { createBoard } = await import(${JSON.stringify(MODULE)}); ${script}`], { stdio: ["ignore", "pipe", "inherit"], timeout: 10_000, env: { ...process.env, BUN_FEATURE_FLAG_NO_ORPHANS: undefined } });
    const text = await new Response(child.stdout).text();
    expect(await child.exited).toBe(0);
    return text.trim();
  };
  const path = await run(`
    const { board } = createBoard(1, 1);
    // It outlives this one, as workers do.
    const { pid } = Bun.spawn(["sleep", "60"], { stdio: ["ignore", "ignore", "ignore", board.file.descriptor] });
    await Bun.write(${JSON.stringify(holder)}, String(pid));
    console.log(board.file.path);
    process.exit(0);`);
  const pid = Number(await Bun.file(holder).text());
  try {
    await run("createBoard(1, 1).board.unlink();");
    expect(existsSync(path)).toBe(true);
  } finally {
    process.kill(pid, "SIGKILL");
    rmSync(dirname(holder), { recursive: true });
  }
  await until("its end", () => !isAlive(pid));
  await run("createBoard(1, 1).board.unlink();");
  expect(existsSync(path)).toBe(false);
}, 30_000);
