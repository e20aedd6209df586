/** What people type: commands, options, and what is said to them when it cannot be understood. */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import packageJson from "../../package.json";
import { platformProblem } from "../../src/cli/platform.ts";
import { Fairlead, type LogLine } from "../support/fairlead.ts";
import { freePort } from "../support/ports.ts";
import { configText, openStage } from "../support/stage.ts";
import { until } from "../support/until.ts";
import { FAIRLEAD, ran } from "./ran.ts";

const stage = openStage();
const EMPTY = stage.directory();

/** Exit code and output of `fairlead ARGUMENTS`, run where there is no fairlead.toml. */
function fairlead(...args: readonly string[]): Promise<{ code: number | string; stdout: string; stderr: string }> {
  return ran(args, EMPTY);
}

describe("help", () => {
  test("--help names each command with examples, signals and exit codes", async () => {
    const { code, stdout } = await fairlead("--help");
    expect(code).toBe(0);
    for (const part of ["run [options]", "check [file]", "demo", "--listen <address>", "fairlead --listen :8080 --target 127.0.0.1:9001", "SIGHUP", "SIGUSR2", "Exit codes"]) expect(stdout).toContain(part);
    expect(stdout).not.toContain("[]");
  });

  test("a command's own --help names its options", async () => {
    const { code, stdout } = await fairlead("run", "--help");
    expect(code).toBe(0);
    for (const option of ["--config <file>", "--watch", "--log-format", "--log-level", "--pid-file", "--runtime-dir"]) expect(stdout).toContain(option);
  });

  test("--version is that of the package", async () => {
    expect(await fairlead("--version")).toEqual({ code: 0, stdout: `${packageJson.version}\n`, stderr: "" });
  });

  test("without arguments and without a fairlead.toml it is help, on standard error, with exit code 2", async () => {
    const { code, stdout, stderr } = await fairlead();
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("Usage: fairlead");
  });
});

describe("a command line that is not understood has exit code 2 and says what is wrong:", () => {
  for (const [args, words] of [
    [["rnu"], ["unknown command 'rnu'", "Did you mean run?"]],
    [["chekc"], ["unknown command 'chekc'", "Did you mean check?"]],
    [["something"], ["unknown command 'something'"]],
    [["run", "--confg", "x"], ["unknown option '--confg'", "Did you mean --config?"]],
    [["--lisen", ":1"], ["unknown option '--lisen'", "Did you mean --listen?"]],
    [["run", "my.toml"], ["too many arguments for 'run'"]],
    [["check", "a.toml", "b.toml"], ["too many arguments for 'check'"]],
    [["run", "--config"], ["argument missing"]],
    [["run", "--log-format", "xml"], ["Allowed choices are text, json"]],
    [["run", "--log-level", "loud"], ["Allowed choices are debug, info, warn, error"]],
    [["--listen", ":1"], ["--listen and --target go together"]],
    [["--pid-file", "x", "run"], ["'--pid-file' stands before 'run'", "fairlead run --pid-file <file>"]],
    [["--workers", "2", "check"], ["'--workers' stands before 'check', which does not know it"]],
    [["--target", "127.0.0.1:1"], ["--listen and --target go together"]],
    [["--workers", "2"], ["--policy, --protocol, --tls and --workers go with --listen and --target"]],
    [["--listen", ":1", "--target", "a:1", "--protocol", "htp"], ["Allowed choices are http, tcp"]],
    [["--listen", "nowhere", "--target", "a:1"], ['"nowhere" is not an address']],
    [["--listen", ":1", "--target", "a:1", "--workers", "many"], ['"workers" must be "auto" or a number']],
    [["--listen", ":1", "--target", "a:1", "--policy", "round-robbin"], ['did you mean "round-robin"?']],
  ] as const) {
    test.concurrent(args.join(" "), async () => {
      const { code, stdout, stderr } = await fairlead(...args);
      expect([code, stdout]).toEqual([2, ""]);
      for (const word of words) expect(stderr).toContain(word);
    });
  }

  test("no suggestion where nothing is near", async () => {
    expect((await fairlead("something")).stderr).not.toContain("Did you mean");
  });
});

describe("check", () => {
  function check(toml: string, files: Readonly<Record<string, string>> = {}): Promise<{ code: number | string; stdout: string; stderr: string }> {
    const directory = stage.directory();
    for (const [name, text] of Object.entries({ ...files, "my.toml": toml })) writeFileSync(join(directory, name), text);
    return ran(["check", "my.toml"], directory);
  }

  test("sums up a good file in one line on standard output", async () => {
    expect(await check(configText(1, { targets: ["a:1", "b:1"] }))).toEqual({ code: 0, stdout: "my.toml: good (1 listener, 0 routes, 1 upstream, 2 targets)\n", stderr: "" });
  });

  test("says all that is wrong, with its place, on standard error", async () => {
    const { code, stdout, stderr } = await check('wrkers = 1\n[[targets]]\naddress = "a:1"\nweigt = 2\n');
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain('my.toml:1:1: error: unknown key "wrkers"');
    expect(stderr).toContain('my.toml:4:1: error: unknown key "weigt"');
    expect(stderr).toContain("2 errors");
  });

  test("loads policy files, and survives what they do", async () => {
    const toml = configText(1, { targets: ["a:1"], upstream: { policy: "./p.ts" } });
    expect((await check(toml, { "p.ts": "export default { pick: () => undefined }; setInterval(() => {}, 1000);" })).code).toBe(0);
    const bad = await check(toml, { "p.ts": "process.exit(0);" });
    expect([bad.code, bad.stdout]).toEqual([1, ""]);
    expect(bad.stderr).toContain("ends the process that loads it (exit code 0)");
  });

  test("of a file that is missing says so", async () => {
    expect(await fairlead("check", "nowhere.toml")).toEqual({ code: 1, stdout: "", stderr: "nowhere.toml: error: cannot read the config: no such file\n\n1 error\n" });
  });
});

describe("running", () => {
  test("needs no file: --listen and --target, each as often as wanted, with a health path", async () => {
    const [a, b] = await stage.backends(2);
    const ports = [await freePort(), await freePort()];
    const running = await Fairlead.start("", { arguments: [...ports.flatMap((port) => ["--listen", `127.0.0.1:${port}`]), "--target", a!.address, "--target", b!.address, "--workers", "2", "--log-format", "json"] });
    stage.atEnd(() => running.kill());
    for (const port of ports) for (let times = 0; times < 2; times++) expect((await fetch(`http://127.0.0.1:${port}/x`)).status).toBe(200);
    expect([a!.requests.length, b!.requests.length]).toEqual([2, 2]);
    expect((await fetch(`http://127.0.0.1:${ports[0]}/health`)).status).toBe(200);
    expect(await running.stop()).toBe(0);
  });

  test("without arguments runs the fairlead.toml that is there", async () => {
    const backend = await stage.backend();
    const port = await freePort();
    const running = await Fairlead.start(configText(port, { targets: [backend] }), { arguments: [] });
    stage.atEnd(() => running.kill());
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
    expect(running.lines.some((line) => /^\d\d:\d\d:\d\d\.\d{3} INFO {2}Fairlead is ready /.test(line))).toBe(true);
  });

  test("any free port is said in the line that says ready", async () => {
    const running = await Fairlead.start("", { arguments: ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:9", "--log-format", "json"] });
    stage.atEnd(() => running.kill());
    const ready = running.log.find(({ msg }) => (msg ?? "").includes("ready")) as LogLine & { addresses: Record<string, string> };
    const [address] = Object.values(ready.addresses);
    expect(address).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
    expect((await fetch(`http://${address}/health`)).status).toBe(200);
    // And the same command line again is another instance.
    const second = await Fairlead.start("", { arguments: ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:9", "--log-format", "json"] });
    stage.atEnd(() => second.kill());
  });

  test("with a policy that ends its process is one line that says so, and exit code 1", async () => {
    const directory = stage.directory();
    writeFileSync(join(directory, "p.ts"), "process.exit(0);");
    writeFileSync(join(directory, "fairlead.toml"), configText(await freePort(), { targets: ["127.0.0.1:9"], upstream: { policy: "./p.ts" } }));
    const { code, stdout, stderr } = await ran(["run"], directory);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^fairlead: policy .*p\.ts ends the process that loads it \(exit code 0\)\n$/);
  });

  test("with too few open files is a warning, or where nothing would work one line and exit code 1", async () => {
    const limited = (limit: number): string[] => ["/bin/sh", "-c", `ulimit -n ${limit}; exec "$0" "$@"`, FAIRLEAD];
    const flags = ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:9", "--workers", "1"];
    const { code, stderr } = await ran(flags, EMPTY, limited(100));
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^fairlead: a process may open 100 files only, .*ulimit -n\)\n$/)]);
    const child = Bun.spawn([...limited(1_000), ...flags], { cwd: EMPTY, stdio: ["ignore", "ignore", "pipe"] });
    stage.atEnd(() => child.kill("SIGTERM"));
    let log = "";
    for await (const part of child.stderr) {
      log += Buffer.from(part).toString();
      if (log.includes("ready")) break;
    }
    expect(log).toMatch(/WARN .*the limit is 1000: clients beyond about \d+ will be refused/);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  });

  test("--log-level wins over the file, over reloads too", async () => {
    const port = await freePort();
    const toml = `log = { level = "error" }\n${configText(port, { targets: ["127.0.0.1:9"] })}`;
    const running = await Fairlead.start(toml, { arguments: ["run", "--log-format", "json", "--log-level", "info"] });
    stage.atEnd(() => running.kill());
    running.signal("SIGHUP");
    await running.line("the reload", ({ msg }) => msg === "Reload applied");
    running.signal("SIGHUP");
    await until("the second reload", () => running.log.filter(({ msg }) => msg === "Reload applied").length === 2);
  });

  test("--pid-file holds the process id until the end", async () => {
    const file = join(stage.directory(), "fairlead.pid");
    const running = await Fairlead.start("", { arguments: ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:9", "--pid-file", file] });
    stage.atEnd(() => running.kill());
    await until("the pid file", () => Bun.file(file).exists());
    expect(await Bun.file(file).text()).toBe(`${running.pid}\n`);
    expect(await running.stop()).toBe(0);
    expect(await Bun.file(file).exists()).toBe(false);
  });

  test("a pid file that cannot be written keeps it from starting, and is the last thing said", async () => {
    const { code, stderr } = await fairlead("--listen", "127.0.0.1:0", "--target", "127.0.0.1:9", "--pid-file", "/nowhere/fairlead.pid");
    expect(code).toBe(1);
    expect(stderr.trim().split("\n").at(-1)).toMatch(/^fairlead: cannot write the pid file \/nowhere\/fairlead\.pid: ENOENT/);
  });
});

test("it says where it runs when it does not run here", () => {
  expect(["x64", "arm64"].flatMap((arch) => [platformProblem("linux", arch), platformProblem("darwin", arch)])).toEqual([undefined, undefined, undefined, undefined]);
  expect(platformProblem("win32", "x64")).toBe("Fairlead runs on Linux and macOS, on x64 and arm64, not on win32 x64");
  expect(platformProblem("linux", "riscv64")).toBe("Fairlead runs on Linux and macOS, on x64 and arm64, not on Linux riscv64");
});
