/** What a soak is made of: the real program with two workers, two processes of targets, and one of clients. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Authority, pemFiles } from "../support/certificates.ts";
import { Fairlead } from "../support/fairlead.ts";
import { freePort } from "../support/ports.ts";
import { until } from "../support/until.ts";
import { type Ports, type Variant, configuration } from "./configuration.ts";
import { QUESTION } from "./probe.ts";

const START_PATIENCE = 15_000;
const PROBE = join(import.meta.dir, "probe.ts");

/** What traffic.mjs tells each second. */
export interface Told {
  readonly counts: Readonly<Record<string, { readonly begun: number; readonly well: number; readonly failed: number }>>;
  /** Why requests failed, and how many. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly open: number;
  /** Not begun, for too many were open. */
  readonly shed: number;
  /** How often all that was begun has ended. */
  readonly rests: number;
}

const NOTHING: Told = { counts: {}, reasons: {}, open: 0, shed: 0, rests: 0 };

/** A program of Node's, whose standard input is its leash: it ends when we do. */
class Program {
  private readonly child: ChildProcess;

  constructor(file: string, args: readonly string[], onLine: (line: string) => void) {
    this.child = spawn("node", [join(import.meta.dir, file), ...args], { stdio: ["pipe", "pipe", "inherit"] });
    let rest = "";
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) onLine(line);
    });
    // It may have ended.
    this.child.stdin?.on("error", () => {});
  }

  say(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await until("a program to be gone", () => this.child.exitCode !== null || this.child.signalCode !== null);
  }
}

/** One process of targets, which may go away and return. */
class Backend {
  private readonly ports: readonly number[];
  private program: Program | undefined;
  private over = false;

  constructor(ports: readonly number[]) {
    this.ports = ports;
  }

  async start(): Promise<void> {
    if (this.over) return;
    let listens = false;
    this.program = new Program("backend.mjs", this.ports.map(String), () => (listens = true));
    await until("the back ends to listen", () => listens, START_PATIENCE);
  }

  async kill(): Promise<void> {
    await this.program?.kill();
  }

  /** For good, whoever wants it back. */
  async stop(): Promise<void> {
    this.over = true;
    await this.kill();
  }
}

export interface StandOptions {
  /** Exchanges begun in a second. */
  readonly rate: number;
  readonly seed: number;
  /** Loaded into the program's processes before it, besides the probe. */
  readonly preload?: readonly string[];
  /** More of their environment. */
  readonly environment?: Readonly<Record<string, string>>;
}

export class Stand {
  readonly fairlead: Fairlead;
  readonly backends: readonly Backend[];
  readonly ports: Ports;
  /** Where processes write what their heap is. */
  readonly probes: string;
  told: Told = NOTHING;
  private readonly traffic: Program;

  private constructor(fairlead: Fairlead, backends: readonly Backend[], ports: Ports, probes: string, traffic: (onLine: (line: string) => void) => Program) {
    this.fairlead = fairlead;
    this.backends = backends;
    this.ports = ports;
    this.probes = probes;
    this.traffic = traffic((line) => (this.told = JSON.parse(line) as Told));
  }

  static async start({ rate, seed, preload = [], environment = {} }: StandOptions): Promise<Stand> {
    const port = async (): Promise<number[]> => [await freePort(), await freePort()];
    const ports: Ports = { http: await freePort(), https: await freePort(), tcp: await freePort(), udp: await freePort(), admin: await freePort(), targets: { http: await port(), h2c: await port(), tcp: await port(), udp: await port() } };
    const authority = await Authority.create();
    const files = pemFiles({ server: await authority.issue({ names: ["localhost", "127.0.0.1"] }) });
    const { http, h2c, tcp, udp } = ports.targets;
    const backends = [0, 1].map((index) => new Backend([http, h2c, tcp, udp].map((pair) => pair[index]!)));
    const probes = mkdtempSync(join(tmpdir(), "fairlead-soak-"));
    let fairlead: Fairlead | undefined;
    try {
      await Promise.all(backends.map((backend) => backend.start()));
      writeFileSync(join(probes, QUESTION), "0");
      fairlead = await Fairlead.start(configuration(ports, "first"), { files, environment: { ...environment, SOAK_PROBE: probes, BUN_OPTIONS: [PROBE, ...preload].map((file) => `--preload=${file}`).join(" ") } });
      const told = JSON.stringify({ rate, seed, ports: { http: ports.http, https: ports.https, tcp: ports.tcp, udp: ports.udp }, ca: authority.pem });
      return new Stand(fairlead, backends, ports, probes, (onLine) => new Program("traffic.mjs", [told], onLine));
    } catch (error) {
      await fairlead?.kill();
      await Promise.all(backends.map((backend) => backend.stop()));
      rmSync(probes, { recursive: true, force: true });
      throw error;
    }
  }

  go(): void {
    this.traffic.say("go");
  }

  /** Begins nothing more, and waits until all has ended. */
  async rest(patience = 30_000): Promise<void> {
    const { rests } = this.told;
    this.traffic.say("rest");
    await until("the clients to rest", () => this.told.rests > rests, patience);
  }

  /** What the file says from the next reload on. */
  configure(variant: Variant): void {
    writeFileSync(join(this.fairlead.directory, "fairlead.toml"), configuration(this.ports, variant));
  }

  /** Of the admin address; a connection of its own, which is gone when the answer is there. */
  async ask(path: string, init: RequestInit = {}): Promise<Response> {
    const response = await fetch(`http://127.0.0.1:${this.ports.admin}${path}`, { ...init, headers: { connection: "close" }, keepalive: false });
    return new Response(await response.text(), response);
  }

  async stop(): Promise<void> {
    await this.traffic.kill();
    await this.fairlead.stop().catch(() => this.fairlead.kill());
    await Promise.all(this.backends.map((backend) => backend.stop()));
    rmSync(this.probes, { recursive: true, force: true });
  }
}
