/** The demo as a person meets it: a real process, its output, its commands, and nothing left behind. */
import { afterAll, describe, expect, test } from "bun:test";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createServer } from "node:net";
import { resolve } from "node:path";
import { processesBelow } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { isAlive } from "../../support/processes.ts";
import { until } from "../../support/until.ts";

const BINARY = resolve(import.meta.dir, "../../../bin/fairlead");
const PATIENCE = 20_000;

class DemoProcess {
  readonly port: number;
  output = "";
  ended: number | string | undefined = undefined;
  private readonly child: ChildProcess;
  private readonly seen = new Set<number>();

  constructor(port: number) {
    this.port = port;
    this.child = spawn(BINARY, ["demo", "--port", String(port)], { stdio: ["pipe", "pipe", "pipe"], detached: true });
    for (const stream of [this.child.stdout!, this.child.stderr!]) stream.setEncoding("utf8").on("data", (text: string) => (this.output += text));
    this.child.stdin!.on("error", () => {});
    this.child.on("exit", (code, signal) => (this.ended = signal ?? code ?? "unknown"));
    demos.push(this);
  }

  static async start(): Promise<DemoProcess> {
    const demo = new DemoProcess(await freePort());
    await demo.says("Try in another terminal");
    return demo;
  }

  says(text: string | RegExp, from = 0): Promise<true> {
    const found = () => (typeof text === "string" ? this.output.slice(from).includes(text) : text.test(this.output.slice(from)));
    return until(`the demo to say ${text}`, () => (found() ? (true as const) : this.ended === undefined ? false : this.fail()), PATIENCE).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.output}`);
    });
  }

  private fail(): never {
    throw new Error(`the demo ended with ${this.ended}`);
  }

  type(line: string): void {
    this.child.stdin!.write(`${line}\n`);
  }

  /** Pid of each back end, as printed last. */
  pids(): number[] {
    const lines = [...this.output.matchAll(/^ +(\d) +spells-\d +127\.0\.0\.1:\d+ +pid (\d+)$/gm)];
    return lines.slice(-3).map((match) => Number(match[2]));
  }

  get(): Promise<Response> {
    return fetch(`http://localhost:${this.port}/api/spells`);
  }

  async instances(requests = 12): Promise<string[]> {
    const names = new Set<string>();
    for (let i = 0; i < requests; i++) {
      const reply = await this.get();
      expect(reply.status).toBe(200);
      names.add(reply.headers.get("x-instance")!);
    }
    return [...names].sort();
  }

  /** All processes of the demo that run now; they are remembered. */
  processes(): number[] {
    const pids = processesBelow(this.child.pid!);
    for (const pid of pids) this.seen.add(pid);
    return pids;
  }

  /** Those of all remembered processes that still run. */
  survivors(): number[] {
    return [...this.seen].filter(isAlive);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  signalGroup(signal: NodeJS.Signals): void {
    process.kill(-this.child.pid!, signal);
  }

  async gone(): Promise<void> {
    await until("the demo to end", () => this.ended !== undefined, PATIENCE);
    await until("its processes to end", () => this.survivors().length === 0, PATIENCE).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${this.survivors().join(", ")} live on`);
    });
  }

  forceEnd(): void {
    for (const pid of [this.child.pid!, ...this.survivors()]) kill(pid);
  }
}

const demos: DemoProcess[] = [];
afterAll(() => {
  for (const demo of demos) demo.forceEnd();
});

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

describe("the demo", () => {
  test("balances over three back ends, replaces one that dies without a failed request, and stops on Ctrl-C", async () => {
    const demo = await DemoProcess.start();
    expect(demo.output).toContain("ready");
    expect(await demo.instances()).toEqual(["spells-1", "spells-2", "spells-3"]);
    expect((await fetch(`http://localhost:${demo.port}/health`)).status).toBe(200);

    const [victim] = demo.pids() as [number];
    expect(demo.processes()).toContain(victim);
    process.kill(victim, "SIGKILL");
    const deadline = performance.now() + PATIENCE;
    while (!/pid \d+\) died: SIGKILL\. Replaced by pid/.test(demo.output) && performance.now() < deadline) expect((await demo.get()).status).toBe(200);
    await until("the new one to answer", async () => (await demo.instances(6)).includes("spells-1"), PATIENCE);

    demo.processes();
    demo.signal("SIGINT");
    await demo.gone();
    expect(demo.ended).toBe(0);
  }, 60_000);

  test("stops and starts back ends on command, one or all", async () => {
    const demo = await DemoProcess.start();
    demo.type("2");
    await demo.says("Back end 2 is stopped");
    await demo.says("Healthy targets: 2/3");
    expect(await demo.instances()).toEqual(["spells-1", "spells-3"]);
    demo.type("2");
    await demo.says("Back end 2 runs again");
    await demo.says("Healthy targets: 3/3");
    expect(await demo.instances()).toEqual(["spells-1", "spells-2", "spells-3"]);

    demo.type("a");
    await demo.says("All back ends are stopped");
    await until("503", async () => (await demo.get()).status === 503, PATIENCE);
    demo.type("a");
    await demo.says("All back ends run again");
    await until("200", async () => (await demo.get()).status === 200, PATIENCE);

    demo.type("x");
    await demo.says('"x" is no command');
    demo.processes();
    demo.type("q");
    await demo.gone();
    expect(demo.ended).toBe(0);
  }, 60_000);

  test("leaves no process behind when it is killed", async () => {
    const demo = await DemoProcess.start();
    const all = demo.processes();
    expect(all.length).toBeGreaterThan(4);
    // The process that runs the demo is the parent of the back ends; a launcher may stand above it.
    const [backend] = demo.pids() as [number];
    kill(parentOf(backend));
    await demo.gone();
  }, 60_000);

  test("replaces nobody when the whole group is told to end", async () => {
    const demo = await DemoProcess.start();
    demo.processes();
    demo.signalGroup("SIGTERM");
    await demo.gone();
    expect(demo.ended).toBe(0);
    expect(demo.output).not.toContain("died");
  }, 60_000);

  test("finds other ports for its back ends when two start at the same time", async () => {
    const both = await Promise.all([DemoProcess.start(), DemoProcess.start()]);
    for (const demo of both) expect(await demo.instances()).toEqual(["spells-1", "spells-2", "spells-3"]);
    const pids = both.flatMap((demo) => demo.pids());
    expect(new Set(pids).size).toBe(6);
    for (const demo of both) {
      demo.processes();
      demo.type("q");
    }
    for (const demo of both) await demo.gone();
  }, 60_000);

  test("goes on without commands when there is no input", async () => {
    const port = await freePort();
    const child = spawn(BINARY, ["demo", "--port", String(port)], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    try {
      await until("the demo to be ready", () => output.includes("Try in another terminal"), PATIENCE);
      expect((await fetch(`http://localhost:${port}/api/spells`)).status).toBe(200);
      expect(child.exitCode).toBeNull();
    } finally {
      child.kill("SIGTERM");
      await until("the demo to end", () => child.exitCode !== null, PATIENCE);
    }
    expect(child.exitCode).toBe(0);
  }, 60_000);

  test("says in one line that its port is taken, and how to choose another one", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const demo = new DemoProcess(port);
    await until("the demo to end", () => demo.ended !== undefined, PATIENCE);
    server.close();
    expect(demo.ended).toBe(1);
    expect(demo.output).toBe(`fairlead: port ${port} is taken by another program; choose another one: npm start -- --port ${port + 1}\n`);
  }, 60_000);
});

function parentOf(pid: number): number {
  return Number(execFileSync("ps", ["-o", "ppid=", "-p", String(pid)], { encoding: "utf8" }));
}
