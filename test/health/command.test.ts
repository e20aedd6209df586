/** The command check: real programs. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HangingConnects } from "../../src/health/hanging.ts";
import { isAlive } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { check, network, prepare } from "./real.ts";

const directory = mkdtempSync(join(tmpdir(), "fairlead-command-"));
afterAll(() => rmSync(directory, { recursive: true }));

const shell = (script: string, timeout = 5_000) => ({ type: "command", command: ["sh", "-c", script], timeout }) as const;
test("exit code 0 passes, any other fails with what the program said first", async () => {
  expect(await check(1, shell("exit 0"))).toEqual({ ok: true, reason: "exit code 0", conclusive: true });
  expect(await check(1, shell("exit 3"))).toEqual({ ok: false, reason: "exit code 3", conclusive: true });
  expect(await check(1, shell("echo replica is behind >&2; echo more; exit 1"))).toMatchObject({ ok: false, reason: "exit code 1: replica is behind" });
  expect(await check(1, shell("kill -9 $$"))).toMatchObject({ ok: false, reason: "killed by SIGKILL" });
});

test("it runs without a shell and knows the target", async () => {
  const script = join(directory, "check.sh");
  writeFileSync(script, `#!/bin/sh\n[ "$1" = 'a b;$(exit 1)' ] && [ "$FAIRLEAD_TARGET" = 127.0.0.1:4711 ] && [ "$FAIRLEAD_HOST" = 127.0.0.1 ] && [ "$FAIRLEAD_PORT" = 4711 ]\n`);
  chmodSync(script, 0o755);
  expect((await check(4711, { type: "command", command: [script, "a b;$(exit 1)"] })).reason).toBe("exit code 0");
});

test("a program that is not there fails and is named", async () => {
  expect(await check(1, { type: "command", command: ["/no/such/program"] })).toMatchObject({ ok: false, reason: "cannot run /no/such/program: ENOENT" });
});

test("after the timeout it is killed with all that it started", async () => {
  const pids = join(directory, "pids");
  const verdict = await check(1, shell(`sleep 60 & echo $! $$ > ${pids}; wait`, 400));
  expect(verdict).toMatchObject({ ok: false, reason: "timeout after 400ms" });
  const [child, shellPid] = readFileSync(pids, "utf8").trim().split(" ").map(Number);
  await until("the end of both processes", () => !isAlive(child!) && !isAlive(shellPid!));
});

test("a check that is called off leaves no process", async () => {
  const pid = join(directory, "pid");
  const giveUp = prepare(1, shell(`echo $$ > ${pid}.new; mv ${pid}.new ${pid}; exec sleep 60`, 60_000)).run({ network, hanging: new HangingConnects() }, () => {
    throw new Error("said something");
  });
  await until("the program", () => existsSync(pid));
  giveUp();
  await until("the end of the program", () => !isAlive(Number(readFileSync(pid, "utf8"))));
});

test("what it leaves in the background does not hold the verdict up", async () => {
  const pid = join(directory, "left");
  const began = performance.now();
  expect((await check(1, shell(`sleep 30 & echo $! > ${pid}; exit 0`))).ok).toBe(true);
  expect(performance.now() - began).toBeLessThan(4_000);
  process.kill(Number(readFileSync(pid, "utf8")));
});
