/** Another text in the place of the configuration file, and back. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigFile } from "../../src/supervisor/config-file.ts";

const directory = mkdtempSync(join(tmpdir(), "fairlead-config-file-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("it is taken back as it was, or kept, and nothing else is left", () => {
  const path = join(directory, "fairlead.toml");
  writeFileSync(path, "one");
  chmodSync(path, 0o640);
  const file = new ConfigFile(path);
  const first = file.replace("two");
  expect([readFileSync(path, "utf8"), statSync(path).mode & 0o777]).toEqual(["two", 0o640]);
  first.takeBack();
  expect([readFileSync(path, "utf8"), statSync(path).mode & 0o777]).toEqual(["one", 0o640]);
  file.replace("three").keep();
  expect(readFileSync(path, "utf8")).toBe("three");
  expect(readdirSync(directory)).toEqual(["fairlead.toml"]);
});

test("what cannot be put there leaves nothing behind", () => {
  const path = join(directory, "one-that-cannot-be-replaced");
  mkdirSync(path);
  expect(() => new ConfigFile(path).replace("text")).toThrow();
  expect(readdirSync(directory).filter((name) => name.startsWith("one-that"))).toEqual(["one-that-cannot-be-replaced"]);
});
