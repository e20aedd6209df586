/** SECURITY.md names tests and pages that are there. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");

test.each(["SECURITY.md", "docs/privileges.md"])("what %s names is there", (name) => {
  const text = readFileSync(join(ROOT, name), "utf8");
  const files = [...text.matchAll(/`((?:test|src|\.ci)\/[\w./-]+)`/g)].map(([, path]) => join(ROOT, path!));
  const links = [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, path]) => join(ROOT, dirname(name), path!));
  expect(files.length + links.length).toBeGreaterThan(1);
  expect([...files, ...links].filter((path) => !existsSync(path))).toEqual([]);
});
