/** [log] and [access_log]: what is wrong with them, and what of them workers get. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { diagnosticLine, loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import type { Snapshot } from "../../src/config/snapshot.ts";

const directory = mkdtempSync(join(tmpdir(), "fairlead-config-logs-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
const REST = `\n[[targets]]\naddress = "127.0.0.1:9001"\n`;

function load(text: string): ReturnType<typeof loadConfigText> {
  return loadConfigText(text + REST, join(directory, "f.toml"), { slots: new SlotAllocator({ targets: 8, upstreams: 2 }), generation: 1 });
}

function problems(text: string): string[] {
  const loaded = load(text);
  return loaded.ok ? [] : loaded.diagnostics.map(diagnosticLine).map((line) => line.replaceAll(`${directory}/`, ""));
}

function snapshot(text: string): Snapshot {
  const loaded = load(text);
  if (!loaded.ok) throw new Error(loaded.diagnostics.map(diagnosticLine).join("\n"));
  return loaded.snapshot;
}

describe("what does not fit is said, with what would:", () => {
  const cases: readonly (readonly [config: string, problem: string])[] = [
    ['[access_log]\nformat = "$remote_adr $status"', 'f.toml:2:10: there is no variable $remote_adr (did you mean "remote_addr"?)'],
    ['[access_log]\nformat = "$sent_http_etag"', "f.toml:2:10: there is no variable $sent_http_etag (headers of requests are known, as $http_user_agent; those of replies are not)"],
    ['[access_log]\nformat = "$http_authorization"', "f.toml:2:10: $http_authorization would write credentials into the log (leave it out)"],
    ['[access_log]\nformat = "combind"', 'f.toml:2:10: there is no format "combind" (did you mean "combined"?)'],
    ['[access_log]\nformat = "ltsv"', 'f.toml:2:10: there is no format "ltsv" (known: json, common, combined, or a string with variables, as "$remote_addr $status")'],
    ['[access_log]\nformat = "$$ only"', "f.toml:2:10: a format string has at least one $variable"],
    ['[access_log]\nfields = ["time", "stauts"]', 'f.toml:2:19: there is no field stauts (did you mean "status"?)'],
    ['[access_log]\nfields = ["time", "time"]', 'f.toml:2:19: "time" is there already'],
    ['[access_log]\nformat = "common"\nfields = ["time"]', 'f.toml:3:1: fields goes with format = "json" (a format string names its variables itself)'],
    ['[access_log]\nkeep = 3', 'f.toml:2:1: keep goes with rotate_size (set rotate_size = "100MiB", or leave it out)'],
    ['[access_log]\nrotate_size = "1MiB"', "f.toml:2:1: stderr is no file (set path to a file, or leave rotate_size out)"],
    ['[access_log]\npath = "no/such/access.log"', "f.toml:2:8: no directory no/such (make it, or name another; a path is relative to the config file)"],
    ['[access_log]\npath = "/tmp"', "f.toml:2:8: /tmp is a directory (name a file in it)"],
    ['[access_log]\nsample = 1.5', 'f.toml:2:10: "sample" must be at most 1, not 1.5'],
    ['[log]\naccess = false\n[access_log]', "f.toml:2:10: there is an [access_log]: that turns it on (leave one of the two out)"],
    ['[log]\npath = "no/such.log"', "f.toml:2:8: no directory no (make it, or name another; a path is relative to the config file)"],
    ['[log.modules]\nhelth = "debug"', 'f.toml:2:1: unknown key "helth" in [log.modules] (did you mean "health"?)'],
    ['[log.modules]\nhealth = "loud"', 'f.toml:2:10: "health" must be "debug", "info", "warn" or "error", not "loud"'],
  ];
  for (const [config, problem] of cases) test(config.replaceAll("\n", " "), () => expect(problems(config)).toEqual([problem]));

  test("a buffer of a size that makes no sense", () => {
    expect(problems('[access_log]\nbuffer = "1KiB"')[0]).toContain("a size from 4KiB to 16MiB");
    expect(problems("[access_log]\nbuffer = 100000000")).toHaveLength(1);
  });
});

describe("a snapshot has", () => {
  test("no access log where none is wanted", () => expect(snapshot("").accessLog).toBeUndefined());

  test("one on standard error, in the service log's own form, by the short form", () => {
    expect(snapshot("[log]\naccess = true").accessLog).toEqual({ path: "stderr", sample: 1, sampleErrors: true, buffer: 65_536, flush: 100, rotateSize: 0, keep: 5 });
  });

  test("what [access_log] says, with paths made whole", () => {
    const { accessLog, listeners } = snapshot('[access_log]\nformat = "$status"\npath = "a.log"\nsample = 0.1\nsample_errors = false\nbuffer = "8KiB"\nflush = "1s"\nrotate_size = "1MiB"\nkeep = 2');
    expect(accessLog).toEqual({ format: { kind: "template", template: "$status" }, path: join(directory, "a.log"), sample: 0.1, sampleErrors: false, buffer: 8192, flush: 1000, rotateSize: 1024 ** 2, keep: 2 });
    expect(listeners[0]!.accessLog).toBe(true);
  });

  test("levels, by module", () => {
    expect(snapshot('[log]\nlevel = "warn"\nmodules = { http = "debug" }').log).toEqual({ level: "warn", modules: { http: "debug" } });
  });
});
