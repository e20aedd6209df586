/** Descriptors passed from one process to another are open there and mean the same. */
import { expect, test } from "bun:test";
import { fstatSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requestDescriptors } from "../../src/net/descriptors.ts";
import { within } from "../support/until.ts";

const MODULE = join(import.meta.dir, "../../src/net/descriptors.ts");

test("descriptors of another process arrive in order", async () => {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-fds-"));
  const files = ["a", "b", "c"].map((name) => join(directory, name));
  for (const file of files) writeFileSync(file, file);
  const path = join(directory, "control.sock");
  const script = `const { passDescriptors } = await import(${JSON.stringify(MODULE)}); Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data(socket) { passDescriptors(socket.fd, [3, 4, 5]); socket.end("sent"); } } }); console.log("listening");`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "pipe", "inherit", ...files.map((file) => openSync(file, "r"))] });
  try {
    // Its name is there a moment before anybody listens.
    await within("somebody to listen", child.stdout.getReader().read());
    const received = requestDescriptors(path, "send", 3, 5_000);
    expect(received.map((fd) => fstatSync(fd).ino)).toEqual(files.map((file) => statSync(file).ino));
  } finally {
    child.kill();
    rmSync(directory, { recursive: true });
  }
});

test("when nobody sends, it says so in time", async () => {
  const path = join(tmpdir(), `fairlead-nobody-${process.pid}.sock`);
  const silent = Bun.listen({ unix: path, socket: { data() {} } });
  try {
    expect(() => requestDescriptors(path, "send", 1, 50)).toThrow("nothing came within 50 ms");
  } finally {
    silent.stop(true);
  }
  expect(() => requestDescriptors(path, "send", 1, 50)).toThrow(`cannot connect to ${path}`);
});
