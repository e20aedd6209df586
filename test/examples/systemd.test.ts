/** The units of examples/systemd: what they say fits the configuration beside them, and systemd finds nothing wrong. */
import { expect, test } from "bun:test";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { loadConfig, SlotAllocator } from "../../src/config/load.ts";
import { needs } from "../support/needs.ts";
import { run } from "../support/real-clients.ts";
import { openStage } from "../support/stage.ts";

const UNITS = resolve(import.meta.dir, "../../examples/systemd");
const stage = openStage();
const unit = (name: string): string => readFileSync(join(UNITS, name), "utf8");

test("the configuration takes the socket by the name that its unit gives it", () => {
  const loaded = loadConfig(join(UNITS, "fairlead.toml"), { slots: new SlotAllocator({ targets: 8, upstreams: 2 }), generation: 1 });
  const name = /^FileDescriptorName=(.*)$/m.exec(unit("fairlead.socket"))![1]!;
  expect(loaded.ok && loaded.snapshot.listeners[0]!.address).toEqual({ kind: "systemd", name });
});

needs("systemd-analyze").test("systemd-analyze verify has nothing to say", async () => {
  const directory = stage.directory();
  cpSync(join(UNITS, "fairlead.socket"), join(directory, "fairlead.socket"));
  // It looks for the program.
  writeFileSync(join(directory, "fairlead.service"), unit("fairlead.service").replace(/^ExecStart=\S+/m, "ExecStart=/bin/sh"));
  const { code, stderr } = await run("systemd-analyze", ["verify", join(directory, "fairlead.service"), join(directory, "fairlead.socket")]);
  expect([code, stderr]).toEqual([0, ""]);
});
