/** Files that change, in the ways in which editors and deployments change them. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FileWatch } from "../../src/supervisor/watch.ts";
import { sleep, until } from "../support/until.ts";

const root = mkdtempSync(join(tmpdir(), "fairlead-watch-"));
afterAll(() => rmSync(root, { recursive: true }));

/** Counts the calls for a file that holds "one". */
function watched(name: string): { readonly file: string; readonly watch: FileWatch; calls(): number } {
  const directory = mkdtempSync(join(root, "d-"));
  const file = join(directory, name);
  writeFileSync(file, "one");
  let calls = 0;
  const watch = new FileWatch(() => calls++);
  watch.files([file]);
  return { file, watch, calls: () => calls };
}

test("a file that is written, renamed over, or taken away and put back", async () => {
  const { file, watch, calls } = watched("a.toml");
  writeFileSync(file, "two!");
  await until("the write", () => calls() === 1);
  writeFileSync(`${file}~`, "three");
  renameSync(`${file}~`, file);
  await until("the rename", () => calls() === 2);
  unlinkSync(file);
  await sleep(60);
  expect(calls()).toBe(2);
  writeFileSync(file, "four four");
  await until("the new one", () => calls() === 3);
  watch.stop();
});

test("many writes in a row are one change; other files are none", async () => {
  const { file, watch, calls } = watched("b.toml");
  writeFileSync(join(file, "../other.toml"), "x");
  await sleep(60);
  expect(calls()).toBe(0);
  for (let i = 0; i < 20; i++) writeFileSync(file, `write ${i}`);
  await until("the change", () => calls() === 1);
  await sleep(60);
  expect(calls()).toBe(1);
  watch.stop();
});

test("a link that leads elsewhere, as mounted config maps do it", async () => {
  const directory = mkdtempSync(join(root, "map-"));
  for (const version of ["v1", "v2"]) {
    mkdirSync(join(directory, version));
    writeFileSync(join(directory, version, "f.toml"), version);
  }
  symlinkSync("v1", join(directory, "..data"));
  symlinkSync("..data/f.toml", join(directory, "f.toml"));
  let calls = 0;
  const watch = new FileWatch(() => calls++);
  watch.files([join(directory, "f.toml")]);
  symlinkSync("v2", join(directory, "..tmp"));
  renameSync(join(directory, "..tmp"), join(directory, "..data"));
  await until("the change", () => calls === 1);
  watch.stop();
});

test("a file in a directory that is made later", async () => {
  const directory = join(mkdtempSync(join(root, "d-")), "later");
  const file = join(directory, "policy.ts");
  let count = 0;
  const watch = new FileWatch(() => count++);
  watch.files([file]);
  mkdirSync(directory);
  writeFileSync(file, "1");
  await until("the poll", () => count === 1);
  watch.stop();
});

test("no news of what we wrote ourselves", async () => {
  const { file, watch, calls } = watched("own.toml");
  writeFileSync(file, "ours");
  watch.seen(file);
  await sleep(60);
  expect(calls()).toBe(0);
  writeFileSync(file, "theirs, and longer");
  await until("the change", () => calls() === 1);
  watch.stop();
});

test("files in several directories, and none that are no longer wanted", async () => {
  const one = watched("one.toml");
  const two = watched("two.ts");
  two.watch.stop();
  one.watch.files([one.file, two.file]);
  writeFileSync(two.file, "changed");
  await until("the change", () => one.calls() === 1);
  one.watch.files([one.file]);
  writeFileSync(two.file, "changed again");
  await sleep(60);
  expect([one.calls(), two.calls()]).toEqual([1, 0]);
  one.watch.stop();
});
