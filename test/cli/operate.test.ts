/** Commands that ask a running instance and steer it, against one that runs. */
import { beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { freePort } from "../support/ports.ts";
import { always, reply } from "../support/raw-backend.ts";
import { type Balanced, configText, openStage } from "../support/stage.ts";
import { Terminal } from "../support/terminal.ts";
import { until, within } from "../support/until.ts";
import { FAIRLEAD, type Ran, ran } from "./ran.ts";

const TOKEN = "a-token-of-32-characters-at-least";
const stage = openStage();
let front: Balanced;
let directory: string;
let text: string;
/** Of both upstreams, and of one alone. */
let shared: string;
let single: string;

/** Where fairlead.toml is, which says the address and the token. */
const fairlead = (...args: readonly string[]): Promise<Ran> => ran(args, directory);

async function told(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await fairlead(...args);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout;
}

beforeAll(async () => {
  const [one, two, bad] = await Promise.all([stage.backend(always(reply(200, "hello"))), stage.backend(always(reply(200, "hello"))), stage.backend(always(reply(503, "no")))]);
  [shared, single] = [one.address, two.address];
  const options = {
    targets: [one, two],
    top: { admin: { address: `127.0.0.1:${await freePort()}`, token: TOKEN }, routes: [{ path_prefix: "/bad", upstream: "bad" }] },
    upstreams: { bad: [one, bad] },
  };
  front = await stage.fairlead(options);
  ({ directory } = front.fairlead);
  text = configText(front.port, options);
  await fetch(front.url);
  for (let sent = 0; sent < 4; sent++) await fetch(`${front.url}/bad`, { headers: { "X-Request-ID": `id-${sent}` } });
}, 20_000);

test("status and top say how it is, once, for people and for programs", async () => {
  const [status, json, top] = await Promise.all([told("status"), told("status", "--json"), told("top", "--once", "--targets", "--sort", "name")]);
  expect(status).toMatch(/^Fairlead \S+ {2}generation 1, up \d+ s, 1 worker, /);
  expect(status).toMatch(/^main +ok +2\/2 /m);
  expect(status).toMatch(/^UPSTREAM +STATE +TARGETS +REQ\/S /m);
  expect(JSON.parse(json)).toMatchObject({ upstreams: [{ name: "main", target_count: 2 }, { name: "bad" }] });
  expect(top).toMatch(new RegExp(`^main +${shared} +up `, "m"));
  // No colours where there is no terminal.
  expect(status + top).not.toContain("\u001B");
});

test("drain, maint, ready and weigh change a target, and say of which upstream", async () => {
  expect(await told("drain", single)).toBe(`main ${single} is draining\n`);
  expect(await told("maint", single, "--json")).toContain(`{"upstream":"main","target":"${single}","state":"maintenance"`);
  expect(await told("ready", single)).toBe(`main ${single} is up\n`);
  expect(await told("weigh", single, "3")).toBe(`main ${single} has weight 3\n`);
  expect(await told("weigh", single, "file")).toBe(`main ${single} has weight 1\n`);
  const [ambiguous, unknown, heavy] = await Promise.all([fairlead("drain", shared), fairlead("drain", single.slice(0, -1)), fairlead("weigh", single, "many")]);
  expect(ambiguous).toMatchObject({ code: 1, stderr: `fairlead: ${shared} is a target of "main" and "bad": say which with --upstream\n` });
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining(`is no target (did you mean`)]);
  expect([heavy.code, heavy.stderr]).toEqual([2, expect.stringContaining("It must be a number from 0 to 1000")]);
  expect(await told("drain", shared, "--upstream", "bad")).toBe(`bad ${shared} is draining\n`);
  expect(await told("ready", shared, "--upstream", "bad")).toBe(`bad ${shared} is up\n`);
});

test("events are told from the oldest on, and as they happen", async () => {
  const lines = (await told("events", "--target", single)).trim().split("\n");
  expect(lines.map((line) => line.split(/ {2,}/)[1])).toEqual(["drain", "maintenance", "ready", "weight", "weight"]);
  const following = Bun.spawn([FAIRLEAD, "events", "--follow", "--upstream", "main", "--json", "--limit", "1"], { cwd: directory, stdio: ["ignore", "pipe", "inherit"] });
  stage.atEnd(() => following.kill());
  const reader = following.stdout.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader();
  let seen = (await within("the last event", reader.read())).value ?? "";
  await told("drain", single);
  while (!seen.includes('"kind":"drain"')) seen += (await within("the drain", reader.read())).value ?? "";
  await told("ready", single);
  following.kill();
});

test("exchanges are found by what is known of them", async () => {
  const table = await told("exchanges", "--request-id", "id-1", "--upstream", "bad");
  expect(table.trim().split("\n")).toHaveLength(2);
  expect(table).toMatch(/GET 127\.0\.0\.1:\d+\/bad +id-1$/m);
  expect(await told("exchanges", "--request-id", "id-1", "--fault", "none-of-that-name")).toBe("none is like that\n");
  const [first] = (await told("exchanges", "--json")).split("\n");
  const { id } = JSON.parse(first!) as { readonly id: string };
  expect(JSON.parse(await told("exchanges", id))).toMatchObject({ id });
});

test("config shows, compares, refuses and puts; reload takes the file", async () => {
  expect(await told("config", "show")).toMatch(/^generation \d+, applied [\d: -]+ by start/);
  const next = text.replace('policy = "round-robin"', 'policy = "p2c"');
  writeFileSync(join(directory, "next.toml"), next);
  writeFileSync(join(directory, "wrong.toml"), text.replace('policy = "round-robin"', 'polcy = "p2c"'));
  expect(await told("config", "diff")).toBe("nothing would change\n");
  expect(await told("config", "diff", "next.toml")).toMatch(/upstream "main": policy round-robin → p2c/);
  const wrong = await fairlead("config", "put", "wrong.toml");
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringMatching(/^fairlead: the configuration is not valid, and nothing has changed\n {2}wrong\.toml:\d+:\d+: unknown key "polcy"/)]);
  expect(await told("config", "put", "next.toml", "--dry-run")).toContain("p2c");
  expect(await told("config", "put", "next.toml")).toMatch(/^generation \d+ is in force on all workers\n/);
  expect(await told("config", "show")).toContain("it came over the API");
  expect(JSON.parse(await told("reload", "--json"))).toMatchObject({ source: "file", diff: { changed: true } });
});

describe("completion in bash", () => {
  /** What Tab offers after this line. */
  async function offered(line: string): Promise<string[]> {
    const script = `source <(fairlead completion bash); COMP_LINE="$1"; COMP_POINT=\${#COMP_LINE}; _fairlead; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = await ran(["-c", script, "bash", line], directory, ["bash", "--norc"], { PATH: `${dirname(FAIRLEAD)}:${process.env["PATH"]}` });
    expect(stderr).toBe("");
    return stdout.trim().split("\n");
  }

  test("knows commands, their options, and what options take", async () => {
    expect(await offered("fairlead ")).toEqual(expect.arrayContaining(["run", "check", "simulate", "top", "drain", "config", "completion", "explain"]));
    expect(await offered("fairlead config ")).toEqual(["show", "diff", "put"]);
    expect(await offered("fairlead top --s")).toEqual(["--sort"]);
    expect(await offered("fairlead top --sort ")).toEqual(["state", "name", "rate", "errors", "p99", "open"]);
  });

  test("knows targets and upstreams of the running instance; bash has what stands before a colon already", async () => {
    expect(await offered(`fairlead drain ${single.slice(0, -2)}`)).toContain(single.split(":")[1]!);
    expect(await offered("fairlead drain 127.0.0.1 --upstream ")).toEqual(["main", "bad"]);
    expect(await offered("fairlead drain --admin 127.0.0.1:1 ")).toEqual([""]);
  });
});

test("what is mistyped is guessed, whatever the command", async () => {
  const [simulate, drain, missing, shell] = await Promise.all([fairlead("simulat"), fairlead("drian"), fairlead("drain"), fairlead("completion", "tcsh")]);
  expect([simulate.code, simulate.stderr]).toEqual([2, expect.stringContaining("Did you mean simulate?")]);
  expect(drain.stderr).toContain("Did you mean drain?");
  expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining("missing required argument 'target'")]);
  expect([shell.code, shell.stderr]).toEqual([2, expect.stringContaining("bash, zsh, fish")]);
});

describe("top on a terminal", () => {
  test("draws within 80 × 24, follows keys and size, and leaves the terminal as it was, however it ends", async () => {
    const terminal = Terminal.start(["sh", "-c", `"${FAIRLEAD}" top; echo "first: $?"; stty -a; "${FAIRLEAD}" top; echo "second: $?"; stty -a`], directory, { width: 80, height: 24 });
    stage.atEnd(() => terminal.close());
    const screen = await until("the first screen", () => terminal.lastFrame());
    expect(screen.length).toBeLessThanOrEqual(24);
    expect(screen.filter((line) => line.length > 80)).toEqual([]);
    expect(screen[0]).toMatch(/^Fairlead \S+ {2}generation/);
    expect(screen.join("\n")).toMatch(/^main +ok +2\/2/m);
    terminal.write("t");
    await until("targets", () => terminal.lastFrame()?.some((line) => line.includes(single)));
    terminal.write("n");
    await until("another order", () => terminal.lastFrame()?.at(-1)?.startsWith("name"));
    terminal.resize({ width: 60, height: 10 });
    await until("the smaller screen", () => terminal.lastFrame()?.length === 10 && terminal.lastFrame()!.every((line) => line.length <= 60));
    terminal.write("q");
    await until("the end", () => /first: 0[\s\S]*; icanon|first: 0[\s\S]* icanon/.test(terminal.text));
    expect(terminal.text.split("\u001B[?1049l")).toHaveLength(2);
    // Ctrl-C, while it draws.
    const drawn = terminal.frames;
    await until("the second screen", () => terminal.frames > drawn);
    terminal.write("\u0003");
    await until("the end", () => /second: 0[\s\S]* icanon/.test(terminal.text));
    const after = terminal.text.slice(terminal.text.indexOf("second: 0"));
    expect(after).toMatch(/[ ;]echo /);
    expect(terminal.text.split("\u001B[?1049l")).toHaveLength(3);
    expect(terminal.text.lastIndexOf("\u001B[?25h")).toBeGreaterThan(terminal.text.lastIndexOf("\u001B[?25l"));
  });

  test("is ended by a signal like that, and has colours, but not with NO_COLOR", async () => {
    const terminal = Terminal.start([FAIRLEAD, "top"], directory, { width: 80, height: 24 });
    stage.atEnd(() => terminal.close());
    await until("a screen", () => terminal.lastFrame());
    expect(terminal.text).toContain("\u001B[1m");
    terminal.kill("SIGTERM");
    expect(await within("its end", terminal.exited)).toBe(143);
    expect(terminal.text).toContain("\u001B[?1049l");
    const plain = Terminal.start([FAIRLEAD, "top", "--once"], directory, { width: 80, height: 24 }, { NO_COLOR: "1" });
    await within("its end", plain.exited);
    expect(plain.text).not.toContain("\u001B[1m");
  });
});
