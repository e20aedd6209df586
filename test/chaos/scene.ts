/** What a fault is done to: back ends, a Fairlead before them and load on it, each of them real processes; `finish` says what the load has seen. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fairlead, type LogLine } from "../support/fairlead.ts";
import { freePort } from "../support/ports.ts";
import { isAlive } from "../support/processes.ts";
import { type TomlTable, toToml } from "../support/toml.ts";
import { sleep, until } from "../support/until.ts";
import { Backend } from "./load/backend.ts";
import { Generator } from "./load/generator.ts";
import type { Counts, Lane, LoadReport } from "./load/plan.ts";
import { Release } from "./release.ts";
import { leftOver } from "./left-over.ts";

export interface Ports {
  /** HTTP in the clear, over TLS, and the same as bytes only. */
  readonly plain: number;
  readonly secure: number;
  readonly stream: number;
  readonly admin: number;
}

/** Each list is a generator, in a process of its own. */
export type Load = (ports: Ports) => readonly (readonly Lane[])[];

export interface SceneOptions {
  /** Default: 3. */
  readonly backends?: number;
  /** Every so manieth number is answered 20 ms late. Default: 256. */
  readonly slowEvery?: number;
  /** Default: 2. */
  readonly workers?: number;
  /** Keys of the upstream `main`, which serves everything. */
  readonly upstream?: TomlTable;
  /** Keys of the top level. */
  readonly top?: (scene: Scene) => TomlTable;
  /** Files that each process of Fairlead may open; default: as many as we may. */
  readonly openFiles?: number;
  readonly load?: Load;
  /** Fairlead runs from a copy that may be replaced: `release`. */
  readonly replaceable?: boolean;
  /** What stands between Fairlead and a back end, or clients: an address for another. Asked before Fairlead starts. */
  readonly between?: (scene: Scene) => Promise<void>;
}

/** The table of POSTs has a byte for each number; numbers of the second generator begin in its middle. */
const NUMBERS = 1 << 25;
const GENERATORS = 4;
/** From the start of the load to the first fault. */
const WARM = 300;
const PATIENCE = 30_000;
/** In ms. */
const SLOW = 20;
/** Of the log, around the first failure that breaks a bar: so many ms, and so many lines. */
const AROUND = 2_000;
const LOGGED = 40;

/** Every protocol and both loops. Shares are chosen so that a busy machine serves them. */
export const usualLoad: Load = ({ plain, secure, stream }) => [
  [
    { name: "closed", port: plain, protocol: "h1", connections: 24, posts: 0.1 },
    { name: "churn", port: plain, protocol: "h1", connections: 6, posts: 0.1, requestsPerConnection: 20 },
    { name: "tls", port: secure, protocol: "h1", tls: true, connections: 6, posts: 0.1, requestsPerConnection: 500 },
    { name: "h2", port: secure, protocol: "h2", tls: true, connections: 3, streams: 8, posts: 0.1 },
    { name: "tcp", port: stream, protocol: "h1", connections: 4, requestsPerConnection: 40 },
  ],
  [
    { name: "open", port: plain, protocol: "h1", connections: 16, posts: 0.1, rate: 400 },
    { name: "open h2", port: secure, protocol: "h2", tls: true, connections: 2, streams: 64, posts: 0.1, rate: 200 },
  ],
];

let scenes = 0;

export class Scene {
  readonly directory = mkdtempSync(join(tmpdir(), "fairlead-chaos-"));
  readonly backends: Backend[] = [];
  private readonly options: SceneOptions;
  /** Of targets, where they are not the back ends' own. */
  readonly addresses = new Map<Backend, string>();
  private readonly posts = `/dev/shm/fairlead-chaos-${process.pid}-${++scenes}`;
  /** The one that runs is the last. */
  private readonly fairleads: Fairlead[] = [];
  private generators: Generator[] = [];
  private generated = 0;
  /** Of generators that have gone already. */
  private readonly reports: LoadReport[] = [];
  private readonly endings: (() => unknown)[] = [];
  ports!: Ports;
  release: Release | undefined = undefined;
  private readonly sweep = (): void => {
    for (const end of this.endings) end();
    this.remove();
  };

  private constructor(options: SceneOptions) {
    this.options = options;
    process.on("exit", this.sweep);
  }

  /** Everything is up, and the load is on. */
  static async start(options: SceneOptions = {}): Promise<Scene> {
    const scene = new Scene(options);
    try {
      await scene.arrange();
    } catch (error) {
      await scene.end();
      throw error;
    }
    return scene;
  }

  private async arrange(): Promise<void> {
    const { backends = 3, slowEvery = 256, between, load = usualLoad } = this.options;
    const table = openSync(this.posts, "w");
    ftruncateSync(table, NUMBERS);
    closeSync(table);
    for (let id = 1; id <= backends; id++) this.backends.push(await Backend.start({ id, posts: this.posts, slowEvery, slowFor: SLOW }));
    this.ports = { plain: await freePort(), secure: await freePort(), stream: await freePort(), admin: await freePort() };
    if (this.options.replaceable === true) this.release = new Release(join(this.directory, "release"));
    await between?.(this);
    this.configure();
    await this.startFairlead();
    for (const lanes of load(this.ports)) await this.join(lanes);
    await until("the load", () => this.counts.requests > 0, PATIENCE);
    await sleep(WARM);
  }

  /** Called whatever happens, when the scene ends. */
  atEnd(end: () => unknown): void {
    this.endings.push(end);
  }

  // Fairlead.

  private get file(): string {
    return join(this.directory, "fairlead.toml");
  }

  /** Writes the configuration; a reload or start reads it. @param change of the whole file */
  configure(change: (whole: TomlTable) => TomlTable = (whole) => whole): void {
    const { ports, options } = this;
    const listener = (name: string, port: number, more: TomlTable = {}): TomlTable => ({ name, address: `127.0.0.1:${port}`, upstream: "main", ...more });
    // In one step: a reload may be reading.
    writeFileSync(
      `${this.file}.new`,
      toToml(
        change({
          workers: options.workers ?? 2,
          drain_timeout: "30s",
          exchanges: { slow: "off", sample: 0 },
          ...options.top?.(this),
          admin: { address: `127.0.0.1:${ports.admin}` },
          listeners: [listener("plain", ports.plain), listener("secure", ports.secure, { tls: "self-signed" }), listener("stream", ports.stream, { protocol: "tcp" })],
          upstreams: [{ name: "main", health_check: { path: "/health", interval: "200ms", rise: 1, fall: 2 }, ...options.upstream, targets: this.targets(this.backends) }],
        }),
      ),
    );
    renameSync(`${this.file}.new`, this.file);
  }

  targets(of: readonly Backend[]): TomlTable[] {
    return of.map((backend) => ({ address: this.addresses.get(backend) ?? backend.address }));
  }

  /** Anew, where another has been. */
  async startFairlead(): Promise<void> {
    const { openFiles } = this.options;
    const fairlead = Fairlead.launch("", {
      arguments: ["run", "--config", this.file, "--log-format", "json"],
      environment: { TMPDIR: this.directory, XDG_STATE_HOME: join(this.directory, "state") },
      ...(openFiles === undefined ? {} : { openFiles }),
      ...(this.release === undefined ? {} : { command: this.release.binary }),
    });
    this.fairleads.push(fairlead);
    await until(
      "Fairlead to be ready",
      () => {
        if (fairlead.ended !== undefined) throw new Error(`Fairlead ended with ${fairlead.ended}:\n${fairlead.lines.join("\n")}`);
        return fairlead.log.some(({ msg }) => msg === "Fairlead is ready");
      },
      PATIENCE,
    );
  }

  get fairlead(): Fairlead {
    return this.fairleads.at(-1)!;
  }

  /** What was logged in the seconds before and after that time, in ms since 1970. */
  logAround(time: number): string[] {
    const near = (line: LogLine): boolean => Math.abs(Date.parse(line["time"] as string) - time) < AROUND;
    return this.fairleads.flatMap(({ log }) => log.filter(near)).map((line) => JSON.stringify(line)).slice(0, LOGGED);
  }

  /** Of the one that was last ready; undefined: none was. */
  private get supervisorIfAny(): number | undefined {
    return this.fairleads.at(-1)?.log.findLast(({ msg }) => msg === "Fairlead is ready")?.["pid"] as number | undefined;
  }

  get supervisor(): number {
    return this.supervisorIfAny!;
  }

  /** Upgrades too: those that were ever ready. */
  get started(): number {
    return this.fairleads.reduce((sum, { log }) => sum + log.filter(({ msg }) => msg === "Fairlead is ready").length, 0);
  }

  /** What a supervisor says of itself. */
  async status(): Promise<{ readonly workers: readonly number[]; readonly upstreams: Readonly<Record<string, readonly { readonly target: string; readonly up: boolean }[]>> }> {
    const response = await fetch(`http://127.0.0.1:${this.ports.admin}/v1/status`, { signal: AbortSignal.timeout(PATIENCE) });
    return (await response.json()) as Awaited<ReturnType<Scene["status"]>>;
  }

  async metrics(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.ports.admin}/metrics`, { signal: AbortSignal.timeout(PATIENCE) })).text();
  }

  /** As many workers as there should be; `without` is none of them. */
  async workers(without?: number): Promise<readonly number[]> {
    const wanted = this.options.workers ?? 2;
    return until(
      `${wanted} workers`,
      async () => {
        const { workers } = await this.status();
        return workers.length === wanted && !workers.includes(without ?? 0) ? workers : undefined;
      },
      PATIENCE,
    );
  }

  /** All targets are in rotation. */
  async healthy(): Promise<void> {
    await until("all targets to be up", async () => Object.values((await this.status()).upstreams).flat().every(({ up }) => up), PATIENCE);
  }

  // Load.

  get counts(): Counts {
    const all = [...this.reports, ...this.generators.map(({ counts }) => counts)];
    const sum = (of: (counts: Counts) => number): number => all.reduce((total, counts) => total + of(counts), 0);
    return { requests: sum(({ requests }) => requests), failed: sum(({ failed }) => failed), resent: sum(({ resent }) => resent), connections: sum(({ connections }) => connections) };
  }

  /** More load, in a process of its own. */
  async join(lanes: readonly Lane[]): Promise<Generator> {
    const generator = await Generator.start({ first: 1 + ((this.generated++ % GENERATORS) * NUMBERS) / GENERATORS, lanes });
    this.generators.push(generator);
    return generator;
  }

  async leave(generator: Generator): Promise<void> {
    this.generators = this.generators.filter((other) => other !== generator);
    this.reports.push(await generator.stop());
  }

  /** So many requests more have ended. */
  async moreRequests(count: number): Promise<void> {
    const { requests } = this.counts;
    await until(`${count} more requests`, () => this.counts.requests >= requests + count, PATIENCE);
  }

  /** Which back end has had the POST of a number; 0: none, or it was not read. */
  receiverOf(number: number): number {
    return this.table()[number] ?? 0;
  }

  private mapped: Uint8Array | undefined = undefined;

  private table(): Uint8Array {
    return (this.mapped ??= Bun.mmap(this.posts, { shared: true }));
  }

  /** The load ends. @returns what it has seen, and what is wrong with the instance now */
  async finish(): Promise<{ readonly report: LoadReport; readonly leftOver: readonly string[] }> {
    const { reports } = this;
    await Promise.all(this.generators.map((generator) => this.leave(generator)));
    const report: LoadReport = {
      requests: sumOf(reports, "requests"),
      failed: sumOf(reports, "failed"),
      resent: sumOf(reports, "resent"),
      connections: sumOf(reports, "connections"),
      lanes: reports.flatMap(({ lanes }) => lanes),
      failures: reports.flatMap(({ failures }) => failures),
      seconds: Math.max(...reports.map(({ seconds }) => seconds)),
    };
    return { report, leftOver: await leftOver(() => this.metrics(), this.table()) };
  }

  /** Nothing of it is left. */
  async end(): Promise<void> {
    for (const generator of this.generators) await generator.kill();
    const supervisor = this.supervisorIfAny;
    if (supervisor !== undefined && isAlive(supervisor)) {
      process.kill(supervisor, "SIGTERM");
      await until("Fairlead's end", () => !isAlive(supervisor), PATIENCE).catch(() => {});
    }
    for (const fairlead of this.fairleads) await fairlead.kill();
    for (const backend of this.backends) await backend.kill();
    for (const end of this.endings) await end();
    process.off("exit", this.sweep);
    this.remove();
  }

  private remove(): void {
    rmSync(this.posts, { force: true });
    rmSync(this.directory, { recursive: true, force: true });
    // Of supervisors that were killed: those that ended by themselves have removed theirs.
    const supervisors = this.fairleads.flatMap(({ pid, log }) => [pid, ...log.flatMap((line) => (line.msg === "Fairlead is ready" ? [line["pid"] as number] : []))]);
    for (const name of readdirSync("/dev/shm")) if (supervisors.some((pid) => name.startsWith(`fairlead-${pid}-`))) rmSync(join("/dev/shm", name), { force: true });
  }
}

function sumOf(reports: readonly LoadReport[], key: "requests" | "failed" | "resent" | "connections"): number {
  return reports.reduce((sum, report) => sum + report[key], 0);
}
