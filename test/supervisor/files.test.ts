/** Files that are put in the place of others: with their modes, whatever the umask says, and through nobody's link. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, lchownSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writePidFile } from "../../src/cli/pid-file.ts";
import { LineFile } from "../../src/observability/line-file.ts";
import { ConfigFile } from "../../src/supervisor/config-file.ts";
import { writeStateFile } from "../../src/supervisor/state-file.ts";
import { unless } from "../support/needs.ts";

const directory = mkdtempSync(join(tmpdir(), "fairlead-files-"));
afterAll(() => rmSync(directory, { recursive: true }));
const at = (name: string): string => join(directory, name);
const modeOf = (name: string): string => (statSync(at(name)).mode & 0o777).toString(8);

function withUmask(mask: number, work: () => void): void {
  const before = process.umask(mask);
  try {
    work();
  } finally {
    process.umask(before);
  }
}

for (const mask of [0o000, 0o077]) {
  test(`with umask ${mask.toString(8).padStart(3, "0")} each has its own mode`, () => {
    for (const mode of [0o640, 0o664, 0o600]) {
      writeFileSync(at("fairlead.toml"), "old");
      chmodSync(at("fairlead.toml"), mode);
      withUmask(mask, () => new ConfigFile(at("fairlead.toml")).replace("new").keep());
      expect([modeOf("fairlead.toml"), readFileSync(at("fairlead.toml"), "utf8")]).toEqual([mode.toString(8), "new"]);
    }
    withUmask(mask, () => {
      writePidFile(at("pid"));
      writeStateFile(at("state.json"), { version: 1, policies: [], targets: [], states: [] });
    });
    expect([modeOf("pid"), modeOf("state.json")]).toEqual([mask === 0 ? "644" : "600", "600"]);
  });
}

test("a link that lies where a draft would be leads nowhere", () => {
  for (const [draft, write] of [
    ["pid", () => writePidFile(at("pid"))],
    ["state.json", () => writeStateFile(at("state.json"), { version: 1, policies: [], targets: [], states: [] })],
  ] as const) {
    writeFileSync(at("victim"), "as it was");
    symlinkSync(at("victim"), at(draft === "pid" ? `pid.${process.pid}` : `${draft}.${process.pid}.new`));
    write();
    expect([draft, readFileSync(at("victim"), "utf8"), statSync(at(draft)).isFile()]).toEqual([draft, "as it was", true]);
  }
});

unless(process.getuid!() === 0 ? undefined : "root only").test("a log that is another user's link is not written to; one of root's is", () => {
  writeFileSync(at("victim"), "");
  const line = Buffer.from("a line\n");
  for (const [owner, written] of [[65_534, ""], [0, "a line\n"]] as const) {
    rmSync(at("log"), { force: true });
    symlinkSync(at("victim"), at("log"));
    lchownSync(at("log"), owner, owner);
    const log = new LineFile(at("log"), 1024);
    log.write(line, line.length);
    log.end();
    expect([owner, readFileSync(at("victim"), "utf8")]).toEqual([owner, written]);
  }
});
