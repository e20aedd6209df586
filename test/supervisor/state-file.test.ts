/** Where what people said is kept: what may be there already, and what is done to it. */
import { afterAll, describe, expect, test } from "bun:test";
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { placeProblem, readStateFile, setAside, writeStateFile } from "../../src/supervisor/state-file.ts";

const directory = mkdtempSync(join(tmpdir(), "fairlead-state-"));
afterAll(() => rmSync(directory, { recursive: true }));

const KEPT = { version: 1, policies: [], targets: [], states: [] } as const;
const NOTHING = { ...KEPT, policies: [], targets: [], states: [] };

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

describe("the place", () => {
  test.each([
    ["nothing", undefined],
    ["an empty file", ""],
    ["zeros, as a crash leaves them", "\0".repeat(100)],
    ["one that was cut short", '{\n  "version": 1,'],
  ])("may have %s", (name, text) => {
    const path = join(directory, name.replaceAll(" ", "-"));
    if (text !== undefined) writeFileSync(path, text);
    expect(placeProblem(path)).toBeUndefined();
  });

  test("may not have what is somebody else's", () => {
    expect(placeProblem(file("fairlead.toml", "workers = 2\n[admin]\n"))).toContain("is a file of another kind");
    mkdirSync(join(directory, "state"));
    expect(placeProblem(join(directory, "state"))).toContain("is a directory or a device");
    expect(placeProblem("/dev/full")).toContain("is a directory or a device");
    expect(placeProblem(join(directory, "absent", "state.json"))).toContain("its directory does not exist");
    symlinkSync("loop", join(directory, "loop"));
    expect(placeProblem(join(directory, "loop"))).toContain("cannot be read");
  });
});

describe("a link", () => {
  test("leads to the file, before and after there is one", () => {
    const link = join(directory, "link.json");
    mkdirSync(join(directory, "elsewhere"));
    symlinkSync("elsewhere/state.json", link);
    for (const _ of [1, 2]) {
      writeStateFile(link, NOTHING);
      expect(lstatSync(link).isSymbolicLink()).toBeTrue();
      expect(JSON.parse(readFileSync(join(directory, "elsewhere/state.json"), "utf8"))).toEqual(KEPT);
      expect(readStateFile(link)).toEqual(KEPT);
    }
    expect(setAside(link, "damaged")).toBe(join(directory, "elsewhere/state.json.damaged"));
    expect(readStateFile(link)).toBeUndefined();
  });
});

test("one that cannot be moved is no reason not to start", () => {
  const path = file("stuck.json", "{");
  mkdirSync(`${path}.damaged/x`, { recursive: true });
  expect(setAside(path, "damaged")).toBeUndefined();
});
