/** What is said about too few open files. */
import { expect, test } from "bun:test";
import { loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import { checkOpenFiles } from "../../src/supervisor/limits.ts";

function snapshot(top: string) {
  const loaded = loadConfigText(`${top}\n[[targets]]\naddress = "127.0.0.1:1"\n`, "test", { slots: new SlotAllocator({ targets: 4, upstreams: 4 }), generation: 1 });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
  return loaded.snapshot;
}

test("enough files are no news", () => {
  expect(checkOpenFiles(snapshot("max_clients = 1000\nworkers = 2"), 1_128)).toBeUndefined();
  expect(checkOpenFiles(snapshot("max_clients = 1000"), undefined)).toBeUndefined();
});

test("fewer than the configuration asks for are, with what to do", () => {
  expect(checkOpenFiles(snapshot("max_clients = 1000\nworkers = 2"), 628)).toBe(
    "max_clients = 1000 needs about 1128 open files in each of 2 workers, and the limit is 628: clients beyond about 500 will be refused; raise the limit (ulimit -n) or lower max_clients",
  );
});

test("the default of max_clients is news only where few clients fit", () => {
  expect(checkOpenFiles(snapshot("workers = 1"), 20_000)).toBeUndefined();
  expect(checkOpenFiles(snapshot("workers = 1"), 1_024)).toContain("clients beyond about 448 will be refused");
});

test("next to none end the start", () => {
  expect(() => checkOpenFiles(snapshot("workers = 1"), 64)).toThrow("a process may open 64 files only");
});
