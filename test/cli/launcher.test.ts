/** bin/fairlead: however it is started, it is the same program, and signals and exit codes pass through. */
import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Fairlead } from "../support/fairlead.ts";
import { freePort } from "../support/ports.ts";
import { reply } from "../support/raw-backend.ts";
import { configText, openStage } from "../support/stage.ts";
import { until, within } from "../support/until.ts";

const BIN = resolve(import.meta.dir, "../../bin/fairlead");
const VERSION = /^\d+\.\d+\.\d+$/;
const stage = openStage();

async function run(command: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const child = Bun.spawn([...command], { stdio: ["ignore", "pipe", "pipe"] });
  const [out, err] = await within("its end", Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]));
  return { code: await child.exited, out: out.trim(), err: err.trim() };
}

/** An installed package: the launcher of this checkout, and what `npm ci` may have left beside it. */
function installed(): string {
  const root = stage.directory();
  mkdirSync(join(root, "bin"));
  mkdirSync(join(root, "src/cli"), { recursive: true });
  copyFileSync(BIN, join(root, "bin/fairlead"));
  writeFileSync(join(root, "src/cli/main.ts"), "console.log(process.execPath);");
  return root;
}

describe("bin/fairlead", () => {
  for (const [how, command] of [
    ["by itself", [BIN]],
    ["with node", ["node", BIN]],
    ["with bun", [process.execPath, BIN]],
    ["with sh", ["sh", BIN]],
  ] as const) {
    test(`runs ${how}, and its exit code is passed on`, async () => {
      const { code, out } = await run([...command, "--version"]);
      expect(code).toBe(0);
      expect(out).toMatch(VERSION);
      expect((await run([...command, "no-such-command"])).code).toBe(2);
      expect((await run([...command, "check", "no-such-file.toml"])).code).toBe(1);
    });
  }

  test("runs through links, as npm makes them", async () => {
    const directory = stage.directory();
    symlinkSync(BIN, join(directory, "absolute"));
    symlinkSync("absolute", join(directory, "relative"));
    for (const name of ["absolute", "relative"]) expect((await run([join(directory, name), "--version"])).out).toMatch(VERSION);
  });

  test("heeds no .env and no bunfig.toml of the working directory", async () => {
    const files = { ".env": "FAIRLEAD_UPGRADE=nonsense\n", "bunfig.toml": 'preload = ["./preload.ts"]\n', "preload.ts": 'console.error("PRELOADED");\n' };
    const port = await freePort();
    const fairlead = await Fairlead.start(configText(port, { targets: [await stage.backend()] }), { arguments: ["run", "--config", "fairlead.toml"], files });
    stage.atEnd(() => fairlead.kill());
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
    expect(fairlead.lines.join("\n")).not.toContain("PRELOADED");
  });

  test("takes the platform's own bun when npm did not run install scripts", async () => {
    const root = installed();
    mkdirSync(join(root, "node_modules/bun/bin"), { recursive: true });
    // What npm leaves there then: a text that says so.
    writeFileSync(join(root, "node_modules/bun/bin/bun.exe"), "echo Error: the install script was not run\nexit 1\n", { mode: 0o755 });
    mkdirSync(join(root, "node_modules/@oven/bun-any/bin"), { recursive: true });
    symlinkSync(process.execPath, join(root, "node_modules/@oven/bun-any/bin/bun"));
    expect(await run([join(root, "bin/fairlead")])).toMatchObject({ code: 0, err: "" });
  });

  test("says what to do when there is no bun", async () => {
    const root = installed();
    expect(await run([join(root, "bin/fairlead")])).toMatchObject({ code: 1, out: "", err: `fairlead: the bun runtime is missing; run npm ci in ${root}` });
  });

  test("is the real process: its pid is the supervisor's", async () => {
    const { fairlead } = await stage.fairlead({ targets: [await stage.backend()] });
    expect(fairlead.log.find(({ msg }) => msg === "Fairlead is ready")?.["pid"]).toBe(fairlead.pid);
  });

  test("under node, one Ctrl-C to the whole group drains and does not cut", async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const backend = await stage.backend(async (_request, connection) => {
      await held;
      connection.write(reply(200, "late"));
    });
    const directory = stage.directory();
    const port = await freePort();
    writeFileSync(join(directory, "fairlead.toml"), configText(port, { targets: [backend] }));
    const child = spawn("node", [BIN], { cwd: directory, detached: true, stdio: ["ignore", "ignore", "pipe"] });
    let log = "";
    child.stderr.on("data", (text: Buffer) => (log += text.toString()));
    let code: number | null | undefined;
    child.on("exit", (how) => (code = how));
    stage.atEnd(() => code === undefined && process.kill(-child.pid!, "SIGKILL"));
    await until("it to be ready", () => log.includes("ready"));
    const client = await stage.client(port);
    client.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await until("the request", () => backend.requests.length === 1);
    process.kill(-child.pid!, "SIGINT");
    await until("draining", () => log.includes("Draining"));
    release();
    expect((await client.finalReply()).text).toBe("late");
    await until("its end", () => code !== undefined);
    expect(code).toBe(0);
    expect(log).not.toContain("Stopping at once");
  });
});
