/** Descriptors passed from one process to another are open there and mean the same. */
import { expect, test } from "bun:test";
import { fstatSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { receiveDescriptors } from "../../src/net/descriptors.ts";

test("descriptors of another process arrive in order", async () => {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-fds-"));
  try {
    const files = ["a", "b", "c"].map((name) => join(directory, name));
    for (const file of files) writeFileSync(file, file);
    const path = join(directory, "handover.sock");
    const module = join(import.meta.dir, "../../src/net/descriptors.ts");
    const script = `const { sendDescriptors } = await import(${JSON.stringify(module)}); sendDescriptors(${JSON.stringify(path)}, [3, 4, 5]);`;
    const received = await receiveDescriptors(path, 3, 5_000, async () => {
      Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "inherit", "inherit", ...files.map((file) => openSync(file, "r"))] });
    });
    expect(received.map((fd) => fstatSync(fd).ino)).toEqual(files.map((file) => statSync(file).ino));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("when nobody sends, it says so in time", () => {
  const path = join(tmpdir(), `fairlead-nobody-${process.pid}.sock`);
  expect(receiveDescriptors(path, 1, 50, async () => {})).rejects.toThrow("nothing came within 50 ms");
});
