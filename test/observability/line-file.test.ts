/** Lines on their way to files and pipes: whole, never waiting, and counted when nobody takes them. A write that waited for a reader here would wait for ever. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LineFile } from "../../src/observability/line-file.ts";
import { sleep } from "../support/until.ts";

const directory = mkdtempSync(join(tmpdir(), "fairlead-lines-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const BUFFER = 16 * 1024;
let files = 0;

function path(): string {
  return join(directory, `lines-${++files}`);
}

function fifo(): string {
  const at = path();
  expect(Bun.spawnSync(["mkfifo", at]).exitCode).toBe(0);
  return at;
}

function write(file: LineFile, from: number, count: number, length = 100): void {
  for (let number = from; number < from + count; number++) {
    file.write(Buffer.from(`${String(number).padStart(length - 1, "0")}\n`), length);
  }
}

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  expect(lines.pop()).toBe("");
  return lines;
}

/** All that is in a pipe now. */
function drained(fd: number): string {
  let text = "";
  const piece = Buffer.alloc(1 << 16);
  for (;;) {
    try {
      const read = readSync(fd, piece);
      if (read === 0) return text;
      text += piece.latin1Slice(0, read);
    } catch {
      return text;
    }
  }
}

describe("a file", () => {
  test("gets lines in their order, at the latest with a flush", () => {
    const at = path();
    const file = new LineFile(at, BUFFER);
    write(file, 0, 1000);
    expect(linesOf(readFileSync(at, "latin1")).length).toBeGreaterThan(800);
    expect(file.flush()).toBe(true);
    expect(linesOf(readFileSync(at, "latin1")).map(Number)).toEqual(Array.from({ length: 1000 }, (_, index) => index));
    file.end();
    expect(file.lost).toBe(0);
  });

  test("that was renamed gets what was held; the one that has its name then gets what comes", () => {
    const at = path();
    const file = new LineFile(at, BUFFER);
    write(file, 0, 3);
    renameSync(at, `${at}.1`);
    write(file, 3, 2);
    file.reopen();
    write(file, 5, 4);
    file.end();
    expect([`${at}.1`, at].map((each) => linesOf(readFileSync(each, "latin1")).map(Number))).toEqual([[0, 1, 2, 3, 4], [5, 6, 7, 8]]);
  });

  test("may be written to by several, whose lines stay whole", () => {
    const at = path();
    const writers = [1, 2, 3].map(() => new LineFile(at, 4096));
    for (let round = 0; round < 500; round++) for (const [index, file] of writers.entries()) write(file, index * 1000 + round, 1, 80 + ((round * 7) % 50));
    for (const file of writers) file.end();
    const lines = linesOf(readFileSync(at, "latin1")).map(Number);
    expect(lines).toHaveLength(1500);
    expect(new Set(lines).size).toBe(1500);
  });

  test("whose directory is not there yet gets what is still held when it is", async () => {
    const at = join(directory, "later", "lines");
    const file = new LineFile(at, BUFFER);
    write(file, 0, 2);
    expect(file.flush()).toBe(false);
    expect(Bun.spawnSync(["mkdir", join(directory, "later")]).exitCode).toBe(0);
    await sleep(1_050);
    expect(file.flush()).toBe(true);
    file.end();
    expect(linesOf(readFileSync(at, "latin1")).map(Number)).toEqual([0, 1]);
  });

  test("on a full disk loses lines, counts them and never waits", () => {
    const file = new LineFile("/dev/full", BUFFER);
    write(file, 0, 100_000);
    expect(file.lost).toBe(100_000 - Math.floor(BUFFER / 100));
    file.end();
    expect(file.lost).toBe(100_000);
  });
});

describe("a named pipe", () => {
  test("that nobody reads loses lines, and takes them when somebody comes", async () => {
    const at = fifo();
    const file = new LineFile(at, BUFFER);
    write(file, 0, 10_000);
    expect(file.lost).toBe(10_000 - Math.floor(BUFFER / 100));
    const reader = openSync(at, constants.O_RDONLY | constants.O_NONBLOCK);
    await sleep(1_050);
    expect(file.flush()).toBe(true);
    expect(linesOf(drained(reader)).map(Number)).toEqual(Array.from({ length: Math.floor(BUFFER / 100) }, (_, index) => index));
    write(file, 20_000, 1);
    file.end();
    expect(linesOf(drained(reader)).map(Number)).toEqual([20_000]);
    closeSync(reader);
  });

  test("whose reader does not read fills up, and no line is cut", () => {
    const at = fifo();
    const reader = openSync(at, constants.O_RDONLY | constants.O_NONBLOCK);
    const file = new LineFile(at, BUFFER);
    write(file, 0, 20_000);
    expect(file.lost).toBeGreaterThan(10_000);
    const first = linesOf(drained(reader)).map(Number);
    expect(file.flush()).toBe(true);
    const second = linesOf(drained(reader)).map(Number);
    expect(first.length + second.length + file.lost).toBe(20_000);
    expect([...first, ...second]).toEqual(Array.from({ length: first.length + second.length }, (_, index) => index));
    file.end();
    closeSync(reader);
  });

  test("whose reader has gone loses lines, and goes on with the next one", async () => {
    const at = fifo();
    const first = openSync(at, constants.O_RDONLY | constants.O_NONBLOCK);
    const file = new LineFile(at, BUFFER);
    write(file, 0, 1);
    expect(file.flush()).toBe(true);
    closeSync(first);
    write(file, 1, 1);
    expect(file.flush()).toBe(false);
    const second = openSync(at, constants.O_RDONLY | constants.O_NONBLOCK);
    await sleep(1_050);
    expect(file.flush()).toBe(true);
    expect(linesOf(drained(second)).map(Number)).toEqual([1]);
    file.end();
    closeSync(second);
  });

  test("gets lines that are whole, however many write to it", () => {
    const at = fifo();
    const reader = openSync(at, constants.O_RDONLY | constants.O_NONBLOCK);
    const writers = [1, 2].map(() => new LineFile(at, BUFFER));
    for (let round = 0; round < 100; round++) for (const file of writers) write(file, round, 1, 150);
    for (const file of writers) file.flush();
    const lines = linesOf(drained(reader));
    expect(lines).toHaveLength(200);
    expect(lines.every((line) => line.length === 149)).toBe(true);
    expect(writers[0]!.longest).toBe(4096);
    for (const file of writers) file.end();
    closeSync(reader);
  });
});

test("standard error is left as it is for others, and never waited for", () => {
  // The other end of the pipe is not read until the process has ended.
  const script = `
    import { LineFile } from ${JSON.stringify(join(import.meta.dir, "../../src/observability/line-file.ts"))};
    import { readFileSync } from "node:fs";
    const flags = () => readFileSync("/proc/self/fdinfo/2", "utf8").match(/flags:\\s+(\\d+)/)[1];
    const before = flags();
    const file = new LineFile("stderr", 16384);
    const line = Buffer.from("x".repeat(99) + "\\n");
    const began = performance.now();
    for (let i = 0; i < 5000; i++) file.write(line, 100);
    file.flush();
    console.log(JSON.stringify({ lost: file.lost, took: performance.now() - began, same: flags() === before }));
  `;
  const ran = Bun.spawnSync(["/bin/sh", "-c", `{ '${process.execPath}' -e "$0" 2>&1 1>&4 | { sleep 2; cat > /dev/null; }; } 4>&1`, script], { stdout: "pipe", stderr: "pipe" });
  const { lost, took, same } = JSON.parse(ran.stdout.toString()) as { lost: number; took: number; same: boolean };
  expect(lost).toBeGreaterThan(3000);
  // The other end waits for two seconds.
  expect(took).toBeLessThan(1_900);
  expect(same).toBe(true);
});
